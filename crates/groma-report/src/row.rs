//! One measure on two sides.

use crate::change::Change;
use crate::effect::Size;
use crate::format::Digits;
use crate::reading::Reading;
use groma_run::{Group, Interval, Measurement, Unit, number};
use serde::Serialize;
use std::collections::BTreeMap;

/// One measure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HeadlineRow {
    /// The task.
    pub task: String,
    /// The metric.
    pub metric: String,
    /// How it was scored.
    pub mode: String,
    /// Its factors, where the subject has several numbers of this task, metric and mode.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, String>,
    /// What it stands for.
    pub group: Group,
    /// How it is written.
    pub unit: Unit,
    /// Which way is good.
    pub higher_is_better: Option<bool>,
    /// What chance alone would give.
    #[serde(with = "number::option")]
    pub chance: Option<f64>,
    /// The left side.
    pub before: Option<Side>,
    /// The right side.
    pub after: Option<Side>,
    /// The difference, where both sides are there and finite.
    pub change: Option<Change>,
    /// What may be said about it.
    pub reading: Reading,
    /// How large the difference is, by the rule of its unit, whether it is clear or not.
    pub size: Option<Size>,
}

impl HeadlineRow {
    /// The digits in which a clear change is seen.
    pub(crate) fn digits(&self) -> Digits {
        let change = self.change.as_ref().filter(|_| self.reading.is_clear());
        change.map_or(Digits::default(), |change| Digits::to_see(change.difference))
    }

    /// The size of a change that is clear.
    pub(crate) fn clear_size(&self) -> Option<Size> {
        self.size.filter(|_| self.reading.is_clear())
    }

    /// Task and metric, once where they say the same, and the factors.
    pub(crate) fn name(&self) -> String {
        name_of(&self.task, &self.metric, &self.factors)
    }
}

/// Task and metric, once where they say the same, and the factors.
pub(crate) fn name_of(task: &str, metric: &str, factors: &BTreeMap<String, String>) -> String {
    let (task, metric) = (task, shown_metric(task, metric).unwrap_or_default());
    let name = if metric.is_empty() { task.to_owned() } else { format!("{task} {metric}") };
    if factors.is_empty() { name } else { format!("{name} ({})", in_words(factors)) }
}

/// The metric, unless the task's name says it already.
pub(crate) fn shown_metric<'a>(task: &str, metric: &'a str) -> Option<&'a str> {
    (task.replace('-', "_") != metric).then_some(metric)
}

/// Factors as they are read.
pub(crate) fn in_words(factors: &BTreeMap<String, String>) -> String {
    factors.iter().map(|(name, value)| format!("{name} {value}")).collect::<Vec<_>>().join(", ")
}

/// The number of one side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// The number.
    #[serde(with = "number")]
    pub value: f64,
    /// Its uncertainty.
    pub interval: Option<Interval>,
    /// Items.
    pub n: u64,
    /// Items that failed and are not in `n`.
    pub failed: u64,
    /// What else was said of it.
    pub note: Option<String>,
}

impl Side {
    /// The number of a measurement.
    pub(crate) fn of(row: &Measurement) -> Self {
        Side { value: row.value, interval: row.interval.clone(), n: row.n, failed: row.failed, note: row.note.clone() }
    }
}
