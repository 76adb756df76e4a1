//! Metrics between two logs: means weighted by what they count, smallest and largest values.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sums since the last log. Serialised exactly, so that a resumed run logs what an undisturbed one does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    means: BTreeMap<String, Mean>,
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
        let means =
            self.means.iter().filter(|(_, mean)| mean.weight > 0.0).map(|(n, mean)| (n, mean.sum / mean.weight));
        let extremes = self.smallest.iter().chain(&self.largest).map(|(name, value)| (name, *value));
        means.chain(extremes).map(|(name, value)| (format!("{prefix}{name}"), value)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
