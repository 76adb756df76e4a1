//! DPO with a price of length: `-ls(b D + α (len_c - len_r))`.
//!
//! Park et al. 2024 (R-DPO), arXiv 2403.19159, equation 9. A token costs α: the optimum is the reference tilted by the reward less
//! α for each token, `ref exp((r - α len) / b) / Z`.

use super::kind::{Evaluate, LossKind, LossParameters};
use super::maths::{log_sigmoid, sigmoid};
use super::pair::{Pair, tokens};
use super::pair_loss::PairLoss;
use crate::parameter::{Kind, Parameter, Range};

const LENGTH_ALPHA: Parameter = Parameter {
    name: "length_alpha",
    kind: Kind::Float,
    default: "0.01",
    range: Some(Range::at_least(0.0)),
    doc: "What a token costs, in the reward's units.",
};

pub(super) const KIND: LossKind = LossKind {
    id: "sigmoid_length",
    title: "Direct preference optimisation with a price of length (R-DPO)",
    paper: "arXiv:2403.19159",
    formula: "-log σ(b D + α (len_c - len_r))",
    parameters: &[LENGTH_ALPHA],
    divergences: false,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| None,
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let longer = tokens(pair.chosen_tokens) - tokens(pair.rejected_tokens);
    let z = parameters.beta * pair.margin() + parameters.get(&LENGTH_ALPHA) * longer;
    PairLoss::of_margin(-log_sigmoid(z), -parameters.beta * sigmoid(-z))
}
