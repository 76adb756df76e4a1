//! Nash learning by mirror descent: the policy's completions against those of a mixture of itself and the reference.
//!
//! Munos et al. 2023, arXiv 2312.00886, section 7.3 (Nash-MD-PG), as in TRL: the opponent is the geometric mixture
//! `π^(1 - mixture_coef) π_ref^mixture_coef`, token by token; with `P` the probability that the policy's completion is preferred,
//! `σ` of the difference of rewards, the gradient is that of `-(P - 1/2 - beta log π/π_ref) log π`, no gradient through the
//! bracket. In TRL each token hears its own distance to the reference alone (`kl_level` `token`), and not what it leads to; the
//! paper's gradient has that of the whole completion.

use super::online_dpo::{check_pairs_fit, is_learned, set_against};
use super::policy::{self, log_ratios, mask, measure};
use crate::collect::{Collector, Speaker};
use crate::group::{Group, Member};
use crate::losses::sigmoid;
use crate::method::{Masks, Method};
use crate::objective::{Objective, Said, Slopes, Step};
use crate::parameter::{Kind, Range, parameter};
use crate::rewarded::{MISSING_EOS_PENALTY, Rewarded};
use crate::role::Role;
use crate::rollout;
use crate::{Error, Hyperparameters, Metrics, collect, constraint, moving, reference};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "nash_md",
    names: &["nash-md", "nash-md-pg", "nash-learning"],
    title: "Nash learning by mirror descent",
    paper: "arXiv:2312.00886",
    doc: "Makes completions likelier that would be preferred to those of a mixture of the policy and the reference.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Cost],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        rollout::PASSES,
        rollout::REWARDS,
        moving::PARAMETERS,
        &[
            MISSING_EOS_PENALTY,
            reference::REF_MODEL,
            parameter(
                "beta",
                Kind::Float,
                "0.1",
                Some(Range::at_least(0.0)),
                "Weight of the distance to the reference.",
            ),
            parameter(
                "mixture_coef",
                Kind::Float,
                "0.5",
                Some(Range::closed(0.0, 1.0)),
                "The reference's share in the opponent; with 0 the policy plays against itself, with 1 against the reference.",
            ),
            parameter(
                "kl_level",
                Kind::Choice(&["sequence", "token"]),
                "\"sequence\"",
                None,
                "Whether a token hears the distance of its whole completion to the reference, or its own alone, as in TRL.",
            ),
        ],
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "5e-7"), ("max_completion_length", "64"), ("temperature", "0.9")],
    metrics: &[
        policy::REWARDS,
        collect::COMPLETIONS,
        policy::TOKENS,
        &["rewards/probabilities", "loss/score", "loss/kl"],
    ],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(NashMd::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Raw {
    beta: f64,
    mixture_coef: f32,
    kl_level: Level,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Level {
    Sequence,
    Token,
}

struct NashMd {
    rewarded: Rewarded,
    raw: Raw,
}

impl NashMd {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        check_pairs_fit(settings)?;
        Ok(NashMd { rewarded: Rewarded::new(settings)?, raw: settings.typed()? })
    }

    /// What each token's log-probability is multiplied with in the loss, and the distance to the reference.
    fn slopes(&self, logps: &[f32], member: &Member) -> (Vec<f64>, f64) {
        let distances = logps.iter().zip(&member.reference).map(|(&logp, &r)| f64::from(logp) - f64::from(r));
        let distances: Vec<f64> = distances.collect();
        let whole: f64 = distances.iter().sum();
        let score = member.advantage.unwrap_or(0.0);
        let heard = |own: f64| if self.raw.kl_level == Level::Token { own } else { whole };
        (distances.iter().map(|&own| self.raw.beta * heard(own) - score).collect(), whole)
    }
}

impl Objective for NashMd {
    fn rewarded(&self) -> Option<&Rewarded> {
        Some(&self.rewarded)
    }

    /// The opponent has it in it, too.
    fn needs_reference(&self) -> bool {
        true
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        prompts: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let mut groups = self.rewarded.sample(collector, &prompts)?;
        let how = (&self.rewarded.rollouts.sampling, Some(1));
        let mut others = collector.beside(groups.iter(), Speaker::Mixture(self.raw.mixture_coef), how)?;
        self.rewarded.weigh(&mut others);
        set_against(&mut groups, others);
        for group in &mut groups {
            let rewards: Option<Vec<f64>> = group.members.iter().map(|member| member.reward).collect();
            // Of the opponent nothing is learned, and what it said was needed for its worth alone.
            group.members.truncate(1);
            policy::mask_truncated(&mut group.members, &self.rewarded.rollouts);
            match (rewards.as_deref(), &mut group.members[..]) {
                (Some([own, other]), [member]) => member.advantage = Some(sigmoid(own - other) - 0.5),
                (_, members) => members.iter_mut().for_each(mask),
            }
        }
        collector.referenced(groups.into_iter().map(Cow::Owned).collect())
    }

    /// Completions of which something is learned.
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
        let (mut sum, mut all) = (0.0, Vec::new());
        for (index, member) in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            let logps = said.logps(index);
            let (slopes, distance) = self.slopes(&logps, member);
            sum += slopes.iter().zip(&logps).map(|(slope, &logp)| slope * f64::from(logp)).sum::<f64>();
            all.push(slopes);
            if let (Some(score), false) = (member.advantage, logps.is_empty()) {
                let whole: f64 = logps.iter().map(|&logp| f64::from(logp)).sum();
                metrics.add("rewards/probabilities", score + 0.5, 1.0);
                metrics.add("loss/score", score * whole, 1.0);
                metrics.add("loss/kl", distance, 1.0);
                measure(metrics, said, index, &log_ratios(&logps, member));
            }
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
