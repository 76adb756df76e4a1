//! DPO-Positive: `-ls(b (D - λ max(0, -dc)))`: a margin counts less where the chosen completion became less likely.
//!
//! Pal et al. 2024, arXiv 2402.13228, equation 3. `dc` is the policy's minus the reference's log-probability of the chosen
//! completion, so that `max(0, -dc)` is what the paper has as `max(0, log π_ref / π)`.

use super::kind::{Evaluate, LossKind, LossParameters};
use super::maths::{log_sigmoid, sigmoid};
use super::pair::Pair;
use super::pair_loss::PairLoss;
use crate::parameter::{Kind, Parameter, Range};

const DPOP_LAMBDA: Parameter = Parameter {
    name: "dpop_lambda",
    kind: Kind::Float,
    default: "50.0",
    range: Some(Range::at_least(0.0)),
    doc: "How much it counts that the chosen completion became less likely than the reference finds it.",
};

pub(super) const KIND: LossKind = LossKind {
    id: "dpop",
    title: "DPO-Positive: chosen completions may not become less likely",
    paper: "arXiv:2402.13228",
    formula: "-log σ(b (D - λ max(0, -dc)))",
    parameters: &[DPOP_LAMBDA],
    divergences: false,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| Some(std::f64::consts::LN_2),
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let (beta, lambda) = (parameters.beta, parameters.get(&DPOP_LAMBDA));
    let fallen = (-pair.chosen_ratio()).max(0.0);
    let z = beta * (pair.margin() - lambda * fallen);
    let slope = -beta * sigmoid(-z);
    let chosen = if fallen > 0.0 { 1.0 + lambda } else { 1.0 };
    PairLoss::of_ratios(-log_sigmoid(z), slope * chosen, -slope)
}
