//! TPO-L: SimPO's loss under the names of triple preference optimisation, `-(1 - ε) ls(b (lc / len_c - lr / len_r) - γ) - ε ls(-(...))`.
//!
//! Saeidi et al. 2024, arXiv 2405.16681, as TRL's TPO trainer has it.

use super::kind::{Evaluate, LABEL_SMOOTHING, LossKind, LossParameters};
use super::pair::Pair;
use super::pair_loss::PairLoss;
use super::simpo::with_margin;
use crate::parameter::{Kind, Parameter, Range};

const TPO_L_GAMMA: Parameter = Parameter {
    name: "tpo_l_gamma",
    kind: Kind::Float,
    default: "0.5",
    range: Some(Range::at_least(0.0)),
    doc: "By how much the reward of the chosen completion is to be above the other.",
};

pub(super) const KIND: LossKind = LossKind {
    id: "tpo-l",
    title: "Mean log-probabilities and a margin",
    paper: "arXiv:2405.16681",
    formula: "-(1 - ε) log σ(z) - ε log σ(-z), z = b (log π_c / len_c - log π_r / len_r) - γ",
    parameters: &[TPO_L_GAMMA, LABEL_SMOOTHING],
    divergences: true,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| None,
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    with_margin(pair, parameters, parameters.get(&TPO_L_GAMMA))
}
