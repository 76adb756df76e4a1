//! REINFORCE++: returns of tokens, with the distance to the reference in them, brought to one scale over all that was sampled at
//! once; and its variant whose rewards are compared with their prompt's group first.
//!
//! Hu et al. 2025, arXiv 2501.03262. Plain: a token is rewarded with `-beta (log π_old - log π_ref)`, the last one with the
//! completion's score beside it; a token's advantage is what comes from it on, less the mean over all tokens, divided by their
//! deviation. With `baseline` `group`: the advantage of all tokens of a completion is its score less its group's mean, brought to
//! scale in the same way, and the distance to the reference (k2, `(log π - log π_ref)^2 / 2`) is in the loss instead. The loss is
//! the mean over the tokens of a step of `-min(r A, clip(r) A)`. Rewards that are placed at tokens (`reward_granularity`) are
//! theirs, and a token's advantage is made of what comes from it on, with `baseline` `group` too. The paper multiplies no ratio of a
//! token beyond those limits.

use super::advantages::{generalised, whiten};
use super::policy::{self, Clip, clipped, k2, log_ratios, measure, measure_clipped};
use super::whole;
use crate::collect::{Collector, mean_and_deviation};
use crate::group::{Estimate, Group, Member};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::rewarded::Rewarded;
use crate::role::Role;
use crate::rollout;
use crate::sampled::tokens;
use crate::{Error, Hyperparameters, Metrics, constraint, moving, reference, rewards};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

const BASELINE: &str = "baseline";

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "reinforce_plus_plus",
    names: &["reinforce++", "reinforce-plus-plus"],
    title: "REINFORCE++",
    paper: "arXiv:2501.03262",
    doc: "Samples completions of prompts and makes those tokens likelier after which more came than after others of all that was sampled at once.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Cost],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        &[rollout::COMPLETIONS],
        rollout::PASSES,
        rollout::REWARDS,
        rewards::GRANULARITY,
        moving::PARAMETERS,
        &[
            reference::REF_MODEL,
            Parameter {
                name: "beta",
                kind: Kind::Float,
                default: "0.01",
                range: Some(Range::at_least(0.0)),
                doc: "Weight of the distance to the reference, in the reward of tokens or, with baseline group, in the loss (k2); 0 needs no reference.",
            },
            EPSILON,
            EPSILON_HIGH,
            Parameter {
                name: BASELINE,
                kind: Kind::Choice(&["none", "group"]),
                default: "\"none\"",
                range: None,
                doc: "Whether rewards are compared with the mean of their prompt's group (REINFORCE++-baseline), which takes num_generations of 2 or more.",
            },
        ],
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: whole::METRICS,
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(ReinforcePlusPlus::new(settings)?)),
};

const EPSILON: Parameter = parameter(
    "epsilon",
    Kind::Float,
    "0.2",
    Some(Range::above(0.0)),
    "How far the ratio of a token to the sampler may fall below 1 or, without epsilon_high, rise above it.",
);
const EPSILON_HIGH: Parameter = parameter(
    "epsilon_high",
    Kind::Float,
    "null",
    Some(Range::above(0.0)),
    "How far the ratio may rise above 1; epsilon where null.",
);

/// Values of the parameters above.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Raw {
    beta: f64,
    epsilon: f64,
    epsilon_high: Option<f64>,
    baseline: Kinds,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kinds {
    None,
    Group,
}

struct ReinforcePlusPlus {
    rewarded: Rewarded,
    raw: Raw,
}

impl ReinforcePlusPlus {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let (rewarded, raw): (Rewarded, Raw) = (Rewarded::new(settings)?, settings.typed()?);
        if raw.beta == 0.0 {
            reference::unasked(settings, "beta")?;
        }
        if raw.baseline == Kinds::Group && rewarded.rollouts.num_generations < 2 {
            let problem = "has nothing to compare with where num_generations is 1: sample two or more of each prompt";
            return Err(settings.invalid(BASELINE, problem));
        }
        Ok(ReinforcePlusPlus { rewarded, raw })
    }

    /// What each token of completions is worth beside all others.
    fn judge(&self, groups: &mut [Group]) {
        if self.raw.baseline == Kinds::Group {
            groups.iter_mut().for_each(compare);
        }
        for member in groups.iter_mut().flat_map(|group| &mut group.members) {
            let rewards = self.rewards(member);
            // Nobody says what is to be expected, so that everything that comes is more.
            let expected = vec![0.0; rewards.len()];
            let returns = generalised(&rewards, &expected, 1.0, 1.0);
            let estimate = |advantage| Estimate { value: 0.0, advantage, target: advantage };
            member.estimates = returns.into_iter().map(estimate).collect();
        }
        let all = groups.iter_mut().flat_map(|group| &mut group.members).flat_map(|member| &mut member.estimates);
        whiten(&mut all.map(|estimate| &mut estimate.advantage).collect::<Vec<_>>(), false);
    }

    /// The rewards of a completion's tokens.
    fn rewards(&self, member: &Member) -> Vec<f64> {
        let in_reward = if self.raw.baseline == Kinds::None { self.raw.beta } else { 0.0 };
        let mut rewards = member.token_rewards();
        for (reward, (logp, reference)) in rewards.iter_mut().zip(member.sampled.iter().zip(&member.reference)) {
            *reward -= in_reward * (f64::from(*logp) - f64::from(*reference));
        }
        rewards
    }
}

/// Takes the mean of the group off its rewards, at the last token where they are placed.
fn compare(group: &mut Group) {
    let known: Vec<f64> = group.members.iter().filter_map(|member| member.reward).collect();
    let (mean, _) = mean_and_deviation(&known);
    for member in &mut group.members {
        member.reward = member.reward.map(|reward| reward - mean);
    }
}

impl Objective for ReinforcePlusPlus {
    fn rewarded(&self) -> Option<&Rewarded> {
        Some(&self.rewarded)
    }

    fn needs_reference(&self) -> bool {
        self.raw.beta > 0.0
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        prompts: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let mut groups = self.rewarded.sample(collector, &prompts)?;
        for group in &mut groups {
            policy::mask_truncated(&mut group.members, &self.rewarded.rollouts);
            policy::mask_unrewarded(&mut group.members);
        }
        if self.needs_reference() {
            let known = collector.referenced(groups.into_iter().map(Cow::Owned).collect())?;
            groups = known.into_iter().map(Cow::into_owned).collect();
            for member in groups.iter().flat_map(|group| &group.members) {
                let distance = member.sampled.iter().zip(&member.reference).map(|(p, r)| f64::from(p - r)).sum();
                collector.metrics.add("kl", distance, 1.0);
            }
        }
        self.judge(&mut groups);
        Ok(groups.into_iter().map(Cow::Owned).collect())
    }

    /// Tokens of which something is learned.
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
        let clip = Clip { low: self.raw.epsilon, high: self.raw.epsilon_high.unwrap_or(self.raw.epsilon) };
        let in_loss = if self.raw.baseline == Kinds::Group { self.raw.beta } else { 0.0 };
        let (mut sum, mut all) = (0.0, Vec::new());
        for (index, member) in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            let logps = said.logps(index);
            let ratios = log_ratios(&logps, member);
            let (mut slopes, mut cut) = (Vec::new(), [0.0; 2]);
            for (t, (&ratio, estimate)) in ratios.iter().zip(&member.estimates).enumerate() {
                let (value, slope, which) = clipped(ratio, estimate.advantage, clip);
                let reference = member.reference.get(t).copied().unwrap_or(logps[t]);
                let (distance, pull) = k2(f64::from(logps[t]), f64::from(reference));
                sum += value + in_loss * distance;
                slopes.push(slope + in_loss * pull);
                cut.iter_mut().zip(which).for_each(|(sum, is)| *sum += f64::from(u8::from(is)));
            }
            measure(metrics, said, index, &ratios);
            measure_clipped(metrics, cut, ratios.len() as f64);
            all.push(slopes);
        }
        Slopes { sum, logps: said.spread(&all, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }

    fn state(&self) -> Value {
        self.rewarded.state()
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        self.rewarded.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::forest::Forest;
    use crate::sequence::Sequence;
    use groma_kernels::HeadOutput;
    use serde_json::json;

    /// Advantages, loss and slopes of the paper's equations, see `scripts/make_policy_fixtures.py`.
    #[test]
    fn advantages_losses_and_slopes_are_those_of_the_paper() {
        let fixture: Value = serde_json::from_str(include_str!("../../fixtures/policy_losses.json")).unwrap();
        for case in fixture["reinforce_plus_plus"].as_array().unwrap() {
            let rows = |name: &str| serde_json::from_value::<Vec<Vec<f32>>>(case[name].clone()).unwrap();
            let mut given = json!({"reward_funcs": "length", "num_generations": 4}).as_object().unwrap().clone();
            given.extend(case["settings"].as_object().unwrap().clone());
            let mut method = ReinforcePlusPlus::new(&Settings::resolve(&METHOD, &given).unwrap()).unwrap();
            let member = |(index, (sampled, reference)): (usize, (Vec<f32>, Vec<f32>))| {
                let ids: Vec<u32> = (0..sampled.len() as u32).map(|t| 100 * index as u32 + t + 1).collect();
                let reward = case["rewards"][index].as_f64();
                let placed = case
                    .get("placed")
                    .map_or(Vec::new(), |_| rows("placed")[index].iter().map(|&at| at.into()).collect());
                Member { sampled, reference, reward, placed, ..Member::new(Sequence::completion(&[0], &ids)) }
            };
            let members = rows("sampled").into_iter().zip(rows("reference")).enumerate().map(member).collect();
            let mut groups = [Group { members, ..Group::default() }];
            method.judge(&mut groups);
            for (member, row) in groups[0].members.iter().zip(rows("advantages")) {
                let found: Vec<f64> = member.estimates.iter().map(|estimate| estimate.advantage).collect();
                let near = found.iter().zip(&row).all(|(a, b)| (a - f64::from(*b)).abs() < 1e-5);
                assert!(near && found.len() == row.len(), "{} {found:?} {row:?}", case["settings"]);
            }
            let forest = Forest::new(&groups[0].sequences().collect::<Vec<_>>());
            let mut output = HeadOutput { entropy: vec![0.0; forest.slot_count()], ..HeadOutput::default() };
            output.logp = output.entropy.clone();
            for (member, row) in rows("now").iter().enumerate() {
                forest.slots(member).iter().zip(row).for_each(|(&slot, &now)| output.logp[slot as usize] = now);
            }
            let said = Said::of_tokens(&forest, &output);
            let groups = groups.map(Cow::Owned);
            let step = Step { groups: &groups, total: method.total(&groups) };
            let found = method.loss(step, 0..1, &said, &mut Metrics::default());
            let expected = case["loss"].as_f64().unwrap();
            assert!((found.sum / step.total - expected).abs() < 1e-6, "{}: {} {expected}", case["settings"], found.sum);
            for (member, row) in rows("slopes").iter().enumerate() {
                for (slope, expected) in said.of(member, &found.logps).iter().zip(row) {
                    assert!((slope - expected).abs() < 1e-6, "{} {slope} {expected}", case["settings"]);
                }
            }
        }
    }
}
