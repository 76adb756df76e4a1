//! Robust DPO: `[(1 - ε) (-ls(b D)) - ε (-ls(-b D))] / (1 - 2 ε)`.
//!
//! Chowdhury et al. 2024, arXiv 2403.00409, equation 14: its mean over label flips of rate `ε` is DPO on clean labels. Some
//! trainers take the second term with the same sign of `D`, which collapses to DPO; the flipped term here is the paper's.

use super::kind::{Evaluate, LABEL_SMOOTHING, LossKind, LossParameters};
use super::maths::{log_sigmoid, sigmoid};
use super::pair::Pair;
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "robust",
    title: "Robust DPO: unbiased under noisy labels",
    paper: "arXiv:2403.00409",
    formula: "[-(1 - ε) log σ(b D) + ε log σ(-b D)] / (1 - 2 ε)",
    parameters: &[LABEL_SMOOTHING],
    divergences: true,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| Some(std::f64::consts::LN_2),
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let (beta, smoothing) = (parameters.beta, parameters.get(&LABEL_SMOOTHING));
    let z = beta * pair.margin();
    let clean = 1.0 - 2.0 * smoothing;
    let value = (-(1.0 - smoothing) * log_sigmoid(z) + smoothing * log_sigmoid(-z)) / clean;
    PairLoss::of_margin(value, -beta * ((1.0 - smoothing) * sigmoid(-z) + smoothing * sigmoid(z)) / clean)
}
