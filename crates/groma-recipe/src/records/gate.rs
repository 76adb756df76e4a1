//! The record of a gate.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::declared::Declared;
use crate::output::{Output, OutputKind, Reference};
use crate::records::TaskConfig;

/// Conditions on what earlier stages measured. With `groma run --gate`, one that does not hold ends the run with exit code 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// The stage's name.
    pub name: String,
    /// All of them must hold.
    pub conditions: Vec<Condition>,
}

/// A bound on one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// The stage that measured it.
    pub of: String,
    /// The name of the task in the results.
    pub task: String,
    /// The metric; the task's first where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<String>,
    /// Factors that tell it from other numbers of this task and metric, such as `{ attack = "gcg" }`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, String>,
    /// Another stage that measured the same: the bound is on the change from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The least that it may be; shares are between 0 and 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_least: Option<f64>,
    /// The most that it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<f64>,
    /// Whether the whole interval must lie within the bounds, and not the number alone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub certainly: bool,
}

impl Declared for Gate {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let names = self.conditions.iter().flat_map(|condition| [Some(&condition.of), condition.from.as_ref()]);
        names.flatten().map(|name| Reference { kind: OutputKind::Measurements, name }).collect()
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        Vec::new()
    }
}
