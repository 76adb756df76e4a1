//! Rules, as data.

use super::reward::{Reward, Rollout};
use crate::parameter::{Parameter, Variant};
use crate::{Error, Hyperparameters};
use groma_lm::LanguageModel;
use groma_run::Cancel;
use serde_json::{Map, Value};
use std::borrow::Cow;

/// Makes a rule.
pub(super) type Build =
    for<'a> fn(&Hyperparameters, Option<&'a dyn LanguageModel>) -> Result<Box<dyn Reward + 'a>, Error>;

/// Whether a row's columns are what a rule wants.
type HasColumns = dyn Fn(&Map<String, Value>) -> bool + Send + Sync;

/// What a rule wants of the columns of a row.
pub(crate) struct Wanted {
    /// In words.
    pub(crate) columns: Cow<'static, str>,
    /// Whether a row has it.
    pub(crate) has: Box<HasColumns>,
}

impl Wanted {
    pub(super) fn new(
        columns: impl Into<Cow<'static, str>>,
        has: impl Fn(&Map<String, Value>) -> bool + Send + Sync + 'static,
    ) -> Self {
        Wanted { columns: columns.into(), has: Box::new(has) }
    }
}

/// A rule as data.
pub(super) struct Rule {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) paper: &'static str,
    pub(super) doc: &'static str,
    pub(super) parameters: &'static [Parameter],
    /// What rows must have that it says something of; `None` where every row will do.
    pub(super) wants: fn(&Hyperparameters) -> Option<Wanted>,
    /// Of settings, and of the judge where it is there.
    pub(super) build: Build,
}

impl Rule {
    /// As a choice of settings.
    pub(super) const fn variant(&self) -> Variant {
        Variant { id: self.id, title: self.title, paper: self.paper, doc: self.doc, parameters: self.parameters }
    }
}

/// A rule that looks at one rollout at a time.
pub(super) struct EachBy<F>(pub(super) F);

impl<F: Fn(&Rollout<'_>) -> Option<f64>> Reward for EachBy<F> {
    fn score(&self, rollouts: &[Rollout<'_>], _: &Cancel) -> Result<Vec<Option<f64>>, Error> {
        Ok(rollouts.iter().map(&self.0).collect())
    }
}
