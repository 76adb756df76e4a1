//! Items that come in clusters (variants of one template, questions on one passage) are not independent.

use crate::bootstrap::add;
use crate::interval::{Interval, Method};
use crate::mean::Mean;
use crate::special::student_t_quantile;
use std::collections::BTreeMap;

/// Clustered standard error of a mean (Miller 2024, arXiv 2411.00640, with the small-sample factor C / (C - 1)):
/// `sqrt(C / (C - 1) * sum over clusters of (sum of deviations)^2) / n`. `None` of fewer than two clusters.
pub fn clustered_standard_error<Key: Ord>(values: &[f64], clusters: &[Key]) -> Option<f64> {
    let mean = Mean::of(values)?.mean;
    let deviations: Vec<[f64; 1]> = values.iter().map(|value| [value - mean]).collect();
    let sums = sum_by_cluster(&deviations, clusters);
    let count = sums.len() as f64;
    let squares: f64 = sums.iter().map(|sum| sum[0] * sum[0]).sum();
    (sums.len() > 1).then(|| (count / (count - 1.0) * squares).sqrt() / values.len() as f64)
}

/// The t interval of a mean with C - 1 degrees of freedom; `None` of fewer than two clusters.
pub fn clustered_interval<Key: Ord>(values: &[f64], clusters: &[Key], level: f64) -> Option<Interval> {
    let error = clustered_standard_error(values, clusters)?;
    let count = clusters.iter().collect::<std::collections::BTreeSet<_>>().len();
    let quantile = student_t_quantile(0.5 + level / 2.0, count as f64 - 1.0);
    Some(Interval::around(Mean::of(values)?.mean, quantile * error, level, Method::ClusteredT))
}

/// Rows added up by cluster, in the order of the keys.
pub fn sum_by_cluster<Key: Ord>(rows: &[impl AsRef<[f64]>], clusters: &[Key]) -> Vec<Vec<f64>> {
    let mut sums: BTreeMap<&Key, Vec<f64>> = BTreeMap::new();
    for (row, key) in rows.iter().zip(clusters) {
        let row = row.as_ref();
        add(sums.entry(key).or_insert_with(|| vec![0.0; row.len()]), row);
    }
    sums.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn singletons_give_the_plain_error() {
        let values = [0.0, 1.0, 1.0, 0.0, 1.0];
        let clustered = clustered_standard_error(&values, &[0, 1, 2, 3, 4]).unwrap();
        assert!((clustered - Mean::of(&values).unwrap().standard_error().unwrap()).abs() < 1e-12);
    }

    #[test]
    fn doubling_every_row_changes_nothing() {
        let values = [0.2, 0.9, 0.4, 0.7];
        let keys = ["a", "b", "c", "d"];
        let doubled: Vec<f64> = values.iter().chain(&values).copied().collect();
        let doubled_keys: Vec<&str> = keys.iter().chain(&keys).copied().collect();
        let (once, twice) =
            (clustered_interval(&values, &keys, 0.95), clustered_interval(&doubled, &doubled_keys, 0.95));
        assert!((once.unwrap().low - twice.unwrap().low).abs() < 1e-12);
    }

    #[test]
    fn one_cluster_has_no_error() {
        assert_eq!(clustered_standard_error(&[1.0, 2.0], &["a", "a"]), None);
    }
}
