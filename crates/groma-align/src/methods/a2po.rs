//! A*-PO: regression of the policy onto the advantage over the best that could be expected.
//!
//! Brantley et al. 2025, arXiv 2505.20686, algorithm 1, as TRL's A2PO trainer has it: what a prompt is worth at best,
//! `V* = beta1 log mean exp(r / beta1)`, is estimated from completions of the reference, once for each prompt; then, on one
//! completion of the policy, the loss is `(beta2 log(π / π_ref) - (r - V*))^2`, the mean over completions. TRL estimates all
//! prompts before training, here each when it is first sampled. An error of `V*` moves the loss of a prompt, and its gradient not
//! in the mean, as all that the policy could say is moved alike.

use super::policy::{self, log_ratios, mask, measure};
use crate::collect::{Collector, Speaker};
use crate::group::{Group, Member};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Said, Slopes, Step};
use crate::parameter::{Kind, Range, parameter};
use crate::rewarded::Rewarded;
use crate::role::Role;
use crate::rollout;
use crate::{Error, Hyperparameters, Metrics, collect, constraint, reference};
use groma_data::Shape;
use groma_model::Head;
use groma_run::Digest;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "a2po",
    names: &["a-star-po", "optimal-advantage-regression"],
    title: "Optimal advantage regression",
    paper: "arXiv:2505.20686",
    doc: "Estimates what a prompt is worth at best from completions of the reference, and regresses the policy onto what its own completions are worth beside that.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Cost],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        rollout::PASSES,
        rollout::REWARDS,
        &[
            reference::REF_MODEL,
            parameter(
                "num_value_samples",
                Kind::Integer,
                "8",
                Some(Range::at_least(1.0)),
                "Completions of the reference from which is estimated what a prompt is worth at best.",
            ),
            parameter(
                "beta1",
                Kind::Float,
                "0.5",
                Some(Range::above(0.0)),
                "How little the best of them counts above the others.",
            ),
            parameter(
                "beta2",
                Kind::Float,
                "0.001",
                Some(Range::above(0.0)),
                "Strength of the pull towards the reference.",
            ),
            parameter(
                "filter_all_incorrect",
                Kind::Boolean,
                "true",
                None,
                "Learn nothing from prompts of which all completions of the reference are worth 0.",
            ),
        ],
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "1e-6"), ("max_completion_length", "256")],
    metrics: &[policy::REWARDS, collect::COMPLETIONS, policy::TOKENS, &["v_star", "implicit_reward", "advantage"]],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(A2po::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Raw {
    num_value_samples: usize,
    beta1: f64,
    beta2: f64,
    filter_all_incorrect: bool,
}

struct A2po {
    rewarded: Rewarded,
    raw: Raw,
    /// What prompts are worth at best, by a digest of their tokens; nothing where nothing is learned of one.
    values: BTreeMap<String, Option<f64>>,
}

impl A2po {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        Ok(A2po { rewarded: Rewarded::new(settings)?, raw: settings.typed()?, values: BTreeMap::new() })
    }

    /// Estimates of prompts what they are worth at best, where it is not known.
    fn estimate(&mut self, collector: &Collector<'_>, groups: &[Group]) -> Result<(), Error> {
        let mut unknown: BTreeMap<String, &Group> = groups.iter().map(|group| (key(group), group)).collect();
        unknown.retain(|key, _| !self.values.contains_key(key));
        if unknown.is_empty() {
            return Ok(());
        }
        let how = (&self.rewarded.rollouts.sampling, Some(self.raw.num_value_samples));
        let mut found = collector.beside(unknown.values().copied(), Speaker::Reference, how)?;
        self.rewarded.weigh(&mut found);
        for (key, group) in unknown.into_keys().zip(&found) {
            let rewards: Vec<f64> = group.members.iter().filter_map(|member| member.reward).collect();
            let wrong = self.raw.filter_all_incorrect && rewards.iter().all(|reward| *reward == 0.0);
            let value = (!wrong && !rewards.is_empty()).then(|| at_best(&rewards, self.raw.beta1));
            self.values.insert(key, value);
        }
        Ok(())
    }

    /// What the policy's distance to the reference says of a completion, and by how much its worth is above that of the best.
    fn sides(&self, logps: &[f32], member: &Member) -> (f64, f64) {
        let distance = |(&logp, &reference): (&f32, &f32)| f64::from(logp) - f64::from(reference);
        let implicit = self.raw.beta2 * logps.iter().zip(&member.reference).map(distance).sum::<f64>();
        (implicit, member.advantage.unwrap_or(0.0))
    }
}

/// Of a prompt's tokens.
fn key(group: &Group) -> String {
    let ids = group.members.first().map_or(&[][..], |member| member.sequence.prompt());
    let bytes: Vec<u8> = ids.iter().flat_map(|id| id.to_le_bytes()).collect();
    Digest::of_bytes(&bytes).to_string()
}

/// `beta log mean exp(r / beta)`.
fn at_best(rewards: &[f64], beta: f64) -> f64 {
    let largest = rewards.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean = rewards.iter().map(|reward| ((reward - largest) / beta).exp()).sum::<f64>() / rewards.len() as f64;
    largest + beta * mean.ln()
}

impl Objective for A2po {
    fn rewarded(&self) -> Option<&Rewarded> {
        Some(&self.rewarded)
    }

    fn needs_reference(&self) -> bool {
        true
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        prompts: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let mut groups = self.rewarded.sample(collector, &prompts)?;
        self.estimate(collector, &groups)?;
        for group in &mut groups {
            let value = self.values.get(&key(group)).copied().flatten();
            collector.metrics.add("v_star", value.unwrap_or(0.0), f64::from(u8::from(value.is_some())));
            for member in &mut group.members {
                member.advantage = member.reward.zip(value).map(|(reward, value)| reward - value);
            }
            policy::mask_truncated(&mut group.members, &self.rewarded.rollouts);
            group.members.iter_mut().filter(|member| member.advantage.is_none()).for_each(mask);
        }
        collector.referenced(groups.into_iter().map(Cow::Owned).collect())
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
        let (mut sum, mut slopes) = (0.0, Vec::new());
        for (index, member) in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            let logps = said.logps(index);
            let (implicit, advantage) = self.sides(&logps, member);
            let error = implicit - advantage;
            slopes.push(vec![2.0 * error * self.raw.beta2; logps.len()]);
            if !logps.is_empty() {
                sum += error * error;
                metrics.add("implicit_reward", implicit, 1.0);
                metrics.add("advantage", advantage, 1.0);
                measure(metrics, said, index, &log_ratios(&logps, member));
            }
        }
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }

    fn state(&self) -> Value {
        json!({"rewarded": self.rewarded.state(), "values": self.values})
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        let values = BTreeMap::deserialize(&state["values"]);
        self.values = values.map_err(|_| "it has nothing of `values` of the method")?;
        self.rewarded.restore(&state["rewarded"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half of the completions worth 1: `β log((1 + e^(1/β)) / 2)`; equal ones are what they are; a small β takes the best.
    #[test]
    fn what_can_be_expected_at_best() {
        let expected = 0.5 * ((1.0 + 2f64.exp()) / 2.0).ln();
        assert!((at_best(&[1.0, 0.0, 0.0, 1.0], 0.5) - expected).abs() < 1e-12);
        assert!((at_best(&[-2.0; 3], 0.5) + 2.0).abs() < 1e-12);
        assert!((at_best(&[1.0, 0.0, -1.0], 1e-4) - 1.0).abs() < 1e-3);
    }
}
