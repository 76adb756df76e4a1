//! What a kind of loss says of itself.

use crate::parameter::Variant;

/// The record of one kind of loss.
#[derive(Clone, Copy, Debug)]
pub struct TokenLoss {
    /// TRL's name in `loss_type`.
    pub id: &'static str,
    /// In words.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// The value of one token of probability p.
    pub formula: &'static str,
    /// From a log-probability to the value, and the derivative with respect to the log-probability.
    pub evaluate: fn(f64) -> (f64, f64),
}

impl TokenLoss {
    /// As a choice of `loss_type`.
    pub(super) const fn variant(&self) -> Variant {
        Variant { id: self.id, title: self.title, paper: self.paper, doc: self.formula, parameters: &[] }
    }
}
