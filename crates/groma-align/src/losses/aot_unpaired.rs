//! AOT, unpaired: with `dc` and `dr` each sorted over the batch, the mean of
//! `-(1 - ε) ls(b (dc_(i) - dr_(i))) - ε ls(-b (dc_(i) - dr_(i)))`.
//!
//! Melnyk et al. 2024, arXiv 2406.05882. The batch sorted is the optimizer's (see [`super::aot`]). A term joins the chosen
//! completion of one pair to the rejected one of another; each pair carries the value of its chosen completion's term.

use super::aot::ranked;
use super::kind::{Evaluate, LABEL_SMOOTHING, LossKind, LossParameters};
use super::maths::smoothed_logistic;
use super::pair::Pair;
use super::pair_loss::PairLoss;

pub(super) const KIND: LossKind = LossKind {
    id: "aot_unpaired",
    title: "Alignment by optimal transport, unpaired",
    paper: "arXiv:2406.05882",
    formula: "-(1 - ε) log σ(b δ) - ε log σ(-b δ), δ between sorted dc and sorted dr",
    parameters: &[LABEL_SMOOTHING],
    divergences: false,
    evaluate: Evaluate::Batch(evaluate),
    at_reference: |_| Some(std::f64::consts::LN_2),
};

fn evaluate(pairs: &[Pair], parameters: &LossParameters) -> Vec<PairLoss> {
    let chosen = ranked(pairs.iter().map(Pair::chosen_ratio));
    let rejected = ranked(pairs.iter().map(Pair::rejected_ratio));
    let mut losses = vec![PairLoss::default(); pairs.len()];
    for ((won, winner), (lost, loser)) in chosen.into_iter().zip(rejected) {
        let (value, slope) = smoothed_logistic(parameters.beta * (won - lost), parameters.get(&LABEL_SMOOTHING));
        losses[winner].value = value;
        losses[winner].d_chosen = parameters.beta * slope;
        losses[loser].d_rejected = -parameters.beta * slope;
    }
    losses
}
