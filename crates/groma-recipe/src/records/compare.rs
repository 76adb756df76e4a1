//! The record of a comparing stage.

use serde::{Deserialize, Serialize};

use crate::declared::Declared;
use crate::output::{Output, OutputKind, Reference};
use crate::records::TaskConfig;

/// Compares two measured models on the same items, and puts what they said side by side.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// The stage's name.
    pub name: String,
    /// Name of the first measuring stage.
    pub before: String,
    /// Name of the second measuring stage.
    pub after: String,
    /// Rows on whose answers the second model's predictions are held against the first's, token by token: measured as
    /// `divergence`. Both models must be on this machine, and of one vocabulary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence: Option<String>,
    /// Use at most so many of those rows, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub divergence_limit: Option<usize>,
}

impl Declared for Compare {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let sides = [&self.before, &self.after].map(|name| Reference { kind: OutputKind::Measurements, name });
        let rows = self.divergence.as_deref().map(|name| Reference { kind: OutputKind::Rows, name });
        sides.into_iter().chain(rows).collect()
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        Vec::new()
    }
}
