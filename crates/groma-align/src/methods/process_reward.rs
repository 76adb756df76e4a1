//! Process reward modelling: of each step of an answer, whether it is right. Cross-entropy of two labels at the token that ends
//! the step.
//!
//! Lightman et al. 2023, arXiv 2305.20050; Uesato et al. 2022, arXiv 2211.14275; settings and layout of TRL's PRMTrainer. The loss
//! is the mean over all labelled steps of the optimizer's batch, as it is there over tokens that have a label. TRL puts the
//! separator behind every step; here one that ends with it already gets no second. The head starts at zero.

use crate::Metrics;
use crate::group::{Group, Member};
use crate::losses::{log_sigmoid, sigmoid};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

/// Of methods that read answers in steps.
pub(super) const STEP_SEPARATOR: Parameter = Parameter {
    name: "step_separator",
    kind: Kind::Text,
    default: "\"\\n\"",
    range: None,
    doc: "What a step ends with; it is added to those that do not.",
};

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "process_reward",
    names: &["prm", "process-reward-model", "stepwise-reward"],
    title: "Process reward model",
    paper: "arXiv:2305.20050",
    doc: "A head of two labels that says behind each step of an answer whether it is right.",
    data: &[Shape::Stepwise],
    roles: &[],
    heads: &[Head::STEP],
    parameters: &[&[
        STEP_SEPARATOR,
        Parameter {
            name: "train_on_last_step_only",
            kind: Kind::Boolean,
            default: "false",
            range: None,
            doc: "Learn from the label of the last step alone: an outcome reward model with the same head.",
        },
    ]],
    overrides: &[("learning_rate", "1e-5"), ("truncation_mode", "\"drop\"")],
    metrics: &[&["accuracy", "reward/right", "reward/wrong"]],
    masks: |settings| {
        let ProcessReward { step_separator, .. } = settings.typed()?;
        Ok(Masks { step_separator, ..Masks::default() })
    },
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(settings.typed::<ProcessReward>()?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct ProcessReward {
    step_separator: String,
    train_on_last_step_only: bool,
}

/// Cross-entropy of two logits, wrong and right, and its slopes with respect to them.
fn step_loss([wrong, right]: [f64; 2], is_right: bool) -> (f64, [f64; 2]) {
    let (gap, sign) = (right - wrong, if is_right { 1.0 } else { -1.0 });
    let slope = -sign * sigmoid(-sign * gap);
    (-log_sigmoid(sign * gap), [-slope, slope])
}

impl ProcessReward {
    /// Of a member's steps, the label of those that are learned from.
    fn labels<'m>(&self, member: &'m Member) -> impl Iterator<Item = Option<bool>> + 'm {
        let first = if self.train_on_last_step_only { member.steps.len().saturating_sub(1) } else { 0 };
        member.steps.iter().enumerate().map(move |(index, &(_, right))| (index >= first).then_some(right))
    }

    fn all_labels<'g>(&self, groups: &'g [Cow<'_, Group>]) -> impl Iterator<Item = Option<bool>> + use<'g, '_> {
        groups.iter().flat_map(|group| &group.members).flat_map(move |member| self.labels(member))
    }
}

impl Objective for ProcessReward {
    fn reads(&self) -> Reads {
        Reads::Steps
    }

    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        self.all_labels(groups).flatten().count() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let mut slopes = Slopes::default();
        for (label, logits) in self.all_labels(&step.groups[micro]).zip(said.scores.chunks_exact(2)) {
            let Some(right) = label else {
                slopes.scores.extend([0.0; 2]);
                continue;
            };
            let logits = [f64::from(logits[0]), f64::from(logits[1])];
            let (value, own) = step_loss(logits, right);
            slopes.sum += value;
            slopes.scores.extend(own.map(|slope| (slope / step.total) as f32));
            let gap = logits[1] - logits[0];
            metrics.add("accuracy", f64::from(u8::from((gap > 0.0) == right)), 1.0);
            metrics.add(if right { "reward/right" } else { "reward/wrong" }, sigmoid(gap), 1.0);
        }
        slopes
    }

    fn loss_at_start(&self, _: &[Cow<'_, Group>]) -> Option<f64> {
        Some(std::f64::consts::LN_2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loss_is_cross_entropy_and_its_slopes_are_central_differences() {
        let entropy = |logits: [f64; 2], right: bool| {
            let total = logits[0].exp() + logits[1].exp();
            -(logits[usize::from(right)].exp() / total).ln()
        };
        let h = 1e-6;
        for logits in [[0.3, -0.4], [-2.0, 1.5], [0.0, 0.0]] {
            for right in [true, false] {
                let (value, slopes) = step_loss(logits, right);
                assert!((value - entropy(logits, right)).abs() < 1e-12);
                for (index, slope) in slopes.into_iter().enumerate() {
                    let at = |by: f64| {
                        let mut moved = logits;
                        moved[index] += by;
                        entropy(moved, right)
                    };
                    assert!(((at(h) - at(-h)) / (2.0 * h) - slope).abs() < 1e-8);
                }
            }
        }
    }

    #[test]
    fn only_the_last_step_where_that_is_asked() {
        let member = Member { steps: vec![(3, true), (5, false), (9, false)], ..Member::default() };
        let labels = |last: bool| {
            let reward = ProcessReward { step_separator: "\n".into(), train_on_last_step_only: last };
            reward.labels(&member).collect::<Vec<_>>()
        };
        assert_eq!(labels(false), [Some(true), Some(false), Some(false)]);
        assert_eq!(labels(true), [None, None, Some(false)]);
    }
}
