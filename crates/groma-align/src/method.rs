//! A training method as data, and the registry of all of them.

use crate::Error;
use crate::Parameter;
use crate::methods::{dpo, reward, sft};
use crate::training::TRAINING;
use serde::Serialize;

/// Rows that a method can train on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DataShape {
    /// `text`, or `messages`.
    LanguageModelling,
    /// `prompt` and `completion`.
    PromptCompletion,
    /// `prompt`, `chosen` and `rejected`, or the last two with a common beginning.
    Preference,
}

/// A way to train.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Method {
    /// Its name on the command line and in files.
    pub id: &'static str,
    /// Other names that users know it by.
    pub names: &'static [&'static str],
    /// In words.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// Rows it can use.
    pub data: &'static [DataShape],
    /// Whether it compares with a frozen reference model.
    pub needs_reference: bool,
    /// Whether the model gets a scalar head in place of the unembedding.
    pub needs_score_head: bool,
    /// Its own hyperparameters.
    pub parameters: &'static [Parameter],
    /// Defaults of shared hyperparameters that differ for this method: name and JSON value.
    pub overrides: &'static [(&'static str, &'static str)],
    /// Names of the metrics that it logs besides those that all methods log.
    pub metrics: &'static [&'static str],
}

/// All methods.
pub static METHODS: &[&Method] = &[&sft::METHOD, &reward::METHOD, &dpo::METHOD];

/// Metrics that every method logs.
pub const SHARED_METRICS: &[&str] = &["loss", "grad_norm", "learning_rate", "epoch", "num_tokens"];

impl Method {
    /// The method of that id or other name.
    pub fn find(name: &str) -> Option<&'static Method> {
        METHODS.iter().find(|method| method.id == name || method.names.contains(&name)).copied()
    }

    /// The method of that id or other name.
    ///
    /// # Errors
    /// [`Error::UnknownMethod`] with the nearest name.
    pub fn require(name: &str) -> Result<&'static Method, Error> {
        Method::find(name).ok_or_else(|| {
            let ids = METHODS.iter().map(|method| method.id);
            let known: Vec<&str> = ids.chain(METHODS.iter().flat_map(|method| method.names.iter().copied())).collect();
            Error::UnknownMethod { name: name.into(), suggestion: crate::settings::nearest(name, &known) }
        })
    }

    /// Its own and the shared hyperparameters, with its own defaults.
    pub fn all_parameters(&self) -> impl Iterator<Item = Parameter> + '_ {
        self.parameters.iter().chain(TRAINING).map(|parameter| self.with_override(*parameter))
    }

    fn with_override(&self, parameter: Parameter) -> Parameter {
        match self.overrides.iter().find(|(name, _)| *name == parameter.name) {
            Some((_, default)) => Parameter { default, ..parameter },
            None => parameter,
        }
    }
}
