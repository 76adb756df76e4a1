//! From the scores of items to a metric with its uncertainty.

use crate::metric::Metric;
use groma_run::{Item, Random, Seed};
use groma_stats::{Estimate, Interval, LEVEL, Mean, Observation, RESAMPLES, Resampling};

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
        EstimateOptions { level: LEVEL, resamples: RESAMPLES, seed: 0 }
    }
}

impl EstimateOptions {
    /// Calls `statistics` with random numbers that belong to the named metric.
    pub(crate) fn resampling<T>(&self, metric: &str, statistics: impl FnOnce(&Resampling<Random>) -> T) -> T {
        let draw = |purpose: &str, index| Seed::new(self.seed).draw(purpose, metric, index);
        statistics(&Resampling { level: self.level, resamples: self.resamples, draw: &draw })
    }
}

/// The metric over the items that have its scores; `None` where it does not exist: no item has them, or it is 0/0.
pub fn estimate(metric: &Metric, items: &[Item], options: &EstimateOptions) -> Option<Estimate> {
    let used = items.iter().filter_map(|item| Some(observation(item, metric.scores_of(item)?)));
    let used: Vec<Observation> = used.collect();
    let found = options.resampling(metric.id, |how| metric.statistic.estimate(&used, how))?;
    let interval = found.interval.map(|interval| within(interval, metric.bounds()));
    Some(Estimate { interval, ..found })
}

/// The part of an interval that can be.
fn within(interval: Interval, (least, most): (f64, f64)) -> Interval {
    Interval { low: interval.low.clamp(least, most), high: interval.high.clamp(least, most), ..interval }
}

/// The mean of the score that gives the level of chance, where the metric has one.
pub(crate) fn chance(metric: &Metric, items: &[Item]) -> Option<f64> {
    let score = metric.chance?;
    let chances: Vec<f64> = items.iter().filter_map(|item| item.scores.get(score)).copied().collect();
    Mean::of(&chances).map(|mean| mean.mean)
}

impl Metric {
    /// The scores of an item that it adds up; `None` unless the item has all of them.
    pub(crate) fn scores_of(&self, item: &Item) -> Option<Vec<f64>> {
        item.scores_of(self.scores())
    }

    /// The part of an interval of its differences that can be.
    pub(crate) fn bounded_difference(&self, interval: Interval) -> Interval {
        let (least, most) = self.bounds();
        within(interval, (least - most, most - least))
    }

    /// Its statistic, as records have it.
    pub fn record(&self) -> groma_run::Statistic {
        groma_run::Statistic {
            formula: self.statistic.formula.id.to_owned(),
            scores: self.scores().into_iter().map(str::to_owned).collect(),
            across: self.statistic.across.map(|across| across.id.to_owned()),
        }
    }
}

/// An item with the scores that a metric adds up.
pub(crate) fn observation(item: &Item, scores: Vec<f64>) -> Observation<'_> {
    Observation { id: &item.id, cluster: item.cluster.as_deref(), group: item.group.as_deref(), scores }
}

/// An interval as records have it.
pub(crate) fn recorded(Interval { low, high, level, method }: Interval) -> groma_run::Interval {
    groma_run::Interval { low, high, level, method: method.name().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scorers::testing as scorers;
    use crate::scores::scores;
    use groma_run::Unit;
    use groma_stats::Method;
    use groma_stats::formulas::RATIO;

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
        assert_eq!((found.value, found.n), (0.14, 50));
        assert_eq!(chance(&ACC, &items(&values, |_| None)), Some(0.25));
        assert!((found.interval.unwrap().low - 0.0695).abs() < 1e-4);
        let mean = Metric::mean("acc", "", Unit::Plain);
        assert_eq!(
            estimate(&mean, &items(&values, |_| None), &options).unwrap().interval.unwrap().method,
            Method::StudentT
        );
        let clustered = estimate(&ACC, &items(&values, |i| Some((i % 5).to_string())), &options).unwrap();
        assert_eq!(clustered.interval.unwrap().method, Method::ClusteredT);
        let ratio = ACC.of(&["acc", "bytes"], &RATIO);
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
    fn intervals_end_where_the_measure_does() {
        let mean = Metric::mean("acc", "", Unit::Share);
        let options = EstimateOptions::default();
        let interval =
            |metric, values: &[f64]| estimate(&metric, &items(values, |_| None), &options).unwrap().interval.unwrap();
        // t of two values is [-5.85, 6.85].
        assert_eq!((interval(mean, &[0.0, 1.0]).low, interval(mean, &[0.0, 1.0]).high), (0.0, 1.0));
        let rating = Metric::mean("acc", "", Unit::Plain).within(1.0, 10.0);
        assert_eq!(interval(rating, &[1.0, 1.5]).low, 1.0);
        assert_eq!(interval(rating, &[9.0, 10.0]).high, 10.0);
        let open = Metric::mean("acc", "", Unit::Plain);
        assert!(interval(open, &[0.0, 1.0]).low < -5.0);
        let wide = Interval { low: -3.0, high: 0.5, level: 0.95, method: Method::ClusteredT };
        assert_eq!(mean.bounded_difference(wide).low, -1.0);
    }

    /// `fixtures/bbq.json`, made by `scripts/make_bbq_reference.py` from the paper.
    #[test]
    fn bias_scores_of_bbq_are_those_of_the_paper() {
        let fixture: serde_json::Value = serde_json::from_str(include_str!("../fixtures/bbq.json")).unwrap();
        let task = crate::find("bbq").unwrap();
        let mut items = std::collections::BTreeMap::<&str, Vec<Item>>::new();
        for (row, logps) in
            fixture["rows"].as_array().unwrap().iter().zip(fixture["log_likelihoods"].as_array().unwrap())
        {
            let asked = crate::read::form_item(task, &task.forms[0], row.as_object().unwrap()).unwrap();
            let likelihood = |logp: &serde_json::Value| scorers::likelihood(logp.as_f64().unwrap(), 1);
            let answers: Vec<_> =
                logps.as_array().unwrap().iter().map(|logp| groma_lm::Answer::Scored(likelihood(logp))).collect();
            let scores = scorers::scored(task.scorer, &asked, &answers).unwrap().remove(0);
            let item = Item { id: row["example_id"].to_string(), cluster: asked.cluster, scores, ..Item::default() };
            items.entry(row["category"].as_str().unwrap()).or_default().push(item.clone());
            items.entry("all").or_default().push(item);
        }
        let options = EstimateOptions { resamples: 50, ..EstimateOptions::default() };
        for (category, expected) in fixture["expected"].as_object().unwrap() {
            for (metric, expected) in expected.as_object().unwrap() {
                let found = estimate(task.metric(metric).unwrap(), &items[category.as_str()], &options).unwrap().value;
                assert!(
                    (found - expected.as_f64().unwrap()).abs() < 1e-12,
                    "{category} {metric}: {found} for {expected}"
                );
            }
        }
    }

    /// ICAT is made of LMS and SS as they are reported, which are means over terms: two terms of one and three items.
    #[test]
    fn icat_is_of_macro_averages() {
        let of = [("a", 1.0, 1.0), ("b", 0.0, 1.0), ("b", 0.0, 0.5), ("b", 1.0, 0.0)];
        let item = |(index, (group, stereotyped, meaningful)): (usize, (&str, f64, f64))| Item {
            id: index.to_string(),
            group: Some(group.to_owned()),
            scores: scores([("stereotyped", stereotyped), ("meaningful", meaningful)]),
            ..Item::default()
        };
        let items: Vec<Item> = of.into_iter().enumerate().map(item).collect();
        let task = crate::find("stereoset").unwrap();
        let value = |metric| estimate(task.metric(metric).unwrap(), &items, &EstimateOptions::default()).unwrap().value;
        let (lms, ss) = ((1.0 + 0.5) / 2.0, (1.0 + 1.0 / 3.0) / 2.0);
        assert!((value("lms") - lms).abs() < 1e-12 && (value("ss") - ss).abs() < 1e-12);
        assert!((value("icat") - lms * f64::min(ss, 1.0 - ss) / 0.5).abs() < 1e-12);
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
