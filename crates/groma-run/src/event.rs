//! `events.jsonl`: what happened, and when.

use crate::{Figure, Row, number};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When.
    pub time: Timestamp,
    /// In which stage; empty outside of one.
    #[serde(default)]
    pub stage: String,
    /// The stage's key, in short form; filled in by the [`crate::Recorder`].
    #[serde(default)]
    pub stage_key: String,
    /// What kind of thing.
    pub kind: EventKind,
    /// At which step of training.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    /// Numbers; training metrics have TRL's names (`loss`, `rewards/margins`, `eval_loss` ...).
    #[serde(default, with = "number::map", skip_serializing_if = "BTreeMap::is_empty")]
    pub metrics: BTreeMap<String, f64>,
    /// Words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// For [`EventKind::Finding`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finding: Option<Finding>,
    /// For [`EventKind::Check`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// For [`EventKind::Figure`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<Figure>,
    /// For [`EventKind::Samples`] and [`EventKind::TrainingSamples`]: the file's name in the run directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// A stage began.
    StageStarted,
    /// A stage ended well.
    StageFinished,
    /// Training metrics of a step.
    Metrics,
    /// Evaluation metrics at a step of training.
    Evaluation,
    /// A checkpoint was committed.
    Checkpoint,
    /// Something is off, and the work went on.
    Warning,
    /// The pre-flight check found something.
    Finding,
    /// A null control, gate or identity was checked.
    Check,
    /// A picture of what was found.
    Figure,
    /// A file of side-by-side samples was committed.
    Samples,
    /// A file of answers on the way of training was committed.
    TrainingSamples,
    /// Something good to know.
    Note,
    /// A kind that a later version writes.
    #[serde(other)]
    Other,
}

/// What a pre-flight check found in the data or settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// Name of the check, such as `identical-pairs`.
    pub check: String,
    /// How grave it is.
    pub severity: Severity,
    /// How many rows (or tokens, or tensors) are concerned.
    pub count: u64,
    /// Out of how many.
    #[serde(default)]
    pub total: u64,
    /// What was found, in a sentence.
    pub message: String,
    /// Where: the first few, as `file:line`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub places: Vec<String>,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Checked, and in order.
    Passed,
    /// Good to know.
    Note,
    /// The results may suffer.
    Warning,
    /// The run is stopped by it, unless told otherwise.
    Error,
}

/// A null control, gate or identity, and how it came out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Its name, such as `random preference labels`.
    pub name: String,
    /// What it is.
    pub kind: CheckKind,
    /// Whether it came out as expected; [`None`] where it could not be carried out.
    pub passed: Option<bool>,
    /// What is expected, in a sentence.
    pub expected: String,
    /// What was found, in a sentence.
    pub found: String,
    /// The number behind it.
    #[serde(default, with = "number::option", skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
}

/// Kinds of checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CheckKind {
    /// The same instrument where there is nothing to find.
    NullControl,
    /// A condition that the user set on a measurement.
    Gate,
    /// Something that must hold by mathematics, such as the loss at step 0.
    Identity,
    /// A kind that a later version writes.
    #[serde(other)]
    Other,
}

impl Event {
    /// An event without content. Time, stage and key are filled in by the [`crate::Recorder`].
    pub fn new(kind: EventKind) -> Self {
        Event {
            time: Timestamp::UNIX_EPOCH,
            stage: String::new(),
            stage_key: String::new(),
            kind,
            step: None,
            metrics: BTreeMap::new(),
            message: None,
            finding: None,
            check: None,
            figure: None,
            file: None,
        }
    }
}

impl Row for Event {
    fn stage(&self) -> &str {
        &self.stage
    }

    fn stage_key(&self) -> &str {
        &self.stage_key
    }

    fn key(&self) -> String {
        let finding = self.finding.as_ref().map(|finding| (&finding.check, &finding.message));
        let check = self.check.as_ref().map(|check| (&check.name, check.kind));
        let figure = self.figure.as_ref().map(|figure| &figure.title);
        format!("{:?}", (self.kind, self.step, &self.message, finding, check, figure, &self.file))
    }
}
