//! Where a backward pass starts.

use super::head_var::{DivergenceVar, HeadVar};
use super::var::Var;
use crate::Buffer;

/// Where a backward pass starts: the gradient of the loss with respect to something on the tape.
#[derive(Debug)]
pub enum Cotangent<'a> {
    /// Of a value.
    Value(&'a Var, Buffer),
    /// Of log-probabilities, and of entropies where `d_entropy` is not empty.
    Head {
        /// The head's result.
        head: &'a HeadVar,
        /// One a log-probability.
        d_logp: &'a [f32],
        /// One a row, or empty.
        d_entropy: &'a [f32],
    },
    /// Of divergences from a teacher.
    Divergence {
        /// What they are those of.
        divergence: &'a DivergenceVar,
        /// One a row.
        d_value: &'a [f32],
    },
}
