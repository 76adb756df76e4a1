//! Hinge: `max(0, 1 - b D)`.
//!
//! The calibration loss of SLiC-HF (Zhao et al. 2023, arXiv 2305.10425) as TRL writes it: relative to the reference and
//! with margin `1 / b`, where the paper takes the policy's log-probabilities alone and adds a supervised term.

use super::kind::{Evaluate, LossKind, LossParameters};
use super::pair::Pair;
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "hinge",
    title: "Hinge (the form of SLiC-HF)",
    paper: "arXiv:2305.10425",
    formula: "max(0, 1 - b D)",
    parameters: &[],
    divergences: true,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| Some(1.0),
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let value = 1.0 - parameters.beta * pair.margin();
    if value > 0.0 { PairLoss::of_margin(value, -parameters.beta) } else { PairLoss::default() }
}
