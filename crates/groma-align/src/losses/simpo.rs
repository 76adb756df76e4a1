//! SimPO: `-(1 - ε) ls(b (lc / len_c - lr / len_r) - γ) - ε ls(-(...))`, with `l` the policy's own log-probabilities.
//!
//! Meng et al. 2024, arXiv 2405.14734, equation 6; label smoothing is TRL's. There is no reference: in a [`Pair`] it says 0.

use super::kind::{Evaluate, LABEL_SMOOTHING, LossKind, LossParameters};
use super::maths::smoothed_logistic;
use super::pair::{Pair, tokens};
use super::pair_loss::PairLoss;
use crate::parameter::{Kind, Parameter, Range};

const SIMPO_GAMMA: Parameter = Parameter {
    name: "simpo_gamma",
    kind: Kind::Float,
    default: "0.5",
    range: Some(Range::at_least(0.0)),
    doc: "By how much the reward of the chosen completion is to be above the other.",
};

pub(super) const KIND: LossKind = LossKind {
    id: "simpo",
    title: "Simple preference optimisation: mean log-probabilities and a margin",
    paper: "arXiv:2405.14734",
    formula: "-(1 - ε) log σ(z) - ε log σ(-z), z = b (log π_c / len_c - log π_r / len_r) - γ",
    parameters: &[SIMPO_GAMMA, LABEL_SMOOTHING],
    divergences: true,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| None,
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    with_margin(pair, parameters, parameters.get(&SIMPO_GAMMA))
}

/// The loss with that margin γ.
pub(super) fn with_margin(pair: &Pair, parameters: &LossParameters, margin: f64) -> PairLoss {
    let (chosen, rejected) = pair.mean_ratios();
    let z = parameters.beta * (chosen - rejected) - margin;
    let (value, slope) = smoothed_logistic(z, parameters.get(&LABEL_SMOOTHING));
    let slope = parameters.beta * slope;
    PairLoss::of_ratios(value, slope / tokens(pair.chosen_tokens), -slope / tokens(pair.rejected_tokens))
}
