//! ReMax: each completion's reward is compared with that of the likeliest completion of its prompt.
//!
//! Li et al. 2023, arXiv 2310.10505, algorithm 1; the rest as [`whole`] says. The likeliest completion is found greedily, once for
//! each prompt, and what it is worth hangs on the prompt and the policy alone, so that the gradient keeps its mean. It has no
//! distance to the reference in it, which would move what all completions of a prompt are compared with, and no gradient.

use super::policy;
use super::whole::{self, Baseline, Whole};
use crate::collect::{Collector, Speaker};
use crate::group::Group;
use crate::method::{Masks, Method};
use crate::rewarded::Rewarded;
use crate::role::Role;
use crate::{Error, collect, constraint, moving, rewards, rollout};
use groma_data::Shape;
use groma_model::Head;

const GREEDY: &str = "remax/greedy_reward";

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "remax",
    names: &["re-max"],
    title: "ReMax",
    paper: "arXiv:2310.10505",
    doc: "Samples completions of prompts and makes those likelier that are rewarded above the likeliest completion of their prompt.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Cost],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        &[rollout::COMPLETIONS],
        rollout::PASSES,
        rollout::REWARDS,
        rewards::GRANULARITY,
        whole::PARAMETERS,
        moving::PARAMETERS,
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: &[policy::REWARDS, policy::SPREAD, collect::COMPLETIONS, policy::TOKENS, policy::CLIPPED, &["kl", GREEDY]],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Whole::new(settings, Greedy)?)),
};

/// What the likeliest completion is worth.
#[derive(Clone, Copy, Debug)]
struct Greedy;

impl Baseline for Greedy {
    fn compare(
        &mut self,
        collector: &mut Collector<'_>,
        rewarded: &Rewarded,
        groups: &mut [Group],
    ) -> Result<(), Error> {
        let mut likeliest = collector.beside(groups.iter(), Speaker::Policy, (&rewarded.rollouts.sampling, None))?;
        rewarded.weigh(&mut likeliest);
        for (group, likeliest) in groups.iter_mut().zip(&likeliest) {
            let expected = likeliest.members.iter().find_map(|member| member.reward);
            collector.metrics.add(GREEDY, expected.unwrap_or(0.0), f64::from(u8::from(expected.is_some())));
            for member in &mut group.members {
                member.advantage = member.reward.zip(expected).map(|(reward, expected)| reward - expected);
            }
        }
        Ok(())
    }
}
