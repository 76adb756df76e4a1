//! Proximal policy optimisation with a critic: each token is rewarded, and compared with what was to be expected there.
//!
//! Schulman et al. 2017, arXiv 1707.06347; Ziegler et al. 2019, arXiv 1909.08593, for language models. As in TRL (0.23) the
//! reward of a token is `-kl_coef KL_t`, that of the last one has the completion's score beside it (or each token what of the score
//! lies at it, see `reward_granularity`); advantages are generalised (GAE) and whitened over all that was sampled at once. The loss is
//! the mean over the tokens of an optimizer step of
//! `-min(r A, clip(r) A) + vf_coef / 2 max((V - R)^2, (clip(V) - R)^2)`, `R` being what the critic should have said.
//!
//! Otherwise than in TRL: the score lies at the last token, not behind it; means are taken over the tokens of a step, not of a
//! micro-batch; the mini-batches of a pass are those of the pass before; a schedule counts steps, not collections; without
//! `value_model` the critic is a head on the policy's trunk.

mod demonstrations;
mod kl_controller;
mod seen;
#[cfg(test)]
mod tests;
mod value_loss;

use super::advantages::{generalised, whiten};
use super::policy::{self, Clip, clipped, log_ratios, measure};
use crate::collect::{Collector, Speaker};
use crate::constraint;
use crate::group::{Estimate, Group, Member};
use crate::method::{Masks, Method};
use crate::objective::{Lag, Objective, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::rewarded::{MISSING_EOS_PENALTY, Rewarded, number};
use crate::role::Role;
use crate::rollout;
use crate::sampled::tokens;
use crate::{Error, Hyperparameters, Metrics, collect, moving, reference, rewards, scaling};
use demonstrations::demonstrated;
use groma_data::Shape;
use groma_model::Head;
use kl_controller::KlController;
use seen::Seen;
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;
use value_loss::value_loss;

const COUNT: Option<Range> = Some(Range::at_least(1.0));
const NOT_NEGATIVE: Option<Range> = Some(Range::at_least(0.0));
const POSITIVE: Option<Range> = Some(Range::above(0.0));
const SHARE: Option<Range> = Some(Range::closed(0.0, 1.0));

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "ppo",
    names: &["proximal-policy-optimisation", "rlhf", "ppo-lag"],
    title: "Proximal policy optimisation",
    paper: "arXiv:1707.06347",
    doc: "Samples completions and makes those tokens likelier after which more reward came than a critic, which learns with it, had expected; on request within a limit on what completions cost (Safe RLHF's PPO-Lag).",
    data: &[Shape::PromptOnly, Shape::PromptCompletion],
    roles: &[Role::Reference, Role::Reward, Role::Critic, Role::Cost],
    heads: &[Head::UNEMBEDDING, Head::VALUE],
    parameters: &[
        rollout::SAMPLING,
        PASSES,
        rollout::REWARDS,
        rewards::GRANULARITY,
        moving::PARAMETERS,
        PARAMETERS,
        demonstrations::PARAMETERS,
        scaling::PARAMETERS,
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "3e-6"), ("max_completion_length", "53"), ("temperature", "0.7")],
    metrics: METRICS,
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Ppo::new(settings, None)?)),
};

/// How much is sampled at once, and how often is learned from it.
pub(super) const PASSES: &[Parameter] = &[
    parameter("num_ppo_epochs", Kind::Integer, "4", COUNT, "Passes of learning over what was sampled at once."),
    parameter(
        "num_mini_batches",
        Kind::Integer,
        "1",
        COUNT,
        "Optimizer steps in a pass, each on per_device_train_batch_size x gradient_accumulation_steps completions.",
    ),
];

/// How it is learned from.
pub(super) const PARAMETERS: &[Parameter] = &[
    reference::REF_MODEL,
    parameter(
        "value_model",
        Kind::Text,
        "null",
        None,
        "The critic, where it is a model of its own, all of which trains: a directory, or hub id, of a reward model or language model of the same tokenizer; a head on the policy's trunk where null.",
    ),
    parameter(
        "kl_coef",
        Kind::Float,
        "0.05",
        NOT_NEGATIVE,
        "Weight of the distance to the reference in the reward; 0 needs no reference.",
    ),
    parameter(
        "kl_estimator",
        Kind::Choice(&["k1", "k3"]),
        "\"k1\"",
        None,
        "How the distance is estimated at a token: by the difference of log-probabilities, or by a term that is never below 0, whose optimum is another one than the tilted reference.",
    ),
    parameter(
        "kl_controller",
        Kind::Variant(kl_controller::VARIANTS),
        "\"fixed\"",
        None,
        "Whether kl_coef stays, or moves towards a distance that is aimed at.",
    ),
    parameter("cliprange", Kind::Float, "0.2", POSITIVE, "How far the ratio to the sampler may be from 1 and count."),
    parameter("vf_coef", Kind::Float, "0.1", NOT_NEGATIVE, "Weight of the critic's loss."),
    parameter(
        "cliprange_value",
        Kind::Float,
        "0.2",
        POSITIVE,
        "How far what the critic says may be from what it said at sampling and count.",
    ),
    parameter("gamma", Kind::Float, "1.0", SHARE, "What a reward counts a token earlier."),
    parameter("lam", Kind::Float, "0.95", SHARE, "How far advantages look ahead before they trust the critic (GAE)."),
    parameter(
        "whiten_rewards",
        Kind::Boolean,
        "false",
        None,
        "Bring the rewards of tokens to a deviation of 1, their mean kept.",
    ),
    parameter("whiten_advantages", Kind::Boolean, "true", None, "Bring advantages to mean 0 and deviation 1."),
    MISSING_EOS_PENALTY,
];

/// What is logged.
pub(super) const METRICS: &[&[&str]] = &[
    policy::REWARDS,
    collect::COMPLETIONS,
    policy::TOKENS,
    &[
        "objective/kl",
        "objective/kl_coef",
        "objective/entropy",
        "objective/non_score_reward",
        "objective/rlhf_reward",
        "objective/scores",
        "policy/approxkl_avg",
        "policy/clipfrac_avg",
        "policy/entropy_avg",
        "loss/policy_avg",
        "loss/value_avg",
        "val/clipfrac_avg",
        "val/ratio",
        "val/num_eos_tokens",
    ],
];

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    kl_estimator: String,
    cliprange: f64,
    vf_coef: f64,
    cliprange_value: f64,
    gamma: f64,
    lam: f64,
    whiten_rewards: bool,
    whiten_advantages: bool,
    /// 0 where the method has no such setting.
    #[serde(default)]
    ptx_coef: f64,
}

/// Such a method at work.
pub(super) struct Ppo {
    rewarded: Rewarded,
    raw: Raw,
    kl: KlController,
    /// Which actions may be taken; `None`: all.
    lag: Option<Lag>,
}

impl Ppo {
    pub(super) fn new(settings: &Hyperparameters, lag: Option<Lag>) -> Result<Self, Error> {
        let kl = KlController::new(settings)?;
        if kl.weight == 0.0 {
            reference::unasked(settings, "kl_coef")?;
        }
        Ok(Ppo { rewarded: Rewarded::new(settings)?, raw: settings.typed()?, kl, lag })
    }

    /// How far each token of a completion takes the policy from the reference.
    fn distances(&self, member: &Member) -> Vec<f64> {
        let pairs = member.sampled.iter().zip(&member.reference).map(|(&p, &r)| (f64::from(p), f64::from(r)));
        match self.raw.kl_estimator.as_str() {
            "k3" => pairs.map(|(logp, reference)| policy::k3(logp, reference).0).collect(),
            _ => pairs.map(|(logp, reference)| logp - reference).collect(),
        }
    }

    /// The reward of each token of a completion.
    fn rewards(&self, member: &Member, metrics: &mut Metrics) -> Vec<f64> {
        let (Some(score), false) = (member.reward, member.sampled.is_empty()) else { return Vec::new() };
        let (mut rewards, distances) = (member.token_rewards(), self.distances(member));
        rewards.iter_mut().zip(&distances).for_each(|(reward, distance)| *reward -= self.kl.weight * distance);
        let shaped = -self.kl.weight * distances.iter().sum::<f64>();
        if !member.reference.is_empty() {
            metrics.add("objective/kl", distances.iter().sum(), 1.0);
        }
        metrics.add("objective/entropy", member.sampled.iter().map(|&logp| -f64::from(logp)).sum(), 1.0);
        metrics.add("objective/non_score_reward", shaped, 1.0);
        metrics.add("objective/scores", score, 1.0);
        metrics.add("objective/rlhf_reward", shaped + score, 1.0);
        rewards
    }

    /// From scores, and from what the critic expected, to what each token is found to be worth; then the weight of the distance
    /// moves.
    fn judge(&mut self, groups: &mut [Group], metrics: &mut Metrics) {
        let mut rewards: Vec<Vec<f64>> = members(groups).map(|member| self.rewards(member, metrics)).collect();
        if self.raw.whiten_rewards {
            whiten(&mut rewards.iter_mut().flatten().collect::<Vec<_>>(), true);
        }
        for (member, rewards) in members(groups).zip(&rewards) {
            let values: Vec<f64> = member.estimates.iter().map(|estimate| f64::from(estimate.value)).collect();
            let advantages = generalised(rewards, &values, self.raw.gamma, self.raw.lam);
            for (estimate, advantage) in member.estimates.iter_mut().zip(advantages) {
                *estimate = Estimate { advantage, target: advantage + f64::from(estimate.value), ..*estimate };
            }
        }
        if self.raw.whiten_advantages {
            let advantages = members(groups).flat_map(|member| &mut member.estimates).map(|one| &mut one.advantage);
            whiten(&mut advantages.collect::<Vec<_>>(), false);
        }
        metrics.add("objective/kl_coef", self.kl.weight, 1.0);
        let learned: Vec<&mut Member> = members(groups).filter(|member| !member.sampled.is_empty()).collect();
        let distance: f64 = learned.iter().flat_map(|member| self.distances(member)).sum();
        if !learned.is_empty() {
            self.kl.update(distance / learned.len() as f64, learned.len());
        }
    }
}

fn members(groups: &mut [Group]) -> impl Iterator<Item = &mut Member> {
    groups.iter_mut().flat_map(|group| &mut group.members)
}

impl Objective for Ppo {
    fn rewarded(&self) -> Option<&Rewarded> {
        Some(&self.rewarded)
    }

    fn needs_reference(&self) -> bool {
        self.kl.weight > 0.0
    }

    fn learns_rows(&self) -> bool {
        self.raw.ptx_coef > 0.0
    }

    fn has_critic(&self) -> bool {
        true
    }

    fn lag(&self) -> Option<Lag> {
        self.lag
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        prompts: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let who = self.lag.map_or(Speaker::Policy, |lag| Speaker::Masked(lag.mask));
        let mut groups = self.rewarded.sample_from(who, collector, &prompts)?;
        let ended = members(&mut groups).filter(|member| member.ended == Some(true)).count();
        collector.metrics.add("val/num_eos_tokens", ended as f64, 1.0);
        for group in &mut groups {
            policy::mask_truncated(&mut group.members, &self.rewarded.rollouts);
            policy::mask_unrewarded(&mut group.members);
        }
        let groups = groups.into_iter().map(Cow::Owned).collect();
        let groups = if self.needs_reference() { collector.referenced(groups)? } else { groups };
        let mut groups: Vec<Group> = groups.into_iter().map(Cow::into_owned).collect();
        collector.estimate(&mut groups)?;
        self.judge(&mut groups, collector.metrics);
        if self.raw.ptx_coef > 0.0 {
            demonstrations::add(METHOD.id, &mut groups, &prompts)?;
        }
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
        let clip = Clip { low: self.raw.cliprange, high: self.raw.cliprange };
        let (mut sum, mut by_logp, mut by_value) = (0.0, Vec::new(), Vec::new());
        let all = || step.groups.iter().flat_map(|group| &group.members);
        let given: usize = if self.raw.ptx_coef > 0.0 { all().map(demonstrated).sum() } else { 0 };
        let ptx = self.raw.ptx_coef * step.total / given.max(1) as f64;
        for (index, member) in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            if demonstrated(member) > 0 {
                let logps = said.logps(index);
                let nll = -logps.iter().map(|&logp| f64::from(logp)).sum::<f64>();
                metrics.add("loss/ptx_avg", nll, logps.len() as f64);
                sum += ptx * nll;
                by_logp.push(vec![-ptx; logps.len()]);
                by_value.push(vec![0.0; logps.len()]);
                continue;
            }
            let (ratios, values) = (log_ratios(&said.logps(index), member), said.of(index, said.values));
            let mut seen = Seen::default();
            let (mut logps, mut slopes) = (Vec::new(), Vec::new());
            for ((&ratio, &value), estimate) in ratios.iter().zip(&values).zip(&member.estimates) {
                let (loss, slope, cut) = clipped(ratio, estimate.advantage, clip);
                let (error, pull, bounded) = value_loss(f64::from(value), estimate, self.raw.cliprange_value);
                sum += loss + self.raw.vf_coef * error;
                logps.push(slope);
                slopes.push(self.raw.vf_coef * pull);
                seen.add(ratio, (loss, cut != [false; 2]), (error, bounded));
            }
            seen.measure(metrics);
            measure(metrics, said, index, &ratios);
            let entropy: f64 = said.of(index, &said.output.entropy).into_iter().map(f64::from).sum();
            metrics.add("policy/entropy_avg", entropy, ratios.len() as f64);
            by_logp.push(logps);
            by_value.push(slopes);
        }
        let factor = 1.0 / step.total.max(1.0);
        let (logps, values) = (said.spread(&by_logp, factor), said.spread(&by_value, factor));
        Slopes { sum, logps, values, ..Slopes::default() }
    }

    fn state(&self) -> Value {
        json!({"kl_coef": self.kl.weight, "rewarded": self.rewarded.state()})
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        self.kl.weight = number(state, "kl_coef")?;
        self.rewarded.restore(&state["rewarded"])
    }
}
