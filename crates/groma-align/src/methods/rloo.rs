//! REINFORCE leave-one-out: each completion's reward is compared with the mean reward of the others of its prompt.
//!
//! Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740, equation 7. As in TRL the reference is part of the reward,
//! `R - beta Σ_t (log π_old - log π_ref)`, without gradient; and the ratio to the sampler is that of whole completions,
//! clipped, so that one collection may serve several steps. The loss is the mean over completions, however they are cut into
//! micro-batches.

use super::policy::{self, Clip, clipped, log_ratios, measure, measure_clipped};
use crate::collect::{Collector, mean_and_deviation};
use crate::group::Group;
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range};
use crate::role::Role;
use crate::rollout::{self, Rollouts};
use crate::{Error, Hyperparameters, Metrics, reference};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "rloo",
    names: &["reinforce-leave-one-out"],
    title: "REINFORCE leave-one-out",
    paper: "arXiv:2402.14740",
    doc: "Samples completions of prompts and makes those likelier that are rewarded above the others of their prompt.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        rollout::GROUPS,
        rollout::REWARDS,
        &[reference::REF_MODEL],
        &[
            Parameter {
                name: "beta",
                kind: Kind::Float,
                default: "0.05",
                range: Some(Range::at_least(0.0)),
                doc: "Weight of the distance to the reference in the reward; 0 needs no reference.",
            },
            Parameter {
                name: "epsilon",
                kind: Kind::Float,
                default: "0.2",
                range: Some(Range::above(0.0)),
                doc: "How far the ratio to the sampler may fall below 1 or, without epsilon_high, rise above it.",
            },
            Parameter {
                name: "epsilon_high",
                kind: Kind::Float,
                default: "null",
                range: Some(Range::above(0.0)),
                doc: "How far the ratio may rise above 1; epsilon where null.",
            },
            Parameter {
                name: "normalize_advantages",
                kind: Kind::Boolean,
                default: "false",
                range: None,
                doc: "Bring the advantages of what was sampled at once to mean 0 and deviation 1.",
            },
        ],
    ],
    overrides: &[("learning_rate", "1e-6"), ("num_generations", "2")],
    metrics: &{
        let mut all = ["kl"; policy::METRICS.len() + 1];
        let mut i = 0;
        while i < policy::METRICS.len() {
            all[i] = policy::METRICS[i];
            i += 1;
        }
        all
    },
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Rloo::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    beta: f64,
    epsilon: f64,
    epsilon_high: Option<f64>,
    normalize_advantages: bool,
}

#[derive(Clone, Debug)]
struct Rloo {
    rollouts: Rollouts,
    raw: Raw,
}

impl Rloo {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        if raw.beta == 0.0 {
            reference::unasked(settings, "beta")?;
        }
        Ok(Rloo { rollouts: Rollouts::new(settings)?, raw })
    }
}

impl Objective for Rloo {
    fn reads(&self) -> Reads {
        Reads::Tokens { temperature: self.rollouts.sampling.temperature, half_temperature: false }
    }

    fn rollouts(&self) -> Option<&Rollouts> {
        Some(&self.rollouts)
    }

    fn needs_reference(&self) -> bool {
        self.raw.beta > 0.0
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        prompts: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let groups = collector.rollouts(&prompts, &self.rollouts)?;
        let mut groups: Vec<Group> = collector
            .referenced(groups.into_iter().map(Cow::Owned).collect())?
            .into_iter()
            .map(Cow::into_owned)
            .collect();
        for group in &mut groups {
            for member in &mut group.members {
                let distance: f64 = member.sampled.iter().zip(&member.reference).map(|(p, r)| f64::from(p - r)).sum();
                if self.needs_reference() {
                    collector.metrics.add("kl", distance, 1.0);
                }
                member.reward = member.reward.map(|reward| reward - self.raw.beta * distance);
            }
            let advantages = leave_one_out(&group.members.iter().map(|member| member.reward).collect::<Vec<_>>());
            group.members.iter_mut().zip(advantages).for_each(|(member, advantage)| member.advantage = advantage);
            policy::mask_truncated(&mut group.members, &self.rollouts);
        }
        if self.raw.normalize_advantages {
            normalise(&mut groups);
        }
        Ok(groups.into_iter().map(Cow::Owned).collect())
    }

    /// Completions of which something is learned.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.iter().flat_map(|group| &group.members).filter(|member| !member.sampled.is_empty()).count() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let clip = Clip { low: self.raw.epsilon, high: self.raw.epsilon_high.unwrap_or(self.raw.epsilon) };
        let (mut sum, mut slopes) = (0.0, Vec::new());
        for (index, member) in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            let ratios = log_ratios(&said.logps(index), member);
            let (value, slope, [below, above]) = clipped(ratios.iter().sum(), member.advantage.unwrap_or(0.0), clip);
            slopes.push(vec![slope; ratios.len()]);
            if !ratios.is_empty() {
                sum += value;
                measure(metrics, said, index, &ratios);
                measure_clipped(metrics, [below, above].map(|clipped| f64::from(u8::from(clipped))), 1.0);
            }
        }
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }
}

/// `r_i` less the mean of the others that are known; nothing without others.
fn leave_one_out(rewards: &[Option<f64>]) -> Vec<Option<f64>> {
    let known: Vec<f64> = rewards.iter().flatten().copied().collect();
    let (sum, others) = (known.iter().sum::<f64>(), known.len() as f64 - 1.0);
    rewards.iter().map(|reward| reward.filter(|_| others > 0.0).map(|r| r - (sum - r) / others)).collect()
}

fn normalise(groups: &mut [Group]) {
    let advantages = || groups.iter().flat_map(|group| &group.members).filter_map(|member| member.advantage);
    let (mean, deviation) = mean_and_deviation(&advantages().collect::<Vec<_>>());
    for member in groups.iter_mut().flat_map(|group| &mut group.members) {
        member.advantage = member.advantage.map(|advantage| (advantage - mean) / (deviation + 1e-4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_and_identities() {
        let of = |rewards: &[f64]| -> Vec<f64> {
            leave_one_out(&rewards.iter().copied().map(Some).collect::<Vec<_>>()).into_iter().flatten().collect()
        };
        let close = |a: &[f64], b: &[f64]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-12) && a.len() == b.len();
        let (up, down) = (2.0 / 3.0, -2.0 / 3.0);
        assert!(close(&of(&[1.0, 0.0, 0.0, 1.0]), &[up, down, down, up]));
        // Of two, the difference; of G, the distance to the mean times G / (G - 1).
        assert!(close(&of(&[0.7, 0.2]), &[0.5, -0.5]));
        let rewards = [0.3, -1.0, 2.5, 0.0, 0.4];
        let mean = rewards.iter().sum::<f64>() / 5.0;
        assert!(close(&of(&rewards), &rewards.map(|r| (r - mean) * 5.0 / 4.0)));
        assert_eq!(leave_one_out(&[Some(1.0), None]), [None, None]);
        assert_eq!(leave_one_out(&[Some(1.0), None, Some(0.0)]), [Some(1.0), None, Some(-1.0)]);
    }
}
