//! Reward-ranked fine-tuning: samples, keeps what is rewarded best, and learns it.
//!
//! Dong et al. 2023, arXiv 2304.06767 (RAFT): the best of `num_generations` completions of each prompt, again and again. With
//! `reward_thresholds`, Gulcehre et al. 2023, arXiv 2308.08998 (ReST): all completions of at least a reward, which rises from one
//! collection to the next. With `sampler` `reference` the completions are those of what training starts from, and the loss is, up
//! to a constant, the divergence of their best from the policy: best-of-n distillation, whose optimum is the best of n itself and
//! at most `ln n - (n - 1) / n` away from the reference (Beirami et al. 2024, arXiv 2401.01879). The loss is the mean over the
//! tokens of a step of their negative log-probability.

use super::policy::{self, mask};
use crate::collect::{Collector, Speaker};
use crate::group::{Group, Member};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Said, Slopes, Step};
use crate::parameter::{Kind, parameter};
use crate::rewarded::{Rewarded, number};
use crate::role::Role;
use crate::rollout;
use crate::sampled::tokens;
use crate::{Error, Hyperparameters, Metrics, collect, constraint, reference};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;

const THRESHOLDS: &str = "reward_thresholds";

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "raft",
    names: &["reward-ranked-fine-tuning", "rejection-sampling", "rest", "best-of-n-distillation"],
    title: "Reward-ranked fine-tuning",
    paper: "arXiv:2304.06767",
    doc: "Samples completions of each prompt and learns the best, or all that are rewarded well enough, as if they had been given.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Cost],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        rollout::GROUPS,
        rollout::REWARDS,
        &[
            reference::REF_MODEL,
            parameter(
                "sampler",
                Kind::Choice(&["policy", "reference"]),
                "\"policy\"",
                None,
                "Who is sampled: the model in training (RAFT), or what training starts from, or ref_model (best-of-n distillation).",
            ),
            parameter(
                THRESHOLDS,
                Kind::Floats,
                "null",
                None,
                "Learn all completions of at least this reward, the n-th number in the n-th collection and the last one after that (ReST); the best of each prompt where null.",
            ),
        ],
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "2e-5")],
    metrics: &[
        policy::REWARDS,
        policy::SPREAD,
        collect::COMPLETIONS,
        &["entropy", "selected", "selected/reward", "kl_bound"],
    ],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Raft::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    sampler: Sampler,
    reward_thresholds: Option<Vec<f64>>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Sampler {
    Policy,
    Reference,
}

struct Raft {
    rewarded: Rewarded,
    raw: Raw,
    /// How often was collected.
    collections: usize,
}

impl Raft {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        if raw.sampler == Sampler::Policy {
            reference::unasked_unless(settings, "sampler is reference")?;
        }
        if raw.reward_thresholds.as_ref().is_some_and(Vec::is_empty) {
            return Err(settings.invalid(THRESHOLDS, "must have a number, or be left out"));
        }
        Ok(Raft { rewarded: Rewarded::new(settings)?, raw, collections: 0 })
    }

    /// The least reward that is learned from in this collection; `None`: the best of each prompt is.
    fn threshold(&self) -> Option<f64> {
        let thresholds = self.raw.reward_thresholds.as_ref()?;
        thresholds.get(self.collections).or(thresholds.last()).copied()
    }

    /// Learns nothing from completions that are not good enough.
    fn select(&self, groups: &mut [Group], metrics: &mut Metrics) {
        for group in groups {
            let best = first_of_the_best(group);
            for (index, member) in group.members.iter_mut().enumerate() {
                let good = match self.threshold() {
                    Some(threshold) => member.reward.is_some_and(|reward| reward >= threshold),
                    None => Some(index) == best,
                };
                metrics.add("selected", f64::from(u8::from(good)), 1.0);
                match member.reward.filter(|_| good) {
                    Some(reward) => metrics.add("selected/reward", reward, 1.0),
                    None => mask(member),
                }
            }
        }
    }
}

/// Which completion has the highest reward, the first among equals; none where none has one.
fn first_of_the_best(group: &Group) -> Option<usize> {
    let known = group.members.iter().enumerate().filter_map(|(index, member)| Some((index, member.reward?)));
    known.reduce(|best, other| if other.1 > best.1 { other } else { best }).map(|(index, _)| index)
}

/// At most so far, in nats, is the best of `n` from what was sampled.
fn kl_bound(n: usize) -> f64 {
    let n = n as f64;
    n.ln() - (n - 1.0) / n
}

impl Objective for Raft {
    fn rewarded(&self) -> Option<&Rewarded> {
        Some(&self.rewarded)
    }

    /// Of which nothing is asked but that it speaks.
    fn needs_reference(&self) -> bool {
        self.raw.sampler == Sampler::Reference
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        prompts: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let who = if self.needs_reference() { Speaker::Reference } else { Speaker::Policy };
        let mut groups = self.rewarded.sample_from(who, collector, &prompts)?;
        self.select(&mut groups, collector.metrics);
        collector.metrics.add("kl_bound", kl_bound(self.rewarded.rollouts.num_generations), 1.0);
        self.collections += 1;
        for group in &mut groups {
            policy::mask_truncated(&mut group.members, &self.rewarded.rollouts);
            // What is not learned from need not be computed.
            group.members.retain(|member: &Member| !member.sampled.is_empty());
        }
        Ok(groups.into_iter().map(Cow::Owned).collect())
    }

    /// Tokens that are learned.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        tokens(groups)
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let members = step.groups[micro].iter().map(|group| group.members.len()).sum();
        let logps: Vec<Vec<f32>> = (0..members).map(|member| said.logps(member)).collect();
        for member in 0..members {
            let entropies = said.of(member, &said.output.entropy);
            metrics.add("entropy", entropies.iter().map(|&entropy| f64::from(entropy)).sum(), entropies.len() as f64);
        }
        let sum = -logps.iter().flatten().map(|&logp| f64::from(logp)).sum::<f64>();
        let slopes: Vec<Vec<f64>> = logps.iter().map(|logps| vec![-1.0; logps.len()]).collect();
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }

    fn state(&self) -> Value {
        json!({"rewarded": self.rewarded.state(), "collections": self.collections})
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        self.collections = number(state, "collections")? as usize;
        self.rewarded.restore(&state["rewarded"])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::sequence::Sequence;

    fn raft(more: Value) -> Raft {
        let mut given = json!({"reward_funcs": "length"}).as_object().unwrap().clone();
        given.extend(more.as_object().unwrap().clone());
        Raft::new(&Settings::resolve(&METHOD, &given).unwrap()).unwrap()
    }

    fn learned(raft: &Raft, rewards: &[Option<f64>]) -> Vec<bool> {
        let member = |&reward: &Option<f64>| Member {
            reward,
            sampled: vec![-1.0],
            ..Member::new(Sequence::completion(&[0], &[1]))
        };
        let mut groups = [Group { members: rewards.iter().map(member).collect(), ..Group::default() }];
        raft.select(&mut groups, &mut Metrics::default());
        groups[0].members.iter().map(|member| !member.sampled.is_empty()).collect()
    }

    #[test]
    fn the_best_is_learned_or_all_above_a_threshold_that_rises() {
        let rewards = [Some(0.5), None, Some(2.0), Some(2.0), Some(1.0)];
        assert_eq!(learned(&raft(json!({})), &rewards), [false, false, true, false, false]);
        assert_eq!(learned(&raft(json!({})), &[None, None]), [false, false]);
        let mut rest = raft(json!({"reward_thresholds": [0.5, 1.5]}));
        assert_eq!(learned(&rest, &rewards), [true, false, true, true, true]);
        for _ in 0..2 {
            rest.collections += 1;
            assert_eq!(learned(&rest, &rewards), [false, false, true, true, false]);
        }
    }

    /// Goldens of `golden.json`: `ln n - (n - 1) / n`.
    #[test]
    fn the_best_of_n_is_not_far() {
        assert!(kl_bound(1).abs() < 1e-15 && (kl_bound(4) - 0.636_294_361_119_890_6).abs() < 1e-12);
    }
}
