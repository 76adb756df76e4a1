//! Direct preference optimisation of completions that the policy has just sampled, of which rewards say which is better.
//!
//! Guo et al. 2024, arXiv 2402.04792 (OAIF), as in TRL: the loss is DPO's of the better and the worse of two completions, on
//! sums of log-probabilities for all kinds. Of more than two the best and the worst make the pair. Otherwise than in TRL nothing
//! is learned of two that are worth the same, where there the first counts as better; and with `preference` `bradley_terry` a
//! pair counts in both orders, each with the probability that a rater of those rewards would find it,
//! `σ(r_w - r_l) L(w, l) + σ(r_l - r_w) L(l, w)`, whose optimum is the tilted reference whatever samples.

use super::policy::{self, log_ratios, mask, measure};
use crate::collect::{Collector, Speaker};
use crate::group::{Group, Member};
use crate::losses::{self, Combination, Divergence, LossParameters, Pair, PairLoss, Totals, sigmoid};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::rewarded::{MISSING_EOS_PENALTY, Rewarded};
use crate::role::Role;
use crate::rollout;
use crate::{Error, Hyperparameters, Metrics, collect, constraint, moving, reference};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

const BATCH: &str = "per_device_train_batch_size";

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "online_dpo",
    names: &["online-dpo", "oaif"],
    title: "Online direct preference optimisation",
    paper: "arXiv:2402.04792",
    doc: "Samples two completions or more of each prompt and moves the best and the worst apart, relative to a frozen reference.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Cost],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        rollout::GROUPS,
        rollout::REWARDS,
        &[MISSING_EOS_PENALTY],
        PARAMETERS,
        moving::PARAMETERS,
        constraint::PARAMETERS,
    ],
    overrides: &[
        ("learning_rate", "5e-7"),
        ("num_generations", "2"),
        ("max_completion_length", "64"),
        ("temperature", "0.9"),
    ],
    metrics: &[policy::REWARDS, policy::SPREAD, collect::COMPLETIONS, policy::TOKENS, PAIRS],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(OnlineDpo::new(settings, Other::Policy, 0.0)?)),
};

/// Hyperparameters of every method of this kind.
pub(super) const PARAMETERS: &[Parameter] = &[
    reference::REF_MODEL,
    parameter(
        "beta",
        Kind::Float,
        "0.1",
        Some(Range::above(0.0)),
        "Strength of the pull towards the reference (τ of IPO).",
    ),
    parameter("loss_type", Kind::Variant(losses::ONLINE_VARIANTS), "\"sigmoid\"", None, "Kind of loss."),
    parameter(
        "preference",
        Kind::Choice(&["hard", "bradley_terry"]),
        "\"hard\"",
        None,
        "Whether the completion with the higher reward is the better one, or is so with the probability σ of the difference.",
    ),
];

/// What they log of pairs.
pub(super) const PAIRS: &[&str] = &[
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
    "objective/kl",
    "objective/scores_margin",
];

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    beta: f64,
    loss_type: String,
    preference: Preference,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Preference {
    Hard,
    BradleyTerry,
}

/// Whose completion the policy's is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Other {
    /// Its own, the worst beside the best.
    Policy,
    /// The reference's.
    Reference,
}

/// Such a method at work. A group's first completion is the policy's.
pub(super) struct OnlineDpo {
    rewarded: Rewarded,
    combination: Combination,
    preference: Preference,
    other: Other,
    /// What the log-probability of the reference's completion counts.
    alpha: f64,
}

impl OnlineDpo {
    pub(super) fn new(settings: &Hyperparameters, other: Other, alpha: f64) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        check_pairs_fit(settings)?;
        let kind = losses::kind(&raw.loss_type).ok_or_else(|| settings.invalid("loss_type", "is not known"))?;
        let parameters = LossParameters { beta: raw.beta, ..LossParameters::default() };
        let combination =
            Combination { terms: vec![(kind, 1.0)], parameters, divergence: Divergence::ReverseKl, by_token: false };
        Ok(OnlineDpo { rewarded: Rewarded::new(settings)?, combination, preference: raw.preference, other, alpha })
    }

    /// Pairs of completions of prompts: the policy's best and worst, or its first and the reference's.
    fn pairs(&mut self, collector: &mut Collector<'_>, prompts: &[Cow<'_, Group>]) -> Result<Vec<Group>, Error> {
        let mut groups = self.rewarded.sample(collector, prompts)?;
        match self.other {
            Other::Policy => groups.iter_mut().for_each(keep_extremes),
            Other::Reference => {
                let how = (&self.rewarded.rollouts.sampling, Some(1));
                let mut others = collector.beside(groups.iter(), Speaker::Reference, how)?;
                self.rewarded.weigh(&mut others);
                set_against(&mut groups, others);
            }
        }
        for group in &mut groups {
            let known = group.members.iter().all(|member| member.reward.is_some());
            let equal = group.members.windows(2).all(|pair| pair[0].reward == pair[1].reward);
            if !known || group.members.len() != 2 || (equal && self.alpha == 0.0) {
                group.members.iter_mut().for_each(mask);
            }
        }
        Ok(groups)
    }

    /// The loss of a pair, the first completion before the second, and by how much the rater prefers the first.
    fn evaluate(&self, members: &[Member], logps: [&[f32]; 2]) -> (PairLoss, f64) {
        let sum = |logps: &[f32]| logps.iter().map(|&logp| f64::from(logp)).sum::<f64>();
        let margin = members[0].reward.unwrap_or(0.0) - members[1].reward.unwrap_or(0.0);
        let first = match self.preference {
            Preference::Hard if margin == 0.0 => 0.5,
            Preference::Hard => f64::from(u8::from(margin > 0.0)),
            Preference::BradleyTerry => sigmoid(margin),
        };
        // Of completions of one token each all kinds go by sums.
        let pair = Pair {
            policy_chosen: sum(logps[0]),
            policy_rejected: sum(logps[1]),
            reference_chosen: sum(&members[0].reference),
            reference_rejected: sum(&members[1].reference),
            chosen_plain: sum(logps[0]),
            chosen_tokens: 1,
            rejected_tokens: 1,
        };
        let of = |pair: Pair| self.combination.evaluate(&[pair], &Totals::of(&[pair]))[0].loss;
        let (one, other) = (of(pair), of(pair.swapped()));
        let mixed = |one: f64, other: f64| first * one + (1.0 - first) * other;
        let loss = PairLoss {
            value: mixed(one.value, other.value) + self.alpha * pair.policy_rejected,
            d_chosen: mixed(one.d_chosen, other.d_rejected),
            d_rejected: mixed(one.d_rejected, other.d_chosen) + self.alpha,
            d_chosen_plain: 0.0,
        };
        (loss, margin)
    }

    /// Logs of a pair which was better, and what the policy makes of it.
    fn measure(&self, metrics: &mut Metrics, members: &[Member], logps: [&[f32]; 2], margin: f64) {
        let sum = |logps: &[f32]| logps.iter().map(|&logp| f64::from(logp)).sum::<f64>();
        let better = usize::from(margin < 0.0);
        let ratio = |side: usize| sum(logps[side]) - sum(&members[side].reference);
        let beta = self.combination.parameters.beta;
        let (chosen, rejected) = (beta * ratio(better), beta * ratio(1 - better));
        metrics.add("rewards/chosen", chosen, 1.0);
        metrics.add("rewards/rejected", rejected, 1.0);
        metrics.add("rewards/margins", chosen - rejected, 1.0);
        metrics.add("rewards/accuracies", f64::from(u8::from(chosen > rejected)), 1.0);
        metrics.add("logps/chosen", sum(logps[better]), 1.0);
        metrics.add("logps/rejected", sum(logps[1 - better]), 1.0);
        metrics.add("objective/kl", 0.5 * (ratio(0) + ratio(1)), 1.0);
        metrics.add("objective/scores_margin", margin.abs(), 1.0);
    }
}

/// # Errors
/// Where a micro-batch has no room for a pair.
pub(super) fn check_pairs_fit(settings: &Hyperparameters) -> Result<(), Error> {
    match settings.training.per_device_train_batch_size {
        0 | 1 => Err(settings.invalid(BATCH, "must be 2 or more: it counts completions, and two make a pair")),
        _ => Ok(()),
    }
}

/// Keeps the first of the best completions, then the last of the worst.
fn keep_extremes(group: &mut Group) {
    let mut known: Vec<Member> = group.members.drain(..).filter(|member| member.reward.is_some()).collect();
    known.sort_by(|a, b| b.reward.unwrap_or(0.0).total_cmp(&a.reward.unwrap_or(0.0)));
    let worst = if known.len() > 1 { known.pop() } else { None };
    known.truncate(1);
    group.members = known.into_iter().chain(worst).collect();
}

/// Puts beside the first completion of each group that of another.
pub(super) fn set_against(groups: &mut [Group], others: Vec<Group>) {
    for (group, other) in groups.iter_mut().zip(others) {
        group.members.truncate(1);
        group.members.extend(other.members);
    }
}

/// Whether something is learned of a pair.
pub(super) fn is_learned(group: &Group) -> bool {
    group.members.iter().any(|member| !member.sampled.is_empty())
}

impl Objective for OnlineDpo {
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
        let mut groups = self.pairs(collector, &prompts)?;
        for group in &mut groups {
            policy::mask_truncated(&mut group.members, &self.rewarded.rollouts);
            if group.members.iter().any(|member| member.sampled.is_empty()) {
                group.members.iter_mut().for_each(mask);
            }
        }
        collector.referenced(groups.into_iter().map(Cow::Owned).collect())
    }

    /// Pairs of which something is learned.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.iter().filter(|group| is_learned(group)).count() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let (mut sum, mut slopes, mut index) = (0.0, Vec::new(), 0);
        for group in &step.groups[micro] {
            let logps: Vec<Vec<f32>> = (index..index + group.members.len()).map(|m| said.logps(m)).collect();
            if let ([first, second], true) = (&logps[..], is_learned(group)) {
                let (loss, margin) = self.evaluate(&group.members, [first, second]);
                sum += loss.value;
                slopes.push(vec![loss.d_chosen; first.len()]);
                slopes.push(vec![loss.d_rejected; second.len()]);
                self.measure(metrics, &group.members, [first, second], margin);
                // Only what the policy sampled has a ratio to it.
                let own = if self.other == Other::Policy { 2 } else { 1 };
                for (member, logps) in group.members.iter().zip(&logps).take(own).enumerate() {
                    measure(metrics, said, index + member, &log_ratios(logps.1, logps.0));
                }
            } else {
                slopes.extend(logps.iter().map(|logps| vec![0.0; logps.len()]));
            }
            index += group.members.len();
        }
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }

    fn state(&self) -> Value {
        self.rewarded.state()
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        self.rewarded.restore(state)
    }
}
