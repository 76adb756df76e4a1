//! Before and after on the same items.

use groma_run::{Comparison, Item, Seed};
use std::collections::BTreeMap;

use crate::Error;
use crate::estimate::{EstimateOptions, cluster_keys, cluster_means};
use crate::statistics::{
    BinaryPairs, Interval, Mean, clustered_interval, clustered_standard_error, holm, minimum_detectable_effect,
    normal_quantile, sign_flip_test, student_t_cdf, sum_by_cluster, sums,
};
use crate::task::{Metric, Over, Task};

/// Sign patterns drawn by the permutation test.
const SIGN_PATTERNS: usize = 10_000;

/// The items of one subject.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'a> {
    /// Its name.
    pub subject: &'a str,
    /// The scores of its items.
    pub items: &'a [Item],
}

/// Compares two subjects metric by metric, on the items that both have scores of.
///
/// Shares: Agresti and Min's interval and McNemar's exact test. Means: paired bootstrap and sign-flip test. Quotients of sums
/// (perplexity): the bootstrap draws items (or clusters) and forms both quotients anew; the test flips the signs of the
/// differences of the numerators, and there is none where the denominators differ. Shares and means of clustered items: t
/// with clustered errors. Null controls are not compared.
///
/// # Errors
/// [`Error::DifferentItems`] where an id stands for different content, [`Error::NothingInCommon`].
pub fn compare(
    task: &Task,
    before: Measured<'_>,
    after: Measured<'_>,
    mode: &str,
    options: &EstimateOptions,
) -> Result<Vec<Comparison>, Error> {
    let others: BTreeMap<&str, &Item> = after.items.iter().map(|item| (item.id.as_str(), item)).collect();
    let mut pairs: Vec<(&Item, &Item)> = Vec::new();
    for item in before.items {
        let Some(other) = others.get(item.id.as_str()) else { continue };
        if item.digest.is_some() && other.digest.is_some() && item.digest != other.digest {
            return Err(Error::DifferentItems { task: task.id.to_owned(), id: item.id.clone() });
        }
        pairs.push((item, other));
    }
    let metrics = task.metrics.iter().filter(|metric| !metric.is_control);
    let comparisons: Vec<Comparison> = metrics
        .filter_map(|metric| Paired::of(metric, &pairs)?.comparison(task, (before, after), mode, options))
        .collect();
    if comparisons.is_empty() {
        return Err(Error::NothingInCommon { task: task.id.to_owned() });
    }
    Ok(comparisons)
}

/// Holm's adjustment over a table of comparisons: p-values in their order, `None` where a comparison has none.
pub fn holm_adjusted(comparisons: &[Comparison]) -> Vec<Option<f64>> {
    let known: Vec<f64> = comparisons.iter().filter_map(|comparison| comparison.p_value).collect();
    let mut adjusted = holm(&known).into_iter();
    comparisons.iter().map(|comparison| comparison.p_value.and_then(|_| adjusted.next())).collect()
}

/// One metric on paired items: rows of numerator and denominator before, numerator and denominator after.
struct Paired<'a> {
    metric: &'a Metric,
    rows: Vec<[f64; 4]>,
    clusters: Option<Vec<String>>,
}

/// A test of no difference.
struct Test {
    interval: Option<Interval>,
    p_value: Option<f64>,
    method: &'static str,
    standard_error: Option<f64>,
}

impl<'a> Paired<'a> {
    fn of(metric: &'a Metric, pairs: &[(&Item, &Item)]) -> Option<Self> {
        let mut used = Vec::new();
        let mut rows = Vec::new();
        for (before, after) in pairs {
            if let (Some(first), Some(second)) = (metric.row(before), metric.row(after)) {
                used.push(*before);
                rows.push([first[0], first[1], second[0], second[1]]);
            }
        }
        let clusters = cluster_keys(&used);
        let (rows, clusters) = match clusters {
            Some(keys) if metric.over == Over::Clusters => (cluster_means(&rows, &keys), None),
            clusters => (rows, clusters),
        };
        (!rows.is_empty()).then_some(Paired { metric, rows, clusters })
    }

    fn values(&self, [before, before_over, after, after_over]: [f64; 4]) -> (f64, f64) {
        (self.metric.over.of([before, before_over]), self.metric.over.of([after, after_over]))
    }

    fn difference(&self, sums: &[f64; 4]) -> f64 {
        let (before, after) = self.values(*sums);
        after - before
    }

    fn comparison(
        &self,
        task: &Task,
        (first, second): (Measured<'_>, Measured<'_>),
        mode: &str,
        options: &EstimateOptions,
    ) -> Option<Comparison> {
        let (before, after) = self.values(sums(&self.rows));
        let test = match self.metric.over {
            Over::Trials => self.clustered(options).unwrap_or_else(|| self.binary(options)),
            Over::Items | Over::Clusters => self.clustered(options).unwrap_or_else(|| self.resampled(options)),
            Over::Sum(_) | Over::ExpSum(_) => self.resampled(options),
        };
        Some(Comparison {
            stage: String::new(),
            stage_key: String::new(),
            task: task.id.to_owned(),
            metric: self.metric.id.to_owned(),
            mode: mode.to_owned(),
            before_subject: first.subject.to_owned(),
            after_subject: second.subject.to_owned(),
            before,
            after,
            difference: after - before,
            interval: test.interval.map(Into::into),
            p_value: test.p_value,
            n: self.rows.len() as u64,
            method: test.method.to_owned(),
            detectable: test.standard_error.map(minimum_detectable_effect),
        })
    }

    fn differences(&self) -> Vec<f64> {
        self.rows.iter().map(|row| row[2] - row[0]).collect()
    }

    fn binary(&self, options: &EstimateOptions) -> Test {
        let pairs = BinaryPairs::of(self.rows.iter().map(|row| (row[0] > 0.5, row[2] > 0.5)));
        Test {
            interval: pairs.agresti_min(options.level),
            p_value: Some(pairs.mcnemar_exact()),
            method: "exact McNemar",
            standard_error: Mean::of(&self.differences()).standard_error(),
        }
    }

    /// t with clustered errors; `None` without clusters, or where nothing changed and the interval would collapse.
    fn clustered(&self, options: &EstimateOptions) -> Option<Test> {
        let keys = self.clusters.as_ref()?;
        let differences = self.differences();
        let error = clustered_standard_error(&differences, keys).filter(|error| *error > 0.0)?;
        let clusters = sum_by_cluster(&self.rows, keys).len() as f64;
        let t = Mean::of(&differences).mean / error;
        Some(Test {
            interval: clustered_interval(&differences, keys, options.level),
            p_value: Some(2.0 * student_t_cdf(-t.abs(), clusters - 1.0)),
            method: "clustered t",
            standard_error: Some(error),
        })
    }

    fn resampled(&self, options: &EstimateOptions) -> Test {
        let units = match &self.clusters {
            Some(keys) => sum_by_cluster(&self.rows, keys),
            None => self.rows.clone(),
        };
        let bootstrap = options.bootstrap(self.metric.id);
        let interval = bootstrap.percentile(&units, |sums| self.difference(sums));
        let same_denominators = units.iter().all(|row| (row[1] - row[3]).abs() <= 1e-9 * row[1].abs());
        let moved: Vec<f64> = units.iter().map(|row| row[2] - row[0]).collect();
        let seed = Seed::new(options.seed).named("sign flips").named(self.metric.id);
        let width = 2.0 * normal_quantile(0.5 + options.level / 2.0);
        Test {
            interval,
            p_value: (same_denominators && moved.len() > 1).then(|| sign_flip_test(&moved, SIGN_PATTERNS, seed)),
            method: if same_denominators { "sign-flip permutation" } else { "paired bootstrap" },
            standard_error: interval.map(|interval| (interval.high - interval.low) / width),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::scores;
    use crate::tasks::find;

    fn items(values: &[(f64, f64)], cluster: impl Fn(usize) -> Option<String>) -> (Vec<Item>, Vec<Item>) {
        let item = |index: usize, value: f64| Item {
            id: index.to_string(),
            scores: scores([("acc", value), ("acc_norm", value)]),
            cluster: cluster(index),
            digest: Some("d".into()),
            ..Item::default()
        };
        let before = values.iter().enumerate().map(|(index, pair)| item(index, pair.0)).collect();
        let mut after: Vec<Item> = values.iter().enumerate().map(|(index, pair)| item(index, pair.1)).collect();
        after.reverse();
        (before, after)
    }

    fn compared(before: &[Item], after: &[Item]) -> Result<Vec<Comparison>, Error> {
        let measured = |subject, items| Measured { subject, items };
        let task = find("arc-easy").unwrap();
        compare(task, measured("before", before), measured("after", after), "m", &EstimateOptions::default())
    }

    #[test]
    fn pairs_by_id_and_counts_what_both_have() {
        let values: Vec<(f64, f64)> =
            (0..100).map(|i| (f64::from(u8::from(i < 55)), f64::from(u8::from((5..70).contains(&i))))).collect();
        let (before, mut after) = items(&values, |_| None);
        let found = compared(&before, &after).unwrap();
        let acc = found.iter().find(|comparison| comparison.metric == "acc").unwrap();
        assert_eq!((acc.before, acc.after, acc.n, acc.method.as_str()), (0.55, 0.65, 100, "exact McNemar"));
        assert!((acc.p_value.unwrap() - 0.04138946533203125).abs() < 1e-12);
        assert!(acc.interval.as_ref().unwrap().low > 0.0 && acc.detectable.unwrap() > 0.05);
        after[0].scores.clear();
        assert_eq!(compared(&before, &after).unwrap()[0].n, 99);
        after[0].digest = Some("other".into());
        assert!(matches!(compared(&before, &after), Err(Error::DifferentItems { .. })));
        assert!(matches!(compared(&before, &[]), Err(Error::NothingInCommon { .. })));
    }

    #[test]
    fn clusters_widen_the_interval() {
        let values: Vec<(f64, f64)> = (0..80).map(|i| (0.0, f64::from(u8::from(i / 20 == 1 || i / 20 == 2)))).collect();
        let (before, after) = items(&values, |_| None);
        let width = |found: &[Comparison]| {
            let interval = found[0].interval.clone().unwrap();
            interval.high - interval.low
        };
        let plain = width(&compared(&before, &after).unwrap());
        let (before, after) = items(&values, |i| Some((i / 20).to_string()));
        let found = compared(&before, &after).unwrap();
        assert_eq!(found[0].method, "clustered t");
        assert!(width(&found) > 2.0 * plain);
    }

    #[test]
    fn perplexities_are_compared_as_quotients() {
        let item = |index: usize, nats: f64| Item {
            id: index.to_string(),
            scores: scores([("nats", nats), ("bits", nats / std::f64::consts::LN_2), ("bytes", 50.0), ("words", 10.0)]),
            ..Item::default()
        };
        let before: Vec<Item> = (0..60).map(|i| item(i, 30.0 + (i % 7) as f64)).collect();
        let after: Vec<Item> = (0..60).map(|i| item(i, 29.0 + (i % 7) as f64 + 0.1 * (i % 3) as f64)).collect();
        let task = find("perplexity").unwrap();
        let measured = |subject, items| Measured { subject, items };
        let options = EstimateOptions::default();
        let found = compare(task, measured("a", &before), measured("b", &after), "", &options).unwrap();
        let words = &found[0];
        let nats: f64 = before.iter().map(|item| item.scores["nats"]).sum();
        assert!((words.before - (nats / 600.0).exp()).abs() < 1e-9 && words.difference < 0.0);
        assert!(words.interval.as_ref().unwrap().high < 0.0 && words.p_value.unwrap() < 0.001);
        assert_eq!(holm_adjusted(&found).len(), found.len());
    }
}
