//! A watch over a training that learns from rewards: one number of what was logged so far, and from where on it is an alarm.

use crate::parameter::{Kind, Parameter, Range, Variant, parameter};
use groma_run::number;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A watch, as data.
#[derive(Clone, Copy)]
pub(crate) struct Watch {
    /// Its name in the setting `watch`.
    pub(crate) id: &'static str,
    /// What its number is, in a few words.
    pub(crate) title: &'static str,
    /// Where the idea was published.
    pub(crate) paper: &'static str,
    /// What the number is, and what it means.
    pub(crate) doc: &'static str,
    /// The one setting of its own: from where on it is an alarm.
    pub(crate) limit: &'static [Parameter; 1],
    /// Whether the reference must be asked about samples.
    pub(crate) needs_reference: bool,
    /// The number at the last log; `None` where too little is known. The larger, the worse.
    pub(crate) level: fn(&Past) -> Option<f64>,
}

impl Watch {
    /// As a choice of settings.
    pub(crate) const fn variant(&self) -> Variant {
        Variant { id: self.id, title: self.title, paper: self.paper, doc: self.doc, parameters: self.limit }
    }
}

/// The setting of a watch's limit.
pub(crate) const fn limit(name: &'static str, default: &'static str, doc: &'static str) -> [Parameter; 1] {
    [parameter(name, Kind::Float, default, Some(Range::above(0.0)), doc)]
}

/// What was logged, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Past {
    /// The logs.
    pub logs: Vec<Log>,
}

/// Metrics of the steps up to one, since the log before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Log {
    /// The last of those steps.
    pub step: u64,
    /// Means over them, by name.
    #[serde(with = "number::map")]
    pub metrics: BTreeMap<String, f64>,
}

impl Past {
    /// A metric at the last log, if it is finite.
    pub(crate) fn now(&self, name: &str) -> Option<f64> {
        self.logs.last().and_then(|log| log.metrics.get(name)).copied().filter(|value| value.is_finite())
    }

    /// A metric at the first log.
    pub(crate) fn first(&self, name: &str) -> Option<f64> {
        self.logs.first().and_then(|log| log.metrics.get(name)).copied().filter(|value| value.is_finite())
    }

    /// A metric at all logs that have it, with their steps.
    pub(crate) fn series(&self, name: &str) -> Vec<(f64, f64)> {
        let point = |log: &Log| Some((log.step as f64, *log.metrics.get(name)?));
        self.logs.iter().filter_map(point).filter(|(_, value)| value.is_finite()).collect()
    }

    /// By how much a metric rose since the first log.
    pub(crate) fn rise(&self, name: &str) -> Option<f64> {
        Some(self.now(name)? - self.first(name)?)
    }
}

#[cfg(test)]
impl Past {
    /// Of one metric's values at every tenth step.
    pub(crate) fn of(name: &str, values: &[f64]) -> Past {
        Past::of_several(&[(name, values)])
    }

    /// Of several metrics' values, likewise.
    pub(crate) fn of_several(series: &[(&str, &[f64])]) -> Past {
        let log = |place: usize| Log {
            step: 10 * (place as u64 + 1),
            metrics: series.iter().map(|(name, values)| ((*name).to_owned(), values[place])).collect(),
        };
        Past { logs: (0..series[0].1.len()).map(log).collect() }
    }
}
