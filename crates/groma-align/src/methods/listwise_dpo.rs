//! Direct preference optimisation on rankings: the likelihood of the ranking (Plackett and Luce) by `b` times log-ratios to a
//! reference.
//!
//! Rafailov et al. 2023, arXiv 2305.18290, equation 20: `Σ_k log Σ_{i ≥ k} exp(b u_i) - b u_k`, best first, `u` the policy's minus the
//! reference's log-probability of a completion. Of two completions it is DPO; its optimum is DPO's, the tilted reference. Completions with equal scores
//! do not stand against each other.

use super::pro::plackett_luce;
use super::ranking::{DATA, METRICS, Rank, Ranking};
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter, Range};
use crate::role::Role;
use crate::{moving, reference};
use groma_model::Head;

const BETA: &str = "beta";

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "listwise_dpo",
    names: &["plackett-luce-dpo", "dpo-pl"],
    title: "Direct preference optimisation on rankings",
    paper: "arXiv:2305.18290",
    doc: "Makes the log-ratios of ranked completions to a frozen reference such that their order is likely (Plackett-Luce).",
    data: DATA,
    roles: &[Role::Reference],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        reference::PARAMETERS,
        moving::PARAMETERS,
        &[
            Parameter {
                name: BETA,
                kind: Kind::Float,
                default: "0.1",
                range: Some(Range::above(0.0)),
                doc: "Strength of the pull towards the reference.",
            },
            Parameter {
                name: "sft_weight",
                kind: Kind::Float,
                default: "0.0",
                range: Some(Range::at_least(0.0)),
                doc: "Weight of the best completion's cross-entropy beside the ranking.",
            },
        ],
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: &[METRICS],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| {
        reference::precompute(settings)?;
        let (beta, supervised) = (Ranking::number(settings, BETA), Ranking::number(settings, "sft_weight"));
        let rank: Rank = Box::new(move |said, scores| {
            let scaled: Vec<f64> = said.iter().map(|ratio| beta * ratio).collect();
            let (value, slopes) = plackett_luce(&scaled, scores);
            (value, slopes.into_iter().map(|slope| beta * slope).collect())
        });
        Ok(Box::new(Ranking { supervised, reference: true, length_penalty: 0.0, ..Ranking::of(rank) }))
    },
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::log_sigmoid;

    #[test]
    fn of_two_completions_it_is_dpo() {
        assert!((plackett_luce(&[0.1 * 1.0, 0.1 * -0.5], &[1.0, 0.0]).0 + log_sigmoid(0.15)).abs() < 1e-15);
    }
}
