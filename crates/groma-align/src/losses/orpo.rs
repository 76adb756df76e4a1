//! ORPO's odds ratio: `-b ls(log odds_c - log odds_r)`, `odds = p / (1 - p)`, `log p` the mean log-probability of a token.
//!
//! Hong et al. 2024, arXiv 2403.07691, equations 6 and 7; `b` is their λ. There is no reference: in a [`Pair`] it says 0.

use super::kind::{Evaluate, LossKind, LossParameters};
use super::maths::{log_sigmoid, sigmoid};
use super::pair::{Pair, tokens};
use super::pair_loss::PairLoss;

/// Nearest to 0 that a mean log-probability is taken to be: the odds of what is certain are no number.
const NEAREST: f64 = -1e-12;

pub(super) const KIND: LossKind = LossKind {
    id: "orpo",
    title: "Odds ratio of both completions",
    paper: "arXiv:2403.07691",
    formula: "-b log σ(log odds_c - log odds_r), odds = p / (1 - p), log p = log π / len",
    parameters: &[],
    divergences: false,
    evaluate: Evaluate::Pair(evaluate),
    at_reference: |_| None,
};

/// `log(p / (1 - p))` of `log p`, and its derivative `1 / (1 - p)`.
fn log_odds(logp: f64) -> (f64, f64) {
    let logp = logp.min(NEAREST);
    let rest = -logp.exp_m1();
    (logp - rest.ln(), 1.0 / rest)
}

fn evaluate(pair: &Pair, parameters: &LossParameters) -> PairLoss {
    let (chosen, rejected) = pair.mean_ratios();
    let ((chosen, d_chosen), (rejected, d_rejected)) = (log_odds(chosen), log_odds(rejected));
    let z = chosen - rejected;
    let slope = -parameters.beta * sigmoid(-z);
    let (d_chosen, d_rejected) = (slope * d_chosen, -slope * d_rejected);
    let value = -parameters.beta * log_sigmoid(z);
    PairLoss::of_ratios(value, d_chosen / tokens(pair.chosen_tokens), d_rejected / tokens(pair.rejected_tokens))
}
