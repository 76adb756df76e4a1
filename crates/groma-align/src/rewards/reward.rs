//! Who says what a completion is worth.

use super::ensemble::Ensemble;
use crate::Error;
use groma_lm::{Ask, Failure, LanguageModel, Reply};
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

/// Says what completions are worth.
pub(crate) trait Reward {
    /// One value a rollout; `None` where it has nothing to say of one. A value is a function of its rollout alone.
    ///
    /// # Errors
    /// What keeps it from saying anything, and a request to stop.
    fn score(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<f64>>, Error>;

    /// Who answers elsewhere what is asked of rollouts, where it does nothing but ask: so that can be done while sampling goes on.
    fn remote(&self) -> Option<(&dyn LanguageModel, &dyn Remote)> {
        None
    }
}

/// A reward that is the answer of somebody elsewhere.
pub(crate) trait Remote: Sync {
    /// What is asked of a rollout.
    ///
    /// # Errors
    /// Where it cannot be put into words.
    fn ask(&self, rollout: &Rollout<'_>) -> Result<Ask, Error>;

    /// What the answers say: what [`Reward::score`] says of the same rollouts.
    ///
    /// # Errors
    /// Those of [`Reward::score`].
    fn read(&self, replies: &[Result<Reply, Failure>]) -> Result<Vec<Option<f64>>, Error>;
}

/// A reward under the name that metrics have for it, and how much it counts.
pub(crate) struct NamedReward<'a> {
    pub(crate) name: String,
    pub(crate) weight: f64,
    /// How it is put together with others of an ensemble before that is added to the rest; `None`: it is in none.
    pub(crate) ensemble: Option<Ensemble>,
    pub(crate) reward: Box<dyn Reward + 'a>,
}
