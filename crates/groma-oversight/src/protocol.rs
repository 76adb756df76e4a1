//! Protocols as records.

use std::collections::BTreeMap;
use std::sync::Arc;

use groma_align::{Parameter, settle};
use groma_data::{Row, Shape};
use groma_kernels::Backend;
use groma_lm::{Control, LanguageModel};
use groma_run::{Measurement, Pillar, Results, Seed};
use groma_stats::Interval;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Error, Transcript};

/// Who takes part in a protocol.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Role {
    /// Its name, as recipes and flags have it.
    pub name: &'static str,
    /// What it does.
    pub doc: &'static str,
}

/// A way of overseeing models.
#[derive(Clone, Copy)]
pub struct Protocol {
    /// Its name.
    pub id: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// Its turns and its stop rule, and how it differs from what was published.
    pub doc: &'static str,
    /// Who takes part, as models.
    pub roles: &'static [Role],
    /// Shapes of the rows that it reads; none where it poses its own questions and reads nothing.
    pub data: &'static [Shape],
    /// Whether it can do without rows.
    pub poses: bool,
    /// Its settings.
    pub parameters: &'static [Parameter],
    /// The names of the rows to train on that it leaves, beside `transcripts`.
    pub rows: &'static [&'static str],
    /// Carries it out.
    pub carry_out: fn(&Table<'_>) -> Result<Outcome, Error>,
}

/// What a protocol is carried out with.
pub struct Table<'a> {
    /// The protocol, for messages.
    pub protocol: &'static Protocol,
    /// Its settings, as [`Protocol::settings`] gives them.
    pub settings: Map<String, Value>,
    /// The models that fill roles.
    pub seats: BTreeMap<&'static str, &'a dyn LanguageModel>,
    /// The rows, where there are any.
    pub rows: &'a [Row],
    /// What the models and the rows are called together in results.
    pub subject: &'a str,
    /// All chance comes from here.
    pub seed: Seed,
    /// Where models that the protocol trains itself run.
    pub backend: Arc<dyn Backend>,
    /// Who is told, and who may stop it.
    pub control: Control<'a>,
}

/// What a protocol leaves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What was said, and the verdicts.
    pub transcripts: Vec<Transcript>,
    /// Rows to train on, by the names that the record lists.
    pub rows: BTreeMap<&'static str, Vec<Value>>,
    /// Numbers, pictures, controls.
    pub results: Results,
    /// Questions that got no answer for the moment.
    pub unanswered: u64,
}

impl Protocol {
    /// Its settings: what was given, and defaults for the rest.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn settings(&self, given: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
        settle(self.parameters, given).map_err(|problem| Error::Setting { protocol: self.id, problem })
    }
}

impl Table<'_> {
    /// The settings as the protocol's own type.
    pub(crate) fn typed<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let typed = serde_json::from_value(Value::Object(self.settings.clone()));
        typed.map_err(|error| self.unfit(error.to_string()))
    }

    /// The error for settings that do not go together.
    pub(crate) fn unfit(&self, problem: impl Into<String>) -> Error {
        Error::Setting { protocol: self.protocol.id, problem: problem.into() }
    }

    /// The model in a role.
    pub(crate) fn seat(&self, role: &'static str) -> Result<&dyn LanguageModel, Error> {
        let doc = || self.protocol.roles.iter().find(|other| other.name == role).map_or("", |other| other.doc);
        let missing = || Error::Role { protocol: self.protocol.id, role, doc: doc() };
        self.seats.get(role).copied().ok_or_else(missing)
    }

    /// A number of this protocol.
    pub(crate) fn measurement(&self, subject: &str, metric: &str, value: f64, n: usize) -> Measurement {
        Measurement {
            pillar: Pillar::Oversight,
            ..Measurement::new(subject, self.protocol.id, metric, value, n as u64)
        }
    }
}

/// The same with an interval, where there is one.
pub(crate) fn between(measurement: Measurement, interval: Option<Interval>) -> Measurement {
    match interval {
        Some(found) => measurement.between([found.low, found.high], found.level, found.method.name()),
        None => measurement,
    }
}
