//! What can be set of a debate.

use groma_align::OneOrMany;
use serde::Deserialize;

/// Values of the record's parameters.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Settings {
    pub(super) games: OneOrMany<String>,
    pub(super) questions: usize,
    pub(super) size: usize,
    pub(super) judge_accuracy: Vec<f64>,
    pub(super) turns: usize,
    pub(super) max_new_tokens: usize,
}
