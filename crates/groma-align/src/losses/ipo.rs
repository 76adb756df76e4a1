//! IPO: `(dc / len_c - dr / len_r - 1 / (2 b))^2`.
//!
//! Azar et al. 2023, arXiv 2310.12036, equation 17, has `D` in place of the difference of means; the normalisation by
//! length is TRL's choice (agreed with the paper's authors), and this follows it. Results say "length-normalised".

use super::kind::{Evaluate, LossKind, LossParameters};
use super::pair::{Pair, tokens};
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "ipo",
    title: "Identity preference optimisation, length-normalised",
    paper: "arXiv:2310.12036",
    formula: "(dc / len_c - dr / len_r - 1 / (2 b))²",
    parameters: &[],
    divergences: true,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |parameters| Some((0.5 / parameters.beta).powi(2)),
};

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let (chosen, rejected) = pair.mean_ratios();
    let error = chosen - rejected - 0.5 / parameters.beta;
    let slope = 2.0 * error;
    PairLoss::of_ratios(error * error, slope / tokens(pair.chosen_tokens), -slope / tokens(pair.rejected_tokens))
}
