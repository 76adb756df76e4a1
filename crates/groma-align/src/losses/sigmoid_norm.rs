//! Length-normalised DPO: `-(1 - ε) ls(b (dc / len_c - dr / len_r)) - ε ls(-b (...))`.
//!
//! The form of Tülu 3 (Lambert et al. 2024, arXiv 2411.15124, section 5). TRL has no label smoothing here.

use super::kind::{Evaluate, LABEL_SMOOTHING, LossKind, LossParameters};
use super::maths::smoothed_logistic;
use super::pair::{Pair, tokens};
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "sigmoid_norm",
    title: "Direct preference optimisation, length-normalised",
    paper: "arXiv:2411.15124",
    formula: "-(1 - ε) log σ(b (dc / len_c - dr / len_r)) - ε log σ(-b (dc / len_c - dr / len_r))",
    parameters: &[LABEL_SMOOTHING],
    divergences: true,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| Some(std::f64::consts::LN_2),
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let (chosen, rejected) = pair.mean_ratios();
    let (value, slope) = smoothed_logistic(parameters.beta * (chosen - rejected), parameters.get(&LABEL_SMOOTHING));
    let slope = parameters.beta * slope;
    PairLoss::of_ratios(value, slope / tokens(pair.chosen_tokens), -slope / tokens(pair.rejected_tokens))
}
