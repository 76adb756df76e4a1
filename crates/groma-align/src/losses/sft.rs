//! Cross-entropy on the chosen completions: minus the mean log-probability over all their tokens in the batch.
//!
//! The supervised term of mixed objectives (e.g. MPO, Wang et al. 2024, arXiv 2411.10442). The mean is over the tokens of
//! the optimizer's batch, so a pair carries a share in proportion to its chosen tokens; TRL takes the mean of each
//! micro-batch.

use super::kind::{Evaluate, LossKind};
use super::pair::{Pair, Totals, tokens};
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "sft",
    title: "Cross-entropy on the chosen completion",
    paper: "arXiv:2411.10442",
    formula: "-Σ log π(chosen) / Σ len_c",
    parameters: &[],
    divergences: true,
    evaluate: Evaluate::Share(evaluate),
    at_reference: |_| None,
};

fn evaluate(pair: &Pair, totals: &Totals) -> PairLoss {
    let share = totals.pairs as f64 / tokens(totals.chosen_tokens);
    PairLoss { value: -pair.chosen_plain * share, d_chosen_plain: -share, ..PairLoss::default() }
}
