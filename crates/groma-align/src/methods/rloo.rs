//! REINFORCE leave-one-out: each completion's reward is compared with the mean reward of the others of its prompt.
//!
//! Kool et al. 2019; Ahmadian et al. 2024, arXiv 2402.14740, equation 7; the rest as in TRL, and as [`whole`] says.

use super::whole::{self, Baseline, Whole};
use crate::collect::{Collector, mean_and_deviation};
use crate::group::Group;
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter};
use crate::rewarded::Rewarded;
use crate::role::Role;
use crate::{Error, constraint, moving, rewards, rollout};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "rloo",
    names: &["reinforce-leave-one-out"],
    title: "REINFORCE leave-one-out",
    paper: "arXiv:2402.14740",
    doc: "Samples completions of prompts and makes those likelier that are rewarded above the others of their prompt.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Cost],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        rollout::GROUPS,
        rollout::REWARDS,
        rewards::GRANULARITY,
        whole::PARAMETERS,
        moving::PARAMETERS,
        &[Parameter {
            name: "normalize_advantages",
            kind: Kind::Boolean,
            default: "false",
            range: None,
            doc: "Bring the advantages of what was sampled at once to mean 0 and deviation 1.",
        }],
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "1e-6"), ("num_generations", "2")],
    metrics: whole::METRICS,
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Whole::new(settings, settings.typed::<LeaveOneOut>()?)?)),
};

/// Values of the parameters above.
#[derive(Clone, Copy, Debug, Deserialize)]
struct LeaveOneOut {
    normalize_advantages: bool,
}

impl Baseline for LeaveOneOut {
    fn compare(&mut self, _: &mut Collector<'_>, _: &Rewarded, groups: &mut [Group]) -> Result<(), Error> {
        for group in groups.iter_mut() {
            let advantages = leave_one_out(&group.members.iter().map(|member| member.reward).collect::<Vec<_>>());
            group.members.iter_mut().zip(advantages).for_each(|(member, advantage)| member.advantage = advantage);
        }
        if self.normalize_advantages {
            normalise(groups);
        }
        Ok(())
    }
}

/// `r_i` less the mean of the others that are known; nothing without others.
pub(super) fn leave_one_out(rewards: &[Option<f64>]) -> Vec<Option<f64>> {
    let known: Vec<f64> = rewards.iter().flatten().copied().collect();
    let (sum, others) = (known.iter().sum::<f64>(), known.len() as f64 - 1.0);
    rewards.iter().map(|reward| reward.filter(|_| others > 0.0).map(|r| r - (sum - r) / others)).collect()
}

fn normalise(groups: &mut [Group]) {
    let advantages = || groups.iter().flat_map(|group| &group.members).filter_map(|member| member.advantage);
    let (mean, deviation) = mean_and_deviation(&advantages().collect::<Vec<_>>());
    for member in groups.iter_mut().flat_map(|group| &mut group.members) {
        let unit = deviation + 1e-4;
        member.advantage = member.advantage.map(|advantage| (advantage - mean) / unit);
        member.placed.iter_mut().for_each(|worth| *worth /= unit);
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
