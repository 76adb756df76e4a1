//! What is attacked.

use groma_data::Content;
use groma_lm::{LanguageModel, Local};

use crate::{Error, Shield};

/// A model under attack, behind its defence where it has one.
#[derive(Clone)]
pub struct Target<'a> {
    /// Who answers: the model behind its defence, so that every attack is an adaptive one.
    pub asked: &'a dyn LanguageModel,
    /// The model itself, where its weights are in this process.
    pub weights: Option<Local<'a>>,
    /// The defence.
    pub shield: Option<&'a dyn Shield>,
}

impl<'a> Target<'a> {
    /// The weights, for an attack that needs them.
    ///
    /// # Errors
    /// [`Error::NeedsWeights`], with the attack that does without.
    pub(crate) fn weights(&self, attack: &'static str, instead: &'static str) -> Result<&Local<'a>, Error> {
        self.weights.as_ref().ok_or(Error::NeedsWeights { attack, instead })
    }

    /// What the model reads in place of a prompt; see [`Shield::seen`].
    pub(crate) fn seen(&self, prompt: &Content) -> Content {
        self.shield.map_or_else(|| prompt.clone(), |shield| shield.seen(prompt))
    }
}
