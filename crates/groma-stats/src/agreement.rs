//! Agreement of two raters on nominal classes.

use crate::bootstrap::{Bootstrap, below, sums};
use crate::interval::Interval;
use crate::proportion::wilson;
use rand_core::Rng;

/// Counts of `[first rater][second rater]` over `C` classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfusionTable<const C: usize>(pub [[usize; C]; C]);

/// How far two raters agree.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement<const C: usize> {
    /// Items.
    pub n: usize,
    /// Share of items with the same class; `None` of no items.
    pub accuracy: Option<f64>,
    /// Wilson interval of it.
    pub accuracy_interval: Option<Interval>,
    /// Cohen's kappa; `None` where both raters use one and the same class throughout.
    pub kappa: Option<f64>,
    /// Bootstrap interval of it, over items.
    pub kappa_interval: Option<Interval>,
    /// Share of the first rater's items of each class that the second rater gives that class; `None` of a class that the
    /// first never gave.
    pub recall: [Option<f64>; C],
    /// Share of the second rater's items of each class that the first rater gives that class.
    pub precision: [Option<f64>; C],
}

impl<const C: usize> ConfusionTable<C> {
    /// Counts pairs of class indices; pairs out of range count nowhere.
    pub fn of(pairs: impl IntoIterator<Item = (usize, usize)>) -> Self {
        let mut counts = [[0; C]; C];
        for (first, second) in pairs {
            if first < C && second < C {
                counts[first][second] += 1;
            }
        }
        ConfusionTable(counts)
    }

    /// All items.
    pub fn n(&self) -> usize {
        self.0.iter().flatten().sum()
    }

    /// Cohen's kappa (1960): `(observed - expected) / (1 - expected)` agreement; `None` where that is undefined.
    pub fn kappa(&self) -> Option<f64> {
        let value = kappa(&self.0.map(|row| row.map(|count| count as f64)));
        value.is_finite().then_some(value)
    }

    /// All figures, with intervals.
    pub fn agreement<R: Rng>(&self, bootstrap: &Bootstrap<impl Fn(u64) -> R>) -> Agreement<C> {
        let agreed = (0..C).map(|class| self.0[class][class]).sum::<usize>();
        let first = |class: usize| self.0[class].iter().sum::<usize>();
        let second = |class: usize| self.0.iter().map(|row| row[class]).sum::<usize>();
        let share = |class: usize, of: usize| (of > 0).then(|| self.0[class][class] as f64 / of as f64);
        Agreement {
            n: self.n(),
            accuracy: (self.n() > 0).then(|| agreed as f64 / self.n() as f64),
            accuracy_interval: wilson(agreed, self.n(), bootstrap.level),
            kappa: self.kappa(),
            kappa_interval: self.kappa_interval(bootstrap),
            recall: std::array::from_fn(|class| share(class, first(class))),
            precision: std::array::from_fn(|class| share(class, second(class))),
        }
    }

    fn kappa_interval<R: Rng>(&self, bootstrap: &Bootstrap<impl Fn(u64) -> R>) -> Option<Interval> {
        let items: Vec<(usize, usize)> = (0..C * C)
            .map(|cell| (cell / C, cell % C))
            .flat_map(|(first, second)| std::iter::repeat_n((first, second), self.0[first][second]))
            .collect();
        bootstrap.percentile_of(items.len(), |random| {
            let mut counts = [[0.0; C]; C];
            for _ in &items {
                let (first, second) = items[below(items.len(), random)];
                counts[first][second] += 1.0;
            }
            kappa(&counts)
        })
    }
}

fn kappa<const C: usize>(counts: &[[f64; C]; C]) -> f64 {
    let n: f64 = counts.iter().flatten().sum();
    let columns: Vec<f64> = sums(counts);
    let observed = (0..C).map(|class| counts[class][class]).sum::<f64>() / n;
    let expected = (0..C).map(|class| counts[class].iter().sum::<f64>() * columns[class]).sum::<f64>() / (n * n);
    (observed - expected) / (1.0 - expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Seed;

    fn bootstrap() -> Bootstrap<impl Fn(u64) -> groma_run::Random> {
        Bootstrap { resamples: 2000, level: 0.95, draw: |index| Seed::new(0).index(index).rng() }
    }

    /// The golden case `cohen_kappa`; its large-sample standard error is 0.1264.
    #[test]
    fn golden_kappa() {
        let table = ConfusionTable([[20, 5], [10, 15]]);
        assert!((table.kappa().unwrap() - 0.4).abs() < 1e-12);
        let found = table.agreement(&bootstrap());
        assert_eq!((found.n, found.accuracy), (50, Some(0.7)));
        assert_eq!((found.recall, found.precision), ([Some(0.8), Some(0.6)], [Some(20.0 / 30.0), Some(0.75)]));
        let interval = found.kappa_interval.unwrap();
        assert!((interval.low - 0.15).abs() < 0.04 && (interval.high - 0.64).abs() < 0.04, "{interval:?}");
    }

    #[test]
    fn chance_and_nothing() {
        assert!(ConfusionTable([[9, 3], [3, 1]]).kappa().unwrap().abs() < 1e-12);
        assert_eq!(ConfusionTable([[9, 0], [0, 0]]).kappa(), None);
        assert_eq!(ConfusionTable::<2>::of([(0, 5), (1, 1)]).n(), 1);
        assert_eq!(ConfusionTable::<3>([[0; 3]; 3]).agreement(&bootstrap()).recall, [None; 3]);
    }
}
