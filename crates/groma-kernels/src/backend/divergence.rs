//! Divergences of the head from a teacher.

use crate::buffer::Buffer;

/// How the head's distribution `p` differs from a teacher's `q` over the same vocabulary, with the mixture
/// `m = (1 - beta) p + beta q` (Agarwal et al. 2024, arXiv 2306.13649, equation 1; TRL's GKD).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Divergence {
    /// `KL(q|p)`: the student covers what the teacher does. TRL's `beta = 0`.
    ForwardKl,
    /// `KL(p|q)`: the student keeps to what the teacher does. TRL's `beta = 1`.
    ReverseKl,
    /// `beta KL(q|m) + (1 - beta) KL(p|m)`; at 1/2 the Jensen-Shannon divergence.
    JensenShannon {
        /// Share of the teacher in the mixture, from 1e-6 to 1 - 1e-6.
        beta: f32,
    },
}

impl Divergence {
    /// That of TRL's `beta`, between 0 and 1.
    pub fn of_beta(beta: f32) -> Divergence {
        match beta {
            0.0 => Divergence::ForwardKl,
            1.0 => Divergence::ReverseKl,
            _ => Divergence::JensenShannon { beta: beta.clamp(1e-6, 1.0 - 1e-6) },
        }
    }
}

/// A teacher: what the head's distributions are compared with, row by row, at the head's temperature.
#[derive(Clone, Copy, Debug)]
pub struct Teacher<'a> {
    /// Its hidden states `[rows, width]`.
    pub hidden: &'a Buffer,
    /// Its unembedding `[vocab, width]`.
    pub unembed: &'a Buffer,
    /// Width of its hidden states.
    pub width: usize,
    /// Its own cap on logits.
    pub softcap: Option<f32>,
}

/// Per-row results of [`crate::Backend::divergence`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DivergenceOutput {
    /// The divergence, in nats.
    pub value: Vec<f32>,
    /// Log-sum-exp of the student's logits. This and what follows is for the backward pass.
    pub log_sum_exp: Vec<f64>,
    /// Log-sum-exp of the teacher's logits.
    pub teacher_log_sum_exp: Vec<f64>,
    /// The mean under `p` of how the divergence changes with `p`; 0 for the forward one, which needs none.
    pub mean_score: Vec<f32>,
}
