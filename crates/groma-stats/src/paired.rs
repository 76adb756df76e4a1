//! Before and after on the same items.

use crate::interval::{Interval, Method};
use crate::mean::Mean;
use crate::special::{beta_cdf, normal_quantile, student_t_cdf};
use rand_core::Rng;

/// Up to so many non-zero differences, [`sign_flip_test`] goes through all sign patterns.
const EXACT_FLIPS: usize = 14;

/// Counts of a paired comparison of two rates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BinaryPairs {
    /// Items with 1 before and 1 after.
    pub both: usize,
    /// Items with 0 before and 1 after.
    pub gained: usize,
    /// Items with 1 before and 0 after.
    pub lost: usize,
    /// Items with 0 before and 0 after.
    pub neither: usize,
}

impl BinaryPairs {
    /// Counts `(before, after)` pairs.
    pub fn of(pairs: impl IntoIterator<Item = (bool, bool)>) -> Self {
        let mut counts = Self::default();
        for pair in pairs {
            match pair {
                (true, true) => counts.both += 1,
                (false, true) => counts.gained += 1,
                (true, false) => counts.lost += 1,
                (false, false) => counts.neither += 1,
            }
        }
        counts
    }

    /// All items.
    pub fn n(&self) -> usize {
        self.both + self.gained + self.lost + self.neither
    }

    /// Rate after less rate before; `None` of no items.
    pub fn difference(&self) -> Option<f64> {
        (self.n() > 0).then(|| (self.gained as f64 - self.lost as f64) / self.n() as f64)
    }

    /// McNemar's exact two-sided test: the discordant items are fair coins if nothing changed. 1 where none is discordant.
    pub fn mcnemar_exact(&self) -> f64 {
        let (few, all) = (self.gained.min(self.lost), self.gained + self.lost);
        if all == 0 {
            return 1.0;
        }
        // P(X <= few) of a binomial variable with `all` fair trials, as a beta distribution function.
        (2.0 * beta_cdf((all - few) as f64, few as f64 + 1.0, 0.5)).min(1.0)
    }

    /// Agresti and Min's interval (2005): half an item is added to each of the four counts, which keeps the interval from
    /// collapsing where no item changed. `None` of no items.
    pub fn agresti_min(&self, level: f64) -> Option<Interval> {
        if self.n() == 0 {
            return None;
        }
        let (gained, lost, n) = (self.gained as f64 + 0.5, self.lost as f64 + 0.5, self.n() as f64 + 2.0);
        let difference = (gained - lost) / n;
        let error = (gained + lost - (gained - lost).powi(2) / n).sqrt() / n;
        let half = normal_quantile(0.5 + level / 2.0) * error;
        let interval = Interval::around(difference, half, level, Method::AgrestiMin);
        Some(Interval { low: interval.low.max(-1.0), high: interval.high.min(1.0), ..interval })
    }
}

/// Two-sided p-value of the paired t test; `None` of fewer than two differences or where all are equal.
pub fn paired_t_test(differences: &[f64]) -> Option<f64> {
    let mean = Mean::of(differences)?;
    let error = mean.standard_error().filter(|error| *error > 0.0)?;
    Some(2.0 * student_t_cdf(-(mean.mean / error).abs(), mean.n as f64 - 1.0))
}

/// Two-sided p-value of the sign-flip permutation test of a mean difference of zero: exact for up to 14 non-zero
/// differences, else from `draws` random sign patterns as `(hits + 1) / (draws + 1)`. 1 of no differences.
pub fn sign_flip_test(differences: &[f64], draws: usize, random: &mut impl Rng) -> f64 {
    let moved: Vec<f64> = differences.iter().copied().filter(|difference| *difference != 0.0).collect();
    let found = moved.iter().sum::<f64>().abs() * (1.0 - 1e-12);
    if moved.len() <= EXACT_FLIPS {
        let patterns = 1u64 << moved.len();
        let hits =
            (0..patterns).filter(|pattern| flipped_sum(&moved, |i| pattern >> i & 1 == 1).abs() >= found).count();
        return hits as f64 / patterns as f64;
    }
    let mut hits = 0usize;
    for _ in 0..draws {
        let mut bits = 0;
        let sum = flipped_sum(&moved, |i| {
            if i % 64 == 0 {
                bits = random.next_u64();
            }
            bits >> (i % 64) & 1 == 1
        });
        hits += usize::from(sum.abs() >= found);
    }
    (hits as f64 + 1.0) / (draws as f64 + 1.0)
}

fn flipped_sum(values: &[f64], mut flip: impl FnMut(usize) -> bool) -> f64 {
    values.iter().enumerate().map(|(i, value)| if flip(i) { -value } else { *value }).sum()
}

/// The smallest true difference that a two-sided 5 % test finds with 80 % power: `(z_0.975 + z_0.8) * standard error`.
pub fn minimum_detectable_effect(standard_error: f64) -> f64 {
    (normal_quantile(0.975) + normal_quantile(0.8)) * standard_error
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Seed;

    /// scipy.stats.binomtest(k, n).pvalue and a hand calculation of Agresti and Min's formula.
    #[test]
    fn mcnemar_and_interval() {
        let pairs = BinaryPairs { both: 50, gained: 15, lost: 5, neither: 30 };
        assert!((pairs.mcnemar_exact() - 0.04138946533203125).abs() < 1e-12);
        assert!((pairs.difference().unwrap() - 0.1).abs() < 1e-12);
        let interval = pairs.agresti_min(0.95).unwrap();
        let error = (21.0f64 - 100.0 / 102.0).sqrt() / 102.0;
        assert!((interval.low - (10.0 / 102.0 - 1.959964 * error)).abs() < 1e-6);
        assert_eq!(BinaryPairs { lost: 3, gained: 3, ..pairs }.mcnemar_exact(), 1.0);
    }

    #[test]
    fn nothing_changed_is_not_certainty() {
        let pairs = BinaryPairs::of((0..50).map(|i| (i % 2 == 0, i % 2 == 0)));
        assert_eq!(pairs, BinaryPairs { both: 25, neither: 25, gained: 0, lost: 0 });
        let interval = pairs.agresti_min(0.95).unwrap();
        assert!(interval.low < -0.03 && interval.high > 0.03 && pairs.mcnemar_exact() == 1.0, "{interval:?}");
        assert_eq!(BinaryPairs::default().agresti_min(0.95), None);
    }

    #[test]
    fn sign_flips() {
        assert_eq!(sign_flip_test(&[1.0, 1.0, 1.0, 0.0], 10, &mut Seed::new(0).rng()), 0.25);
        assert_eq!(sign_flip_test(&[], 10, &mut Seed::new(0).rng()), 1.0);
        let shifted: Vec<f64> = (0..60).map(|i| f64::from(i % 7) - 2.0).collect();
        let (flips, t) = (sign_flip_test(&shifted, 20_000, &mut Seed::new(5).rng()), paired_t_test(&shifted).unwrap());
        assert!((flips - t).abs() < 0.003, "{flips} {t}");
        assert_eq!(paired_t_test(&[1.0, 1.0]), None);
        assert!((minimum_detectable_effect(0.01) - 0.0280158).abs() < 1e-6);
    }
}
