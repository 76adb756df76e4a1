//! Pairwise reward modelling: `-ls(r_c - r_r - margin)`, and `coefficient * (r_c + r_r)^2` where rewards are centred.
//!
//! Bradley and Terry 1952; Ouyang et al. 2022, arXiv 2203.02155, equation 1; margins as in Llama 2 (arXiv 2307.09288,
//! equation 2), centring as in Eisenstein et al. 2023, arXiv 2312.09244. The score is that of a scalar head at the last
//! token. That of a language model starts at zero, so that training starts from the closed form; the embedding that the
//! removed unembedding may share stays. A reward model goes on with its own.

use crate::Metrics;
use crate::group::Group;
use crate::losses::{log_sigmoid, sigmoid};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "reward",
    names: &["reward-model", "rm", "bradley-terry"],
    title: "Pairwise reward model",
    paper: "arXiv:2203.02155",
    doc: "A scalar head that scores chosen completions above rejected ones (Bradley-Terry).",
    data: &[Shape::Preference],
    roles: &[],
    heads: &[Head::SCORE],
    parameters: &[&[Parameter {
        name: "center_rewards_coefficient",
        kind: Kind::Float,
        default: "null",
        range: Some(Range::at_least(0.0)),
        doc: "Weight of the squared sum of both rewards, which centres them; 0.01 is usual, none where null.",
    }]],
    overrides: &[("learning_rate", "1e-4"), ("truncation_mode", "\"drop\"")],
    metrics: &["accuracy", "margin", "min_reward", "mean_reward", "max_reward"],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(settings.typed::<Reward>()?)),
};

/// Values of the parameters above.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Reward {
    center_rewards_coefficient: Option<f64>,
}

/// Value of a pair, and its gradient with respect to the two rewards.
///
/// `margin` is by how much the chosen reward should be above the other.
pub fn pair_loss(chosen: f64, rejected: f64, margin: f64, centre: Option<f64>) -> (f64, f64, f64) {
    let gap = chosen - rejected - margin;
    let (sum, weight) = (chosen + rejected, centre.unwrap_or(0.0));
    let (pull, slope) = (2.0 * weight * sum, sigmoid(-gap));
    (-log_sigmoid(gap) + weight * sum * sum, pull - slope, pull + slope)
}

impl Objective for Reward {
    fn reads(&self) -> Reads {
        Reads::Scores
    }

    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.len() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let mut slopes = Slopes::default();
        for (group, pair) in step.groups[micro].iter().zip(said.scores.chunks_exact(2)) {
            let (chosen, rejected) = (f64::from(pair[0]), f64::from(pair[1]));
            let (value, d_chosen, d_rejected) =
                pair_loss(chosen, rejected, margin(group), self.center_rewards_coefficient);
            slopes.sum += value;
            slopes.scores.extend([d_chosen, d_rejected].map(|d| (d / step.total) as f32));
            measure(metrics, chosen, rejected);
        }
        slopes
    }

    /// With a zero head all rewards are 0, so the loss is that of the margins alone. One that has learned leaves it open.
    fn loss_at_start(&self, groups: &[Cow<'_, Group>]) -> Option<f64> {
        let losses = groups.iter().map(|group| -log_sigmoid(-margin(group)));
        Some(losses.sum::<f64>() / groups.len().max(1) as f64)
    }
}

/// By how much the chosen completion is said to be better.
fn margin(group: &Group) -> f64 {
    group.members.first().and_then(|member| member.margin).unwrap_or(0.0)
}

fn measure(metrics: &mut Metrics, chosen: f64, rejected: f64) {
    metrics.add("accuracy", f64::from(u8::from(chosen > rejected)), 1.0);
    metrics.add("margin", chosen - rejected, 1.0);
    for reward in [chosen, rejected] {
        metrics.add("mean_reward", reward, 1.0);
        metrics.smallest("min_reward", reward);
        metrics.largest("max_reward", reward);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values_and_slopes() {
        assert!((pair_loss(1.0, 0.5, 0.0, None).0 - 0.4740769841801067).abs() < 1e-12);
        assert!((pair_loss(1.0, 0.5, 0.2, None).0 - 0.5543552444685271).abs() < 1e-12);
        for (c, r, m, centre) in [(0.3, -0.4, 0.1, None), (2.0, 3.0, 0.0, Some(0.01)), (-1.0, 0.0, 0.5, Some(0.3))] {
            let (_, d_chosen, d_rejected) = pair_loss(c, r, m, centre);
            let h = 1e-6;
            let numeric_chosen = (pair_loss(c + h, r, m, centre).0 - pair_loss(c - h, r, m, centre).0) / (2.0 * h);
            let numeric_rejected = (pair_loss(c, r + h, m, centre).0 - pair_loss(c, r - h, m, centre).0) / (2.0 * h);
            assert!((d_chosen - numeric_chosen).abs() < 1e-8 && (d_rejected - numeric_rejected).abs() < 1e-8);
        }
        // The gradient of the contrast is -(1 - s(Δ)).
        assert!((pair_loss(1.0, 0.5, 0.0, None).1 + 1.0 - sigmoid(0.5)).abs() < 1e-15);
    }
}
