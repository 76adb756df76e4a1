//! Stable alignment: contrastive preference optimisation by ratings. Each completion is to be less likely than the best by as much
//! as it is rated worse.
//!
//! Liu et al. 2023, arXiv 2305.16960, equation 1. With `p_i` the mean log-probability of a token, so that the cross-entropy is
//! `-p_i`, and `b` the best, the loss is `-p_b + Σ_i max(0, p_i - p_b + margin (r_b - r_i))`. What the simulated society says and
//! rates comes as rows of rankings. Of several best ones each is `b` in its turn, and the mean counts; the paper has one.

use super::ranking::{DATA, METRICS, Ranking, best};
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter, Range};
use groma_model::Head;

const MARGIN: &str = "rating_margin";

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "stable_alignment",
    names: &["stable-alignment", "contrastive-imitation"],
    title: "Stable alignment",
    paper: "arXiv:2305.16960",
    doc: "Learns the best completion of a rating, and makes each other one less likely by token by a margin that grows with the \
          difference of ratings; no reference.",
    data: DATA,
    roles: &[],
    heads: &[Head::UNEMBEDDING],
    parameters: &[&[Parameter {
        name: MARGIN,
        kind: Kind::Float,
        default: "0.1",
        range: Some(Range::at_least(0.0)),
        doc: "By how many nats a token the log-probabilities are to differ for each point of the rating.",
    }]],
    overrides: &[("learning_rate", "2e-5")],
    metrics: &[METRICS],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| {
        let margin = Ranking::number(settings, MARGIN);
        let rank = Box::new(move |said: &[f64], scores: &[f64]| margins(said, scores, margin));
        Ok(Box::new(Ranking::of(rank)))
    },
};

/// `Σ_i max(0, p_i - p_b + margin (r_b - r_i))` over all that are worse than the best; the mean where several are the best.
fn margins(said: &[f64], scores: &[f64], margin: f64) -> (f64, Vec<f64>) {
    let (mut value, mut slopes) = (0.0, vec![0.0; said.len()]);
    let best = best(scores);
    let share = 1.0 / best.len().max(1) as f64;
    for &first in &best {
        for other in (0..said.len()).filter(|&other| scores[other] < scores[first]) {
            let excess = said[other] - said[first] + margin * (scores[first] - scores[other]);
            if excess > 0.0 {
                value += share * excess;
                slopes[other] += share;
                slopes[first] -= share;
            }
        }
    }
    (value, slopes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn satisfied_margins_leave_imitation_alone_and_slopes_are_central_differences() {
        assert_eq!(margins(&[-1.0, -2.0, -3.0], &[7.0, 5.0, 1.0], 0.1), (0.0, vec![0.0; 3]));
        let (said, scores) = ([-1.5, -1.0, -2.0, -0.2], [7.0, 5.0, 1.0, 7.0]);
        // Of the first 0.5 + 0.2 and -0.5 + 0.6; of the other that is rated as high nothing.
        let (value, slopes) = margins(&said, &scores, 0.1);
        assert!((value - 0.4).abs() < 1e-12, "{value}");
        for (index, slope) in slopes.into_iter().enumerate() {
            let at = |by: f64| {
                let mut moved = said;
                moved[index] += by;
                margins(&moved, &scores, 0.1).0
            };
            assert!(((at(1e-6) - at(-1e-6)) / 2e-6 - slope).abs() < 1e-8);
        }
    }
}
