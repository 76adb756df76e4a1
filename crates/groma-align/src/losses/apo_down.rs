//! APO-down: `s(b dc) + 1 - s(b D)`.
//!
//! D'Oosterlinck et al. 2024, arXiv 2408.06266, equation 8: for data whose chosen completions are worse than the model's own.

use super::kind::{Evaluate, LossKind, LossParameters};
use super::maths::sigmoid;
use super::pair::Pair;
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "apo_down",
    title: "Anchored preference optimisation, down",
    paper: "arXiv:2408.06266",
    formula: "σ(b dc) + 1 - σ(b D)",
    parameters: &[],
    divergences: false,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| Some(1.0),
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let beta = parameters.beta;
    let (chosen, margin) = (beta * pair.chosen_ratio(), beta * pair.margin());
    let anchor = beta * sigmoid(chosen) * sigmoid(-chosen);
    let contrast = beta * sigmoid(margin) * sigmoid(-margin);
    PairLoss::of_ratios(sigmoid(chosen) + sigmoid(-margin), anchor - contrast, contrast)
}
