//! Sequences of tokens that are learned from.

use serde::{Deserialize, Serialize};

/// Tokens, and which of them are learned from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// All tokens.
    pub ids: Vec<u32>,
    /// For each token, whether its log-probability counts. That of the first token never does: nothing predicts it.
    pub supervised: Vec<bool>,
}

impl Sequence {
    /// A prompt that is not learned from, and a completion that is.
    pub fn completion(prompt: &[u32], completion: &[u32]) -> Self {
        let ids = [prompt, completion].concat();
        let supervised = (0..ids.len()).map(|i| i >= prompt.len()).collect();
        Sequence { ids, supervised }
    }

    /// The tokens before the first that counts; all where none does.
    pub fn prompt(&self) -> &[u32] {
        let end = self.supervised.iter().position(|&counts| counts).unwrap_or(self.ids.len());
        &self.ids[..end]
    }

    /// Places of the tokens whose log-probabilities count.
    pub fn scored(&self) -> impl Iterator<Item = usize> + '_ {
        (1..self.ids.len()).filter(|&i| self.supervised[i])
    }

    /// How many log-probabilities count.
    pub fn scored_count(&self) -> usize {
        self.scored().count()
    }
}
