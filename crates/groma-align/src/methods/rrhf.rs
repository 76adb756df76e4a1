//! Rank responses to align with human feedback: of two completions the better one is to be the likelier by token.
//!
//! Yuan et al. 2023, arXiv 2304.05302, equations 2 to 4. With `p_i = log π_i / len_i ^ length_penalty`, the loss is
//! `rrhf_weight Σ_{r_i > r_j} max(0, p_j - p_i)`, and the cross-entropy of the best completion by token (of several best ones, the mean): the weights of the
//! authors' code, which has 100 for the first and, for the second, a mean that padding takes part in.

use super::ranking::{DATA, METRICS, Ranking, ordered};
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter, Range};
use groma_model::Head;

const WEIGHT: &str = "rrhf_weight";
const PENALTY: &str = "length_penalty";

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "rrhf",
    names: &["rank-responses-to-align-with-human-feedback"],
    title: "Rank responses to align with human feedback",
    paper: "arXiv:2304.05302",
    doc: "Makes better completions of a prompt likelier by token than worse ones, and learns the best; no reference.",
    data: DATA,
    roles: &[],
    heads: &[Head::UNEMBEDDING],
    parameters: &[&[
        Parameter {
            name: WEIGHT,
            kind: Kind::Float,
            default: "100.0",
            range: Some(Range::at_least(0.0)),
            doc: "Weight of the ranking beside the cross-entropy of the best completion.",
        },
        Parameter {
            name: PENALTY,
            kind: Kind::Float,
            default: "1.0",
            range: Some(Range::at_least(0.0)),
            doc: "Log-probabilities are divided by the length to this power.",
        },
    ]],
    overrides: &[("learning_rate", "2e-5")],
    metrics: &[METRICS],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| {
        let (weight, length_penalty) = (Ranking::number(settings, WEIGHT), Ranking::number(settings, PENALTY));
        Ok(Box::new(Ranking { weight, length_penalty, ..Ranking::of(Box::new(rank)) }))
    },
};

/// `Σ_{r_i > r_j} max(0, p_j - p_i)`.
fn rank(said: &[f64], scores: &[f64]) -> (f64, Vec<f64>) {
    let (mut value, mut slopes) = (0.0, vec![0.0; said.len()]);
    for (better, worse) in ordered(scores).filter(|&(i, j)| said[j] > said[i]) {
        value += said[worse] - said[better];
        slopes[worse] += 1.0;
        slopes[better] -= 1.0;
    }
    (value, slopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_value_and_slopes() {
        assert_eq!(rank(&[-1.5, -1.0, -2.0], &[2.0, 1.0, 0.0]), (0.5, vec![-1.0, 1.0, 0.0]));
        let (h, said, scores) = (1e-6, [-1.5, -1.0, -2.0, -0.2], [2.0, 1.0, 0.0, 1.0]);
        let (_, slopes) = rank(&said, &scores);
        for (index, slope) in slopes.into_iter().enumerate() {
            let at = |by: f64| {
                let mut moved = said;
                moved[index] += by;
                rank(&moved, &scores).0
            };
            assert!(((at(h) - at(-h)) / (2.0 * h) - slope).abs() < 1e-8);
        }
    }
}
