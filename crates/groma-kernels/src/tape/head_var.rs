//! What heads leave on the tape.

use std::sync::Arc;

use super::var::Var;
use crate::{DivergenceOutput, HeadOutput, Teacher};

/// The result of the log-probability head, with what its backward pass needs.
#[derive(Clone, Debug)]
pub struct HeadVar {
    pub(super) output: Arc<HeadOutput>,
    pub(super) key: Option<u32>,
}

impl HeadVar {
    /// Log-probabilities and what else was asked for.
    pub fn output(&self) -> &HeadOutput {
        &self.output
    }
}

/// A teacher of [`super::Tape::divergence`]; no gradient goes to it.
#[derive(Clone, Debug)]
pub struct TeacherVar {
    /// Its hidden states, row by row those that the student's are compared with.
    pub hidden: Var,
    /// Its unembedding, over the student's vocabulary.
    pub unembed: Var,
    /// Its own cap on logits.
    pub softcap: Option<f32>,
}

impl TeacherVar {
    pub(super) fn teacher(&self) -> Teacher<'_> {
        let TeacherVar { hidden, unembed, softcap } = self;
        Teacher { hidden: &hidden.buffer, unembed: &unembed.buffer, width: hidden.width, softcap: *softcap }
    }
}

/// Divergences from a teacher, with what their backward pass needs.
#[derive(Clone, Debug)]
pub struct DivergenceVar {
    pub(super) output: Arc<DivergenceOutput>,
    pub(super) key: Option<u32>,
}

impl DivergenceVar {
    /// The divergence of each row, in nats.
    pub fn values(&self) -> &[f32] {
        &self.output.value
    }
}
