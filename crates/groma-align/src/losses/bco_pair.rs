//! BCO on pairs: `-ls(b dc) - ls(-b dr)`.
//!
//! Jung et al. 2024, arXiv 2404.04656, without the running reward shift of the unpaired method (as TRL's pair form).

use super::kind::{Evaluate, LossKind, LossParameters};
use super::maths::{log_sigmoid, sigmoid};
use super::pair::Pair;
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "bco_pair",
    title: "Binary classifier optimisation on pairs, no reward shift",
    paper: "arXiv:2404.04656",
    formula: "-log σ(b dc) - log σ(-b dr)",
    parameters: &[],
    divergences: false,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| Some(2.0 * std::f64::consts::LN_2),
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let beta = parameters.beta;
    let (chosen, rejected) = (beta * pair.chosen_ratio(), beta * pair.rejected_ratio());
    let value = -log_sigmoid(chosen) - log_sigmoid(-rejected);
    PairLoss::of_ratios(value, -beta * sigmoid(-chosen), beta * sigmoid(rejected))
}
