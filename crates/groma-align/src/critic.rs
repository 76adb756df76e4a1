//! Who says what is still to be expected behind a prefix: a head of values on the policy's trunk, or a model of its own that
//! trains beside the policy.

use crate::forest::{Run, in_passes};
use crate::sequence::Sequence;
use crate::{Error, value_head};
use groma_kernels::{Tape, together};
use groma_model::Transformer;
use groma_model::training::Optimizer;

/// A critic that is a model of its own, and its optimizer.
#[derive(Debug)]
pub(crate) struct Critic {
    pub(crate) model: Transformer,
    pub(crate) optimizer: Optimizer,
}

impl Critic {
    /// A copy of a model, its adapter merged, all of which trains. A reward model says with its own head what it expects, at
    /// each token; of a language model a head of values starts at zero.
    pub(crate) fn of(model: &Transformer) -> Result<Self, Error> {
        let mut copy = Transformer::new(model.spec().clone(), &model.merged_weights(), model.backend().clone())?;
        copy.set_heads(&[value_head::of(model.spec())], None)?;
        let optimizer = Optimizer::new(copy.parameters(), &**copy.backend());
        Ok(Critic { model: copy, optimizer })
    }
}

/// What a critic expects before each scored token of the sequences of some groups, in their order.
pub(crate) fn values(model: &Transformer, groups: &[Vec<&Sequence>], pass_rows: usize) -> Result<Vec<Vec<f32>>, Error> {
    in_passes(groups, pass_rows, &mut |forest| {
        let mut tape = Tape::inference(model.backend().clone());
        let values = together(|| forest.forward_values(model, &mut tape, Run::plain(true)))?;
        Ok(model.backend().download(values.buffer()))
    })
}
