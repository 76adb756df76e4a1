//! The log-probability head.

/// Shape of a log-probability head call: `rows` hidden states of `width` against a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadShape {
    /// Number of hidden states.
    pub rows: usize,
    /// Width of a hidden state.
    pub width: usize,
    /// Number of rows of the unembedding matrix.
    pub vocab: usize,
    /// Gemma's final `cap * tanh(logit / cap)`.
    pub softcap: Option<f32>,
    /// Divides the logits (after the cap); 1 for none.
    pub temperature: f32,
}

/// Most logits that a recorded head keeps for its backward pass, 64 MiB: computing them anew is a fifth of what a head's
/// training costs.
const KEPT_LOGITS: usize = 1 << 24;

impl HeadShape {
    /// Whether a recorded head keeps its logits: there are not many, and they are neither capped nor divided.
    pub fn keeps_logits(&self) -> bool {
        let few = self.rows.checked_mul(self.vocab).is_some_and(|logits| logits <= KEPT_LOGITS);
        few && self.softcap.is_none() && self.temperature == 1.0
    }
}

/// What the log-probability head computes for each row besides the log-sum-exp, which it always does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadWants {
    /// Entropy of the predicted distribution, in nats.
    pub entropy: bool,
    /// Mean of the logits over the vocabulary (TRL's `logits/*`).
    pub mean_logit: bool,
    /// Index of the largest logit (the lowest index among ties).
    pub argmax: bool,
}

/// Per-row results of the log-probability head. Fields not asked for are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadOutput {
    /// `log p(target)`, one per row.
    pub logp: Vec<f32>,
    /// `log sum exp` of the logits, one per row; the backward pass reads it.
    pub log_sum_exp: Vec<f32>,
    /// See [`HeadWants::entropy`].
    pub entropy: Vec<f32>,
    /// See [`HeadWants::mean_logit`].
    pub mean_logit: Vec<f32>,
    /// See [`HeadWants::argmax`].
    pub argmax: Vec<u32>,
}

/// The most likely tokens of each row: the largest logits first, the lowest id first among equals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopTokens {
    /// `[rows, count]`.
    pub ids: Vec<u32>,
    /// Their log-probabilities `[rows, count]`, and the log-sum-exp of each row.
    pub output: HeadOutput,
}
