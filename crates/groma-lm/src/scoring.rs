//! What is to be scored, and its score.

use std::sync::Arc;

use groma_data::Content;
use serde::{Deserialize, Serialize, Serializer};

use crate::Kind;

/// A run of text whose log-probability is wanted; serialised, what is scored is `score`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Continuation {
    /// Raw text after raw text, encoded as a pair (see [`crate::encode_pair`]).
    After {
        /// What comes before; may be empty. Continuations of one context hold one copy.
        #[serde(rename = "after", serialize_with = "as_text")]
        context: Arc<str>,
        /// What is scored.
        #[serde(rename = "score")]
        continuation: String,
    },
    /// A reply to a prompt, its end included, tokenised as for training: messages by the model's chat template, texts as
    /// they are.
    Reply {
        /// What comes before.
        prompt: Content,
        /// The reply, of the same form.
        #[serde(rename = "score")]
        reply: Content,
    },
    /// A whole text, by rolling windows with disjoint targets (see [`crate::rolling_windows`]).
    Whole {
        /// The text.
        #[serde(rename = "score")]
        text: String,
    },
}

fn as_text<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(text)
}

impl Continuation {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Continuation::After { .. } => Kind::Continuation,
            Continuation::Reply { .. } => Kind::Reply,
            Continuation::Whole { .. } => Kind::Rolling,
        }
    }

    /// Whether both continue one and the same copy of a context.
    pub(crate) fn shares_context(&self, other: &Continuation) -> bool {
        match (self, other) {
            (Continuation::After { context: one, .. }, Continuation::After { context: other, .. }) => {
                Arc::ptr_eq(one, other)
            }
            _ => false,
        }
    }
}

/// The score of a continuation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// Natural log-probability of each token.
    pub logps: Vec<f32>,
    /// How many tokens each window has, in order; a continuation and a reply are one window.
    pub windows: Vec<usize>,
    /// Whether each token was the most likely one.
    pub is_greedy: bool,
    /// Whether the context was cut on the left to fit.
    pub was_cut: bool,
    /// What a reward model gives context and continuation; it has no log-probabilities.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<f32>,
}

impl Scored {
    /// Sum of the log-probabilities, in f64.
    pub fn sum(&self) -> f64 {
        sum(&self.logps)
    }

    /// The same for each window, with its number of tokens.
    pub fn window_sums(&self) -> impl Iterator<Item = (f64, usize)> {
        let mut rest = &self.logps[..];
        self.windows.iter().map(move |&tokens| {
            let (window, after) = rest.split_at(tokens.min(rest.len()));
            rest = after;
            (sum(window), tokens)
        })
    }
}

fn sum(logps: &[f32]) -> f64 {
    logps.iter().map(|&logp| f64::from(logp)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_sums_of_their_own() {
        let scored = Scored { logps: vec![-1.0, -2.0, -4.0], windows: vec![2, 1], ..Scored::default() };
        assert_eq!(scored.window_sums().collect::<Vec<_>>(), [(-3.0, 2), (-4.0, 1)]);
        assert_eq!(scored.sum(), -7.0);
    }
}
