//! What the training loop asks of a method: the loss of a batch, its gradient and its metrics.

use crate::forest::Run;
use crate::polarity::Polarity;
use crate::{Error, Metrics};
use groma_kernels::{Gradients, HeadWants, Tape};
use groma_model::Transformer;
use groma_run::Seed;

/// A method at work on prepared rows.
pub(crate) trait Objective {
    /// Batch rows: examples, or packs of them.
    fn units(&self) -> usize;
    /// `file:line` of the rows in a batch row.
    fn places(&self, unit: usize) -> Vec<String>;
    /// Tokens of a batch row, shared prefixes counted as often as they occur.
    fn tokens(&self, unit: usize) -> usize;
    /// The loss of a batch, computed in micro-batches; adds gradients where the context collects them.
    fn batch(&self, context: &mut Context, units: &[usize]) -> Result<Loss, Error>;
    /// The loss that mathematics prescribes for a batch before the first step, where it does.
    fn loss_at_start(&self, units: &[usize]) -> Option<f64>;
    /// The swap test of a batch; `None` for methods whose rows have no sides.
    fn polarity(&self, _model: &Transformer, _units: &[usize]) -> Result<Option<Polarity>, Error> {
        Ok(None)
    }
}

/// A batch's loss and how many items it is the mean of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Loss {
    pub(crate) value: f64,
    pub(crate) weight: f64,
}

/// With what a batch is computed, and where its results go.
pub(crate) struct Context<'a> {
    pub(crate) model: &'a Transformer,
    /// `None`: evaluation.
    pub(crate) gradients: Option<&'a mut Gradients>,
    pub(crate) metrics: &'a mut Metrics,
    /// Batch rows in a micro-batch.
    pub(crate) micro: usize,
    /// Draws dropout; `None` for none.
    pub(crate) dropout: Option<Seed>,
    /// Whether the backward pass runs each block again.
    pub(crate) recompute: bool,
}

impl<'a> Context<'a> {
    /// A tape that records where gradients are collected.
    pub(crate) fn tape(&self) -> Tape<'a> {
        let backend = self.model.backend().clone();
        if self.gradients.is_some() { Tape::recording(backend) } else { Tape::inference(backend) }
    }

    /// A tape that never records.
    pub(crate) fn inference(&self) -> Tape<'a> {
        Tape::inference(self.model.backend().clone())
    }

    /// The policy's pass over the micro-batch of that number.
    pub(crate) fn policy(&self, micro: usize) -> Run {
        let dropout = self.dropout.map(|seed| seed.index(micro as u64));
        let wants = HeadWants { entropy: true, mean_logit: true, argmax: true };
        Run { adapter: true, dropout, recompute: self.recompute, wants, half_temperature: false }
    }
}

/// A pass without dropout that yields log-probabilities alone.
pub(crate) fn plain(adapter: bool) -> Run {
    Run { adapter, dropout: None, recompute: false, wants: HeadWants::default(), half_temperature: false }
}
