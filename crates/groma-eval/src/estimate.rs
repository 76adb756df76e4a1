//! From the scores of items to a metric with its uncertainty.

use crate::statistics::{Bootstrap, Interval, Mean, clustered_interval, mean_interval, sum_by_cluster, sums, wilson};
use crate::task::{Metric, Over};
use groma_run::{Item, Seed};
use std::collections::BTreeSet;

/// How intervals are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EstimateOptions {
    /// Confidence of the intervals.
    pub level: f64,
    /// Bootstrap resamples.
    pub resamples: usize,
    /// Seed of bootstraps, permutations and null controls.
    pub seed: u64,
}

impl Default for EstimateOptions {
    fn default() -> Self {
        EstimateOptions { level: 0.95, resamples: 2000, seed: 0 }
    }
}

impl EstimateOptions {
    /// The bootstrap of the named metric.
    pub(crate) fn bootstrap(&self, metric: &str) -> Bootstrap {
        let seed = Seed::new(self.seed).named("bootstrap").named(metric);
        Bootstrap { resamples: self.resamples, level: self.level, seed }
    }
}

/// A metric's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Its interval; `None` where the items do not tell (a single one).
    pub interval: Option<Interval>,
    /// Items, or clusters of them, that it rests on.
    pub n: usize,
    /// The chance level, where the metric has one.
    pub chance: Option<f64>,
}

/// The metric over the items that have its score; `None` where none has.
pub fn estimate(metric: &Metric, items: &[Item], options: &EstimateOptions) -> Option<Estimate> {
    let columns = Columns::of(metric, items);
    if columns.rows.is_empty() {
        return None;
    }
    let chances: Vec<f64> = metric
        .chance
        .map(|score| items.iter().filter_map(|item| item.scores.get(score)).copied().collect())
        .unwrap_or_default();
    Some(Estimate {
        value: metric.over.of(sums(&columns.rows)),
        interval: columns.interval(metric, options),
        n: columns.rows.len(),
        chance: (!chances.is_empty()).then(|| Mean::of(&chances).mean),
    })
}

/// What a metric is made of: one row `[numerator, denominator]` an item, and the items' clusters where they have some.
pub(crate) struct Columns {
    pub(crate) rows: Vec<[f64; 2]>,
    pub(crate) clusters: Option<Vec<String>>,
}

impl Columns {
    pub(crate) fn of(metric: &Metric, items: &[Item]) -> Self {
        let used: Vec<(&Item, [f64; 2])> = items.iter().filter_map(|item| Some((item, metric.row(item)?))).collect();
        let keys = cluster_keys(&used.iter().map(|(item, _)| *item).collect::<Vec<_>>());
        let rows: Vec<[f64; 2]> = used.into_iter().map(|(_, row)| row).collect();
        match keys {
            Some(keys) if metric.over == Over::Clusters => {
                Columns { rows: cluster_means(&rows, &keys), clusters: None }
            }
            clusters => Columns { rows, clusters },
        }
    }

    fn interval(&self, metric: &Metric, options: &EstimateOptions) -> Option<Interval> {
        let values: Vec<f64> = self.rows.iter().map(|row| row[0]).collect();
        match metric.over {
            Over::Trials => {
                let clustered = self.clustered(&values, options.level).map(|interval| Interval {
                    low: interval.low.max(0.0),
                    high: interval.high.min(1.0),
                    ..interval
                });
                let successes = values.iter().filter(|value| **value > 0.5).count();
                clustered.or_else(|| wilson(successes, values.len(), options.level))
            }
            Over::Items | Over::Clusters => {
                self.clustered(&values, options.level).or_else(|| mean_interval(&values, options.level))
            }
            Over::Sum(_) | Over::ExpSum(_) => {
                let units = match &self.clusters {
                    Some(keys) => sum_by_cluster(&self.rows, keys),
                    None => self.rows.clone(),
                };
                options.bootstrap(metric.id).percentile(&units, |sums| metric.over.of(*sums))
            }
        }
    }

    /// The clustered interval, unless all values are equal and it would collapse.
    fn clustered(&self, values: &[f64], level: f64) -> Option<Interval> {
        let keys = self.clusters.as_ref()?;
        let varies = values.iter().any(|value| *value != values[0]);
        varies
            .then(|| clustered_interval(values, keys, level))
            .flatten()
            .filter(|interval| interval.low < interval.high)
    }
}

/// The mean row of each cluster.
pub(crate) fn cluster_means<const K: usize>(rows: &[[f64; K]], keys: &[String]) -> Vec<[f64; K]> {
    let counts = sum_by_cluster(&vec![[1.0]; rows.len()], keys);
    let sums = sum_by_cluster(rows, keys);
    sums.into_iter().zip(counts).map(|(sums, [count])| sums.map(|sum| sum / count)).collect()
}

/// The items' clusters, an item without one being its own; `None` unless two clusters or more bind items together.
pub(crate) fn cluster_keys(items: &[&Item]) -> Option<Vec<String>> {
    let own = |item: &&Item| match &item.cluster {
        Some(cluster) => format!("c{cluster}"),
        None => format!("i{}", item.id),
    };
    let keys: Vec<String> = items.iter().map(own).collect();
    let distinct = keys.iter().collect::<BTreeSet<_>>().len();
    (distinct > 1 && distinct < keys.len()).then_some(keys)
}

impl Metric {
    /// Numerator and denominator of one item.
    pub(crate) fn row(&self, item: &Item) -> Option<[f64; 2]> {
        let numerator = *item.scores.get(self.score)?;
        let denominator = match self.over {
            Over::Trials | Over::Items | Over::Clusters => 1.0,
            Over::Sum(score) | Over::ExpSum(score) => *item.scores.get(score)?,
        };
        Some([numerator, denominator])
    }
}

impl Over {
    /// The metric's value from the sums of numerators and denominators.
    pub fn of(self, [numerator, denominator]: [f64; 2]) -> f64 {
        let quotient = numerator / denominator;
        if matches!(self, Over::ExpSum(_)) { quotient.exp() } else { quotient }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::scores;
    use crate::statistics::Method;
    use groma_run::Unit;

    fn items(values: &[f64], cluster: impl Fn(usize) -> Option<String>) -> Vec<Item> {
        let item = |(index, value): (usize, &f64)| Item {
            id: index.to_string(),
            scores: scores([("acc", *value), ("bytes", 2.0), ("chance", 0.25)]),
            cluster: cluster(index),
            ..Item::default()
        };
        values.iter().enumerate().map(item).collect()
    }

    const ACC: Metric = Metric::share("acc", "").with_chance("chance");

    #[test]
    fn the_interval_suits_the_metric() {
        let values: Vec<f64> = (0..50).map(|i| f64::from(u8::from(i < 7))).collect();
        let options = EstimateOptions::default();
        let found = estimate(&ACC, &items(&values, |_| None), &options).unwrap();
        assert_eq!((found.value, found.n, found.chance), (0.14, 50, Some(0.25)));
        assert!((found.interval.unwrap().low - 0.0695).abs() < 1e-4);
        let mean = Metric::mean("acc", "", Unit::Plain);
        assert_eq!(
            estimate(&mean, &items(&values, |_| None), &options).unwrap().interval.unwrap().method,
            Method::StudentT
        );
        let clustered = estimate(&ACC, &items(&values, |i| Some((i % 5).to_string())), &options).unwrap();
        assert_eq!(clustered.interval.unwrap().method, Method::ClusteredT);
        let ratio = Metric { over: Over::Sum("bytes"), ..ACC };
        let found = estimate(&ratio, &items(&values, |_| None), &options).unwrap();
        assert_eq!((found.value, found.interval.unwrap().method), (0.07, Method::Bootstrap));
    }

    #[test]
    fn intervals_do_not_collapse_and_failures_are_not_zeros() {
        let options = EstimateOptions::default();
        let all_right = estimate(&ACC, &items(&[1.0; 20], |i| Some((i % 4).to_string())), &options).unwrap();
        assert!(all_right.interval.unwrap().low < 0.9 && all_right.interval.unwrap().method == Method::Wilson);
        let mut with_failure = items(&[1.0, 1.0, 0.0], |_| None);
        with_failure[2].scores.clear();
        assert_eq!(estimate(&ACC, &with_failure, &options).unwrap().value, 1.0);
        assert_eq!(estimate(&ACC, &with_failure[2..], &options), None);
    }

    #[test]
    fn order_does_not_matter() {
        let values: Vec<f64> = (0..40).map(|i| f64::from(u8::from(i % 3 == 0))).collect();
        let forward = items(&values, |i| Some((i / 4).to_string()));
        let mut backward = forward.clone();
        backward.reverse();
        let options = EstimateOptions::default();
        let (one, other) = (estimate(&ACC, &forward, &options).unwrap(), estimate(&ACC, &backward, &options).unwrap());
        assert!((one.interval.unwrap().low - other.interval.unwrap().low).abs() < 1e-12);
    }
}
