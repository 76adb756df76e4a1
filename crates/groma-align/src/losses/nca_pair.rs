//! NCA on pairs: `-ls(b dc) - ½ ls(-b dc) - ½ ls(-b dr)`.
//!
//! Chen et al. 2024, arXiv 2402.05369, equation 11 with two completions and hard labels.

use super::kind::{Evaluate, LossKind, LossParameters};
use super::maths::{log_sigmoid, sigmoid};
use super::pair::Pair;
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "nca_pair",
    title: "Noise contrastive alignment on pairs",
    paper: "arXiv:2402.05369",
    formula: "-log σ(b dc) - ½ log σ(-b dc) - ½ log σ(-b dr)",
    parameters: &[],
    divergences: false,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| Some(2.0 * std::f64::consts::LN_2),
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let beta = parameters.beta;
    let (chosen, rejected) = (beta * pair.chosen_ratio(), beta * pair.rejected_ratio());
    let value = -log_sigmoid(chosen) - 0.5 * log_sigmoid(-chosen) - 0.5 * log_sigmoid(-rejected);
    PairLoss::of_ratios(value, beta * (0.5 * sigmoid(chosen) - sigmoid(-chosen)), 0.5 * beta * sigmoid(rejected))
}
