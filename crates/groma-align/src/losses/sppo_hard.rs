//! SPPO with hard labels: `(dc - 1 / (2 b))^2 + (dr + 1 / (2 b))^2`.
//!
//! Wu et al. 2024, arXiv 2405.00675, equation 4.7 with the probability of winning set to 1 and 0.

use super::kind::{Evaluate, LossKind, LossParameters};
use super::pair::Pair;
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "sppo_hard",
    title: "Self-play preference optimisation with hard labels",
    paper: "arXiv:2405.00675",
    formula: "(dc - 1 / (2 b))² + (dr + 1 / (2 b))²",
    parameters: &[],
    divergences: false,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |parameters| Some(0.5 / parameters.beta.powi(2)),
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let target = 0.5 / parameters.beta;
    let (chosen, rejected) = (pair.chosen_ratio() - target, pair.rejected_ratio() + target);
    PairLoss::of_ratios(chosen * chosen + rejected * rejected, 2.0 * chosen, 2.0 * rejected)
}
