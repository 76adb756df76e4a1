//! Experiments as records.

use std::sync::Arc;

use groma_align::{Parameter, settle};
use groma_kernels::Backend;
use groma_run::{Advance, Cancel, Measurement, Pillar, Progress, Results, Seed, Unit};
use groma_stats::{LEVEL, mean_interval};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Error;

/// An experiment.
#[derive(Clone, Copy)]
pub struct Experiment {
    /// Its name.
    pub id: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What is done, and how it differs from what was published.
    pub doc: &'static str,
    /// What is expected, said before it is done.
    pub hypothesis: &'static str,
    /// What must show nothing, or the opposite.
    pub control: &'static str,
    /// What is measured.
    pub metric: &'static str,
    /// Its settings.
    pub parameters: &'static [Parameter],
    /// Does it.
    pub carry_out: fn(&Bench<'_>) -> Result<Results, Error>,
}

/// What an experiment is done with.
pub struct Bench<'a> {
    /// The experiment, for messages.
    pub experiment: &'static Experiment,
    /// Its settings, as [`Experiment::settings`] gives them.
    pub settings: Map<String, Value>,
    /// All chance comes from here.
    pub seed: Seed,
    /// Where what is trained runs.
    pub backend: Arc<dyn Backend>,
    /// Is told how far it is.
    pub progress: &'a dyn Progress,
    /// May ask to stop.
    pub cancel: &'a Cancel,
}

impl Experiment {
    /// Its settings: what was given, and defaults for the rest.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn settings(&self, given: &Map<String, Value>) -> Result<Map<String, Value>, Error> {
        settle(self.parameters, given).map_err(|problem| Error::Setting { experiment: self.id, problem })
    }
}

impl Bench<'_> {
    /// The settings as the experiment's own type.
    pub(crate) fn typed<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let typed = serde_json::from_value(Value::Object(self.settings.clone()));
        typed.map_err(|error| self.unfit(error.to_string()))
    }

    /// The error for settings that do not go together.
    pub(crate) fn unfit(&self, problem: impl Into<String>) -> Error {
        Error::Setting { experiment: self.experiment.id, problem: problem.into() }
    }

    /// A part is done.
    pub(crate) fn advance(&self, done: usize, note: String) {
        self.progress.advance(&Advance { done: done as u64, note: Some(note), ..Advance::default() });
    }

    /// A number of this experiment: the mean over repetitions, with Student's t interval; nothing of no repetition.
    pub(crate) fn mean(&self, subject: &str, metric: &str, values: &[f64]) -> Option<Measurement> {
        let mean = groma_stats::Mean::of(values)?;
        let number = Measurement {
            pillar: Pillar::Inner,
            ..Measurement::new(subject, self.experiment.id, metric, mean.mean, values.len() as u64)
        };
        Some(match mean_interval(values, LEVEL) {
            Some(found) => number.between([found.low, found.high], found.level, found.method.name()),
            None => number,
        })
    }

    /// The same of shares, whose interval ends where shares do.
    pub(crate) fn share(&self, subject: &str, metric: &str, values: &[f64]) -> Option<Measurement> {
        let mut number = Measurement { unit: Unit::Share, ..self.mean(subject, metric, values)? };
        if let Some(interval) = &mut number.interval {
            (interval.low, interval.high) = (interval.low.max(0.0), interval.high.min(1.0));
        }
        Some(number)
    }
}
