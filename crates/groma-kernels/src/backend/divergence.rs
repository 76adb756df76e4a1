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

impl Divergence {
    /// What one token adds, of whose log-probabilities the first is the student's.
    pub(crate) fn shares(self, own: f64, teacher: f64) -> Shares {
        let (p, q) = (own.exp(), teacher.exp());
        let share = |weight: f64, log: f64| if weight == 0.0 { 0.0 } else { weight * log };
        let (score, value) = match self {
            Divergence::ForwardKl => (0.0, share(q, teacher - own)),
            Divergence::ReverseKl => (own - teacher, share(p, own - teacher)),
            Divergence::JensenShannon { beta } => {
                let beta = f64::from(beta);
                let mixture = ((1.0 - beta) * p + beta * q).ln();
                let score = (1.0 - beta) * (own - mixture);
                (score, share(beta * q, teacher - mixture) + share(p, score))
            }
        };
        Shares { p, q, score: if p == 0.0 { 0.0 } else { score }, value }
    }

    /// How the divergence changes with the student's logit of a token, given the mean of all scores under `p`.
    pub(crate) fn slope(self, token: &Shares, mean_score: f64) -> f64 {
        match self {
            Divergence::ForwardKl => token.p - token.q,
            _ => token.p * (token.score - mean_score),
        }
    }
}

/// Of one token, or of several taken together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shares {
    /// How likely it is to the student.
    pub(crate) p: f64,
    /// How likely it is to the teacher.
    q: f64,
    /// How the divergence changes with `p`; 0 for the forward one, which needs none.
    pub(crate) score: f64,
    /// What it adds to the divergence.
    pub(crate) value: f64,
}

/// A divergence, and among which tokens it is taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// Which divergence.
    pub by: Divergence,
    /// Among which tokens.
    pub among: Support,
}

/// The tokens that distributions are compared among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// All.
    All,
    /// The student's likeliest, the lowest ids among equals. No gradient goes through the choice.
    Likeliest {
        /// How many; all where there are no more.
        count: usize,
        /// Whether all others are compared too, as one: else both distributions are those given that it is one of the likeliest.
        tail: bool,
    },
}

impl From<Divergence> for Comparison {
    fn from(by: Divergence) -> Self {
        Comparison { by, among: Support::All }
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
