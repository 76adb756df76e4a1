//! DPO: `-(1 - ε) ls(b D) - ε ls(-b D)`.
//!
//! Rafailov et al. 2023, arXiv 2305.18290, equation 7, for `ε = 0`; with `ε > 0` the conservative DPO of Mitchell's note
//! (2023). TRL reads `label_smoothing` here and ignores it; this applies it.

use super::kind::{Evaluate, LABEL_SMOOTHING, LossKind, LossParameters};
use super::maths::smoothed_logistic;
use super::pair::Pair;
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "sigmoid",
    title: "Direct preference optimisation; conservative with label smoothing",
    paper: "arXiv:2305.18290",
    formula: "-(1 - ε) log σ(b D) - ε log σ(-b D)",
    parameters: &[LABEL_SMOOTHING],
    divergences: true,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| Some(std::f64::consts::LN_2),
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let (value, slope) = smoothed_logistic(parameters.beta * pair.margin(), parameters.get(&LABEL_SMOOTHING));
    PairLoss::of_margin(value, parameters.beta * slope)
}
