//! Metrics of a step of training, as other programs are told of them.

use std::collections::BTreeMap;

/// Metrics of one step.
#[derive(Clone, Debug, PartialEq)]
pub struct LoggedStep {
    /// The step.
    pub step: u64,
    /// When it was logged, in seconds since 1970.
    pub time: f64,
    /// Its metrics, by name.
    pub metrics: BTreeMap<String, f64>,
}

impl LoggedStep {
    /// The metrics under the names that TRL's logs have in dashboards: `train/loss`, `eval/loss`.
    pub(crate) fn tagged(&self) -> impl Iterator<Item = (String, f64)> {
        self.metrics.iter().map(|(name, value)| (tag(name), *value))
    }
}

/// The name of a metric as transformers' own TensorBoard callback writes it.
fn tag(name: &str) -> String {
    name.strip_prefix("eval_").map_or_else(|| format!("train/{name}"), |name| format!("eval/{name}"))
}
