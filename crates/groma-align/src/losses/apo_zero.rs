//! APO-zero: `1 - s(b dc) + s(b dr)`.
//!
//! D'Oosterlinck et al. 2024, arXiv 2408.06266, equation 7: for data whose chosen completions are better than the model's own.

use super::kind::{Evaluate, LossKind, LossParameters};
use super::maths::sigmoid;
use super::pair::Pair;
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "apo_zero",
    title: "Anchored preference optimisation, zero",
    paper: "arXiv:2408.06266",
    formula: "1 - σ(b dc) + σ(b dr)",
    parameters: &[],
    divergences: false,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| Some(1.0),
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let beta = parameters.beta;
    let (chosen, rejected) = (beta * pair.chosen_ratio(), beta * pair.rejected_ratio());
    PairLoss::of_ratios(
        sigmoid(-chosen) + sigmoid(rejected),
        -beta * sigmoid(chosen) * sigmoid(-chosen),
        beta * sigmoid(rejected) * sigmoid(-rejected),
    )
}
