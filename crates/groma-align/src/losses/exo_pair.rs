//! EXO-pref: `p (ln p - ln(1 - ε)) + (1 - p) (ln(1 - p) - ln ε)` with `p = s(b D)`.
//!
//! Ji et al. 2024, arXiv 2402.00856, equation 16 for two completions: the reverse KL between the policy's and the
//! labels' distribution over the pair. At `ε = 0` it is infinite, so smoothing is required (the paper: 1e-3).

use super::kind::{Evaluate, LossKind, LossParameters};
use super::maths::{log_sigmoid, sigmoid};
use super::pair::Pair;
use super::pair_loss::PairLoss;
use crate::parameter::{Parameter, Range};

/// Without smoothing the loss is infinite, so it has no default.
const LABEL_SMOOTHING: Parameter = Parameter {
    default: "null",
    range: Some(Range { min: 0.0, min_excluded: true, max: 0.5, max_excluded: true }),
    doc: "ε: share of the labels' distribution that the other completion gets; must be given, 1e-3 in the paper.",
    ..super::kind::LABEL_SMOOTHING
};

pub(super) const KIND: LossKind = LossKind {
    id: "exo_pair",
    title: "Efficient exact optimisation on pairs",
    paper: "arXiv:2402.00856",
    formula: "p ln(p / (1 - ε)) + (1 - p) ln((1 - p) / ε), p = σ(b D)",
    parameters: &[LABEL_SMOOTHING],
    divergences: true,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |parameters| {
        let smoothing = parameters.get(&LABEL_SMOOTHING);
        Some(-std::f64::consts::LN_2 - 0.5 * (smoothing * (1.0 - smoothing)).ln())
    },
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let z = parameters.beta * pair.margin();
    let (p, q) = (sigmoid(z), sigmoid(-z));
    let won = log_sigmoid(z) - (-parameters.get(&LABEL_SMOOTHING)).ln_1p();
    let lost = log_sigmoid(-z) - parameters.get(&LABEL_SMOOTHING).ln();
    PairLoss::of_margin(p * won + q * lost, parameters.beta * p * q * (won - lost))
}
