//! What a kind of loss says of itself.

use super::pair::{Pair, Totals};
use super::pair_loss::PairLoss;
use crate::parameter::{Kind, Parameter, Range, Variant};
use std::collections::BTreeMap;

/// Share of labels taken to be wrong, of the kinds that have a use for it.
pub(super) const LABEL_SMOOTHING: Parameter = Parameter {
    name: "label_smoothing",
    kind: Kind::Float,
    default: "0.0",
    range: Some(Range::half_open(0.0, 0.5)),
    doc: "Share of labels taken to be wrong: conservative DPO for sigmoid, the noise rate for robust.",
};

/// Hyperparameters of a kind: `beta`, which all have, and those that it declares.
#[derive(Clone, Debug, PartialEq)]
pub struct LossParameters {
    /// Strength of the pull towards the reference; above 0.
    pub beta: f64,
    /// Values by name; a declared one that is not here has its default.
    pub own: BTreeMap<&'static str, f64>,
}

impl Default for LossParameters {
    fn default() -> Self {
        LossParameters { beta: 0.1, own: BTreeMap::new() }
    }
}

impl LossParameters {
    /// The value of a declared hyperparameter; NaN for one that has neither value nor default.
    pub fn get(&self, parameter: &Parameter) -> f64 {
        let default = || parameter.default_value().as_f64().unwrap_or(f64::NAN);
        self.own.get(parameter.name).copied().unwrap_or_else(default)
    }
}

/// How a kind looks at a batch.
#[derive(Clone, Copy)]
pub enum Evaluate {
    /// Each pair by itself.
    Pair(fn(&Pair, &LossParameters) -> PairLoss),
    /// Each pair by itself, given the sizes of the whole batch.
    Share(fn(&Pair, &Totals) -> PairLoss),
    /// All pairs of an optimizer step together; one result a pair, whose mean is the loss.
    Batch(fn(&[Pair], &LossParameters) -> Vec<PairLoss>),
}

/// The record of one kind of loss.
#[derive(Clone, Copy)]
pub struct LossKind {
    /// TRL's name in `loss_type`.
    pub id: &'static str,
    /// In words.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// The value of one pair.
    pub formula: &'static str,
    /// Hyperparameters of its own; they exist where it is chosen.
    pub parameters: &'static [Parameter],
    /// Whether `f_divergence_type` may be other than `reverse_kl`.
    pub divergences: bool,
    /// The function.
    pub evaluate: Evaluate,
    /// Its value where the policy is the reference, in closed form; `None` where that depends on the model.
    pub at_reference: fn(&LossParameters) -> Option<f64>,
}

impl std::fmt::Debug for LossKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LossKind").field("id", &self.id).finish_non_exhaustive()
    }
}

impl LossKind {
    /// As a choice of `loss_type`.
    pub(super) const fn variant(&self) -> Variant {
        Variant { id: self.id, title: self.title, paper: self.paper, doc: self.formula, parameters: self.parameters }
    }

    /// Values and gradients of all pairs; the mean of the values over the batch is the loss.
    pub fn evaluate(&self, pairs: &[Pair], totals: &Totals, parameters: &LossParameters) -> Vec<PairLoss> {
        match self.evaluate {
            Evaluate::Pair(one) => pairs.iter().map(|pair| one(pair, parameters)).collect(),
            Evaluate::Share(one) => pairs.iter().map(|pair| one(pair, totals)).collect(),
            Evaluate::Batch(all) => all(pairs, parameters),
        }
    }
}
