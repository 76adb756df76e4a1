//! What losses of completions read and leave.

use crate::methods::policy::Clip;

/// A completion as a loss sees it.
pub(super) struct Completion<'a> {
    /// By token, how much the policy's log-probability is above that at sampling.
    pub(super) ratios: &'a [f64],
    /// By token, the policy's log-probability.
    pub(super) logps: &'a [f32],
    pub(super) advantage: f64,
    /// Whether ratios are those of the whole completion, to the power of one over its length.
    pub(super) by_sequence: bool,
    /// By token, whether it is learned from; all are where it is empty.
    pub(super) kept: &'a [bool],
}

impl Completion<'_> {
    /// Whether a token is learned from.
    pub(super) fn keeps(&self, token: usize) -> bool {
        self.kept.get(token).copied().unwrap_or(true)
    }
}

/// The sum of the losses of a completion's tokens, its slopes by token, and how many were clipped below and above.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub(super) sum: f64,
    pub(super) slopes: Vec<f64>,
    pub(super) cut: [f64; 2],
}

/// How far ratios count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) clip: Clip,
    /// The ratio itself may not count beyond it.
    pub(super) delta: Option<f64>,
    /// Of the soft gate, where the advantage is positive, and where it is not.
    pub(super) temperatures: [f64; 2],
    /// `k` and `λ` of the gamma weight, where the advantage is not negative, and where it is.
    pub(super) gamma: [[f64; 2]; 2],
}
