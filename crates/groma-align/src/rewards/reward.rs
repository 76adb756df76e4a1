//! Who says what a completion is worth.

use super::ensemble::Ensemble;
use crate::Error;
use groma_run::Cancel;
use serde_json::{Map, Value};

/// A completion that was sampled.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rollout<'a> {
    /// The row's columns, its prompt among them as `prompt`.
    pub(crate) columns: &'a Map<String, Value>,
    /// What was said, without what ends it.
    pub(crate) completion: &'a str,
    /// Its tokens, the one that ends it included.
    pub(crate) tokens: usize,
}

/// Columns that say what the right answer is.
const ANSWERS: [&str; 3] = ["answer", "solution", "ground_truth"];

impl<'a> Rollout<'a> {
    /// The right answer, where the row has one.
    pub(super) fn answer(&self) -> Option<&'a Value> {
        ANSWERS.iter().find_map(|name| self.columns.get(*name))
    }
}

/// Says what completions are worth.
pub(crate) trait Reward {
    /// One value a rollout; `None` where it has nothing to say of one. A value is a function of its rollout alone.
    ///
    /// # Errors
    /// What keeps it from saying anything, and a request to stop.
    fn score(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<f64>>, Error>;
}

/// A reward under the name that metrics have for it, and how much it counts.
pub(crate) struct NamedReward<'a> {
    pub(crate) name: String,
    pub(crate) weight: f64,
    /// How it is put together with others of an ensemble before that is added to the rest; `None`: it is in none.
    pub(crate) ensemble: Option<Ensemble>,
    pub(crate) reward: Box<dyn Reward + 'a>,
}
