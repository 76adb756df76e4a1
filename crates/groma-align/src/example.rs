//! Rows as tokens, ready to train on.

use crate::forest::Sequence;
use groma_run::{Digest, Hasher};

/// One row: a sequence, or a pair of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// `file:line`.
    pub place: String,
    /// The text, the prompt with its completion, or the prompt with the chosen completion.
    pub sequence: Sequence,
    /// The prompt with the rejected completion.
    pub rejected: Option<Sequence>,
    /// By how much the chosen completion is better, where the row says so.
    pub margin: Option<f64>,
}

impl Example {
    /// The only or the chosen sequence.
    pub fn first(&self) -> &Sequence {
        &self.sequence
    }

    /// Chosen and rejected; a row that is no pair stands on both sides.
    pub fn pair(&self) -> [&Sequence; 2] {
        [&self.sequence, self.rejected.as_ref().unwrap_or(&self.sequence)]
    }

    /// Rows of its token tree: shared prefixes count once.
    pub fn tree_rows(&self) -> usize {
        match &self.rejected {
            None => self.sequence.ids.len(),
            Some(rejected) => {
                let shared = groma_model::score::common_prefix(&self.sequence.ids, &rejected.ids);
                self.sequence.ids.len() + rejected.ids.len() - shared
            }
        }
    }
}

/// Digest of tokens, masks and margins of all examples in their order: what training reads.
pub fn digest(examples: &[Example]) -> Digest {
    let mut hasher = Hasher::default();
    for example in examples {
        for sequence in std::iter::once(&example.sequence).chain(&example.rejected) {
            let ids: Vec<u8> = sequence.ids.iter().flat_map(|id| id.to_le_bytes()).collect();
            let mask: Vec<u8> = sequence.supervised.iter().map(|&counts| u8::from(counts)).collect();
            hasher.part(&ids);
            hasher.part(&mask);
        }
        hasher.part(&example.margin.map_or([0; 8], f64::to_le_bytes));
    }
    hasher.finish()
}
