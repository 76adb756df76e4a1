//! Before and after on the same items.

use groma_run::{Comparison, Item, Pairs};
use groma_stats::{Observation, holm};
use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::Error;
use crate::estimate::{EstimateOptions, observation, recorded};
use crate::metric::Metric;
use crate::task::Task;

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
/// By the tests that suit each, see [`Statistic::compare`](groma_stats::Statistic::compare). Null controls are not compared.
///
/// # Errors
/// [`Error::NothingInCommon`].
pub fn compare(
    task: &Task,
    before: Measured<'_>,
    after: Measured<'_>,
    mode: &str,
    options: &EstimateOptions,
) -> Result<Vec<Comparison>, Error> {
    let pairs = Pairs::of(before.items, after.items);
    let metrics = task.metrics.iter().filter(|metric| !metric.is_control);
    let comparisons: Vec<Comparison> =
        metrics.filter_map(|metric| metric.compared(task, (before, after), &pairs.items, mode, options)).collect();
    if comparisons.is_empty() {
        return Err(Error::NothingInCommon { task: task.id.clone() });
    }
    Ok(comparisons)
}

/// Holm's adjustment over a table of comparisons: p-values in their order, `None` where a comparison has none.
pub fn holm_adjusted(comparisons: &[Comparison]) -> Vec<Option<f64>> {
    let known: Vec<f64> = comparisons.iter().filter_map(|comparison| comparison.p_value).collect();
    let mut adjusted = holm(&known).into_iter();
    comparisons.iter().map(|comparison| comparison.p_value.and_then(|_| adjusted.next())).collect()
}

impl Metric {
    fn compared(
        &self,
        task: &Task,
        (first, second): (Measured<'_>, Measured<'_>),
        pairs: &[(Cow<'_, Item>, Cow<'_, Item>)],
        mode: &str,
        options: &EstimateOptions,
    ) -> Option<Comparison> {
        let scores = |(before, after): &(Cow<'_, Item>, Cow<'_, Item>)| {
            Some([self.scores_of(before)?, self.scores_of(after)?].concat())
        };
        let used = pairs.iter().filter_map(|pair| Some(observation(&pair.0, scores(pair)?)));
        let used: Vec<Observation> = used.collect();
        let found = options.resampling(self.id, |how| self.statistic.compare(&used, how))?;
        Some(Comparison {
            stage: String::new(),
            stage_key: String::new(),
            task: task.id.clone(),
            metric: self.id.to_owned(),
            mode: mode.to_owned(),
            factors: BTreeMap::new(),
            before_subject: first.subject.to_owned(),
            after_subject: second.subject.to_owned(),
            before: found.before,
            after: found.after,
            difference: found.difference,
            interval: found.interval.map(|interval| recorded(self.bounded_difference(interval))),
            p_value: found.p_value,
            n: found.n as u64,
            method: found.method.to_owned(),
            detectable: found.detectable,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scores::scores;
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
        after.iter_mut().for_each(|item| item.digest = Some(format!("other {}", item.id)));
        assert!(
            matches!(compared(&before, &after), Err(Error::NothingInCommon { .. })),
            "other content of the same ids"
        );
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
