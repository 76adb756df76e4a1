//! DiscoPOP's log-ratio modulated loss: `(1 - m) (-ls(z)) + m exp(-z)` with `z = b D`, `m = s(z / τ)`.
//!
//! Lu et al. 2024, arXiv 2406.08414, equation 5, `τ = 0.05`. The product `m exp(-z)` is formed in the exponent, so that
//! a large negative `z` does not overflow.

use super::kind::{Evaluate, LossKind, LossParameters};
use super::maths::{log_sigmoid, sigmoid};
use super::pair::Pair;
use super::pair_loss::PairLoss;
use crate::parameter::{Kind, Parameter, Range};

const DISCOPOP_TAU: Parameter = Parameter {
    name: "discopop_tau",
    kind: Kind::Float,
    default: "0.05",
    range: Some(Range::above(0.0)),
    doc: "Temperature of the gate.",
};

pub(super) const KIND: LossKind = LossKind {
    id: "discopop",
    title: "Discovered preference optimisation (log-ratio modulated)",
    paper: "arXiv:2406.08414",
    formula: "(1 - m)(-log σ(z)) + m exp(-z), z = b D, m = σ(z / τ)",
    parameters: &[DISCOPOP_TAU],
    divergences: true,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| Some(0.5 * std::f64::consts::LN_2 + 0.5),
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let (beta, tau) = (parameters.beta, parameters.get(&DISCOPOP_TAU));
    let z = beta * pair.margin();
    let (gate, shut) = (sigmoid(z / tau), sigmoid(-z / tau));
    let logistic = -log_sigmoid(z);
    let exponential = (log_sigmoid(z / tau) - z).exp();
    let slope = -shut * sigmoid(-z) - logistic * gate * shut / tau - exponential + exponential * shut / tau;
    PairLoss::of_margin(shut * logistic + exponential, beta * slope)
}
