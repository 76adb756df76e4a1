//! AOT, paired: with `u` the policy's and `v` the reference's chosen-minus-rejected log-probability, both sorted over the
//! batch, the mean of `-(1 - ε) ls(b (u_(i) - v_(i))) - ε ls(-b (u_(i) - v_(i)))`.
//!
//! Melnyk et al. 2024, arXiv 2406.05882. The batch sorted here is the optimizer's, however it is cut into micro-batches; TRL
//! sorts each micro-batch by itself. Ties keep the order of the batch.

use super::kind::{Evaluate, LABEL_SMOOTHING, LossKind, LossParameters};
use super::maths::smoothed_logistic;
use super::pair::Pair;
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "aot",
    title: "Alignment by optimal transport, paired",
    paper: "arXiv:2406.05882",
    formula: "-(1 - ε) log σ(b δ) - ε log σ(-b δ), δ between sorted policy and reference log-ratios",
    parameters: &[LABEL_SMOOTHING],
    divergences: false,
    evaluate: Evaluate::Batch(evaluate),
    at_reference: |_| Some(std::f64::consts::LN_2),
};

fn evaluate(pairs: &[Pair], parameters: &LossParameters) -> Vec<PairLoss> {
    let policy = ranked(pairs.iter().map(|pair| pair.policy_chosen - pair.policy_rejected));
    let reference = ranked(pairs.iter().map(|pair| pair.reference_chosen - pair.reference_rejected));
    let mut losses = vec![PairLoss::default(); pairs.len()];
    for ((value, owner), (floor, _)) in policy.into_iter().zip(reference) {
        let (loss, slope) = smoothed_logistic(parameters.beta * (value - floor), parameters.get(&LABEL_SMOOTHING));
        losses[owner] = PairLoss::of_margin(loss, parameters.beta * slope);
    }
    losses
}

/// Values in rising order, each with its index.
pub(super) fn ranked(values: impl Iterator<Item = f64>) -> Vec<(f64, usize)> {
    let mut ranked: Vec<_> = values.enumerate().map(|(index, value)| (value, index)).collect();
    ranked.sort_by(|a, b| a.0.total_cmp(&b.0));
    ranked
}
