//! Metrics between two logs: means weighted by what they count, differences of such, smallest and largest values.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sums since the last log. Serialised exactly, so that a resumed run logs what an undisturbed one does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    means: BTreeMap<String, Mean>,
    /// The two means of each difference.
    #[serde(default)]
    differences: BTreeMap<String, (String, String)>,
    smallest: BTreeMap<String, f64>,
    largest: BTreeMap<String, f64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Metrics {
    /// Adds to a mean: the sum of `weight` values.
    pub fn add(&mut self, name: &str, sum: f64, weight: f64) {
        let mean = self.means.entry(name.to_owned()).or_default();
        mean.sum += sum;
        mean.weight += weight;
    }

    /// The first mean less the second, formed when all is added up: the two may count different things, unequally many in
    /// each step. It is there where both means are.
    pub fn difference(&mut self, name: &str, first: &str, second: &str) {
        self.differences.entry(name.to_owned()).or_insert_with(|| (first.to_owned(), second.to_owned()));
    }

    /// Notes a value of which the smallest is wanted.
    pub fn smallest(&mut self, name: &str, value: f64) {
        self.smallest.entry(name.to_owned()).and_modify(|least| *least = least.min(value)).or_insert(value);
    }

    /// Notes a value of which the largest is wanted.
    pub fn largest(&mut self, name: &str, value: f64) {
        self.largest.entry(name.to_owned()).and_modify(|most| *most = most.max(value)).or_insert(value);
    }

    /// The metrics, each name with `prefix` before it.
    pub fn values(&self, prefix: &str) -> BTreeMap<String, f64> {
        let mean = |name: &String| {
            let mean = self.means.get(name).filter(|mean| mean.weight > 0.0)?;
            Some(mean.sum / mean.weight)
        };
        let means = self.means.keys().filter_map(|name| Some((name, mean(name)?)));
        let differences = self.differences.iter();
        let differences = differences.filter_map(|(name, (a, b))| Some((name, mean(a)? - mean(b)?)));
        let extremes = self.smallest.iter().chain(&self.largest).map(|(name, value)| (name, *value));
        means.chain(differences).chain(extremes).map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of 3 and 1 desirable answers beside 1 and 3 others: the mean of the steps' differences would be another number.
    #[test]
    fn differences_are_formed_at_the_end() {
        let mut metrics = Metrics::default();
        for (chosen, rejected) in [(&[1.0, 2.0, 3.0][..], &[5.0][..]), (&[9.0], &[1.0, 1.0, 2.0])] {
            chosen.iter().for_each(|reward| metrics.add("rewards/chosen", *reward, 1.0));
            metrics.difference("rewards/margins", "rewards/chosen", "rewards/rejected");
            assert_eq!(metrics.values("").contains_key("rewards/margins"), metrics.means.len() > 1);
            rejected.iter().for_each(|reward| metrics.add("rewards/rejected", *reward, 1.0));
        }
        assert_eq!(metrics.values("")["rewards/margins"], 15.0 / 4.0 - 9.0 / 4.0);
        let text = serde_json::to_string(&metrics).unwrap();
        assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics);
    }

    #[test]
    fn means_weigh_by_count_and_survive_json() {
        let mut metrics = Metrics::default();
        metrics.add("loss", 0.1 * 3.0, 3.0);
        metrics.add("loss", 0.4, 1.0);
        metrics.add("never", 0.0, 0.0);
        metrics.smallest("low", -2.0);
        metrics.smallest("low", 1.0);
        metrics.largest("high", -2.0);
        metrics.largest("high", -3.0);
        let values = metrics.values("eval_");
        assert_eq!(values.keys().collect::<Vec<_>>(), ["eval_high", "eval_loss", "eval_low"]);
        assert!((values["eval_loss"] - 0.175).abs() < 1e-15);
        assert_eq!((values["eval_low"], values["eval_high"]), (-2.0, -2.0));
        let text = serde_json::to_string(&metrics).unwrap();
        assert_eq!(serde_json::from_str::<Metrics>(&text).unwrap(), metrics);
    }
}
