//! Completions with what is learned from: sampled, rewarded, and held to a limit on what they cost.

use crate::collect::{Collector, Speaker};
use crate::constraint::Constraint;
use crate::group::Group;
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::rewards::Panel;
use crate::rollout::Rollouts;
use crate::scaling::{Moments, Scaling};
use crate::{Error, Hyperparameters};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// What is taken off where a completion has no end.
pub(crate) const MISSING_EOS_PENALTY: Parameter = parameter(
    "missing_eos_penalty",
    Kind::Float,
    "null",
    Some(Range::above(0.0)),
    "Taken off the score of completions that were cut off; nothing where null.",
);

/// Hyperparameters of methods that can sample further prompts in place of those that say nothing.
pub(crate) const DYNAMIC_SAMPLING: &[Parameter] = &[
    parameter(
        "dynamic_sampling",
        Kind::Boolean,
        "false",
        None,
        "Sample further prompts in place of those whose completions are all worth the same, of which nothing would be learned (DAPO).",
    ),
    parameter(
        MOST_ROUNDS,
        Kind::Integer,
        "10",
        Some(Range::at_least(1.0)),
        "How often further prompts are sampled at most, where dynamic_sampling asks for it; what says nothing then stays.",
    ),
];
const MOST_ROUNDS: &str = "max_num_gen_batches";

/// How a method is rewarded, and what that carries from step to step.
#[derive(Clone, Debug)]
pub(crate) struct Rewarded {
    pub(crate) rollouts: Rollouts,
    constraint: Option<Constraint>,
    scaling: Scaling,
    /// See [`MISSING_EOS_PENALTY`].
    missing_eos_penalty: f64,
    /// How often further prompts are sampled at most.
    rounds: u64,
}

#[derive(Deserialize)]
struct Raw {
    missing_eos_penalty: Option<f64>,
    #[serde(default)]
    dynamic_sampling: bool,
    max_num_gen_batches: Option<u64>,
}

impl Rewarded {
    /// # Errors
    /// Those of rollouts and of limits.
    pub(crate) fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        if settings.was_given(MOST_ROUNDS) && !raw.dynamic_sampling {
            return Err(settings.invalid(MOST_ROUNDS, "is read with dynamic_sampling alone: give both"));
        }
        Ok(Rewarded {
            rollouts: Rollouts::new(settings)?,
            constraint: Constraint::new(settings)?,
            scaling: Scaling::new(settings)?,
            missing_eos_penalty: raw.missing_eos_penalty.unwrap_or(0.0),
            rounds: raw.max_num_gen_batches.filter(|_| raw.dynamic_sampling).unwrap_or(0),
        })
    }

    /// Completions of prompts by the policy as it is now, and what they are worth, less what they cost. Then the limit moves.
    ///
    /// # Errors
    /// Those of sampling and of rewards.
    pub(crate) fn sample(
        &mut self,
        collector: &mut Collector<'_>,
        prompts: &[Cow<'_, Group>],
    ) -> Result<Vec<Group>, Error> {
        self.sample_from(Speaker::Policy, collector, prompts)
    }

    /// The same of somebody else's completions.
    ///
    /// # Errors
    /// Those of sampling and of rewards.
    pub(crate) fn sample_from(
        &mut self,
        who: Speaker,
        collector: &mut Collector<'_>,
        prompts: &[Cow<'_, Group>],
    ) -> Result<Vec<Group>, Error> {
        let mut groups = collector.rollouts(who, prompts, &self.rollouts)?;
        if self.rounds > 0 {
            self.replace_equal(who, collector, &mut groups)?;
        }
        self.scaling.follow(&groups);
        self.weigh(&mut groups);
        if let Some(constraint) = &mut self.constraint {
            constraint.follow(&groups, collector.metrics);
        }
        Ok(groups)
    }

    /// Puts further prompts in the place of those whose completions are all worth the same, as long as there are such prompts and
    /// rounds are left.
    fn replace_equal(&self, who: Speaker, collector: &mut Collector<'_>, groups: &mut [Group]) -> Result<(), Error> {
        let mut equal: Vec<&mut Group> = groups.iter_mut().filter(|group| !differ(group)).collect();
        let (mut round, found) = (0, equal.len());
        while round < self.rounds && !equal.is_empty() {
            round += 1;
            let better = collector.further(who, (round, equal.len()), &self.rollouts)?.into_iter().filter(differ);
            for group in better {
                if let Some(place) = equal.pop() {
                    *place = group;
                }
            }
        }
        collector.metrics.add("dynamic_sampling/rounds", round as f64, 1.0);
        collector.metrics.add("dynamic_sampling/replaced", (found - equal.len()) as f64, 1.0);
        collector.metrics.add("dynamic_sampling/left", equal.len() as f64, 1.0);
        Ok(())
    }

    /// Makes of what was said of completions what they are worth to the method.
    pub(crate) fn weigh(&self, groups: &mut [Group]) {
        let unit = self.scaling.unit() * self.constraint.as_ref().map_or(1.0, Constraint::unit);
        for member in groups.iter_mut().flat_map(|group| &mut group.members) {
            member.placed.iter_mut().for_each(|worth| *worth /= unit);
            let penalty = if member.ended == Some(true) { 0.0 } else { self.missing_eos_penalty };
            member.reward = member.reward.map(|reward| self.scaling.scaled(reward) - penalty);
            if let Some(constraint) = &self.constraint {
                member.reward = constraint.weighed(member);
            }
        }
    }

    /// Who says what completions cost.
    pub(crate) fn costs(&self) -> Option<Panel<'_>> {
        self.constraint.as_ref().map(Constraint::panel)
    }

    /// What is carried from step to step.
    pub(crate) fn state(&self) -> Value {
        let multiplier = self.constraint.as_ref().map(|constraint| constraint.multiplier);
        json!({"lambda": multiplier, "rewards": self.scaling.seen()})
    }

    /// # Errors
    /// In words, if it is not what [`Rewarded::state`] leaves.
    pub(crate) fn restore(&mut self, state: &Value) -> Result<(), String> {
        if let Some(constraint) = &mut self.constraint {
            constraint.multiplier = number(state, "lambda")?;
        }
        let seen = Moments::deserialize(&state["rewards"]);
        self.scaling.restore(seen.map_err(|_| "it has nothing of `rewards` of the method")?);
        Ok(())
    }
}

/// Whether completions of a prompt are worth different things.
fn differ(group: &Group) -> bool {
    let mut known = group.members.iter().filter_map(|member| member.reward);
    known.next().is_some_and(|first| known.any(|other| other != first))
}

/// A number of a state.
///
/// # Errors
/// In words, if it is not there.
pub(crate) fn number(state: &Value, name: &str) -> Result<f64, String> {
    state.get(name).and_then(Value::as_f64).ok_or_else(|| format!("it has no number `{name}` of the method"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Member;
    use crate::{Method, Settings};

    fn rewarded(more: Value) -> Rewarded {
        let mut given = json!({"reward_funcs": "length"}).as_object().unwrap().clone();
        given.extend(more.as_object().unwrap().clone());
        Rewarded::new(&Settings::resolve(Method::find("ppo").unwrap(), &given).unwrap()).unwrap()
    }

    #[test]
    fn completions_without_an_end_are_worth_less() {
        let member = |ended| Member { reward: Some(2.0), ended: Some(ended), ..Member::default() };
        let unknown = Member { ended: Some(true), ..Member::default() };
        let mut groups = [Group { members: vec![member(true), member(false), unknown], ..Group::default() }];
        rewarded(json!({"missing_eos_penalty": 1.5})).weigh(&mut groups);
        let rewards: Vec<_> = groups[0].members.iter().map(|member| member.reward).collect();
        assert_eq!(rewards, [Some(2.0), Some(0.5), None]);
    }

    #[test]
    fn its_state_survives() {
        let limited = || rewarded(json!({"cost_funcs": "length", "cost_limit": -2.0}));
        let mut moved = limited();
        moved.constraint.as_mut().unwrap().multiplier = 1.0 / 3.0;
        let state: Value = serde_json::from_str(&moved.state().to_string()).unwrap();
        let mut fresh = limited();
        fresh.restore(&state).unwrap();
        assert_eq!(fresh.constraint.as_ref().unwrap().multiplier, 1.0 / 3.0);
        assert!(fresh.restore(&Value::Null).unwrap_err().contains("lambda"));
    }

    #[test]
    fn groups_differ_where_two_rewards_do() {
        let of = |rewards: &[Option<f64>]| {
            let member = |&reward: &Option<f64>| Member { reward, ..Member::default() };
            differ(&Group { members: rewards.iter().map(member).collect(), ..Group::default() })
        };
        assert!(
            of(&[Some(1.0), None, Some(0.0)]) && !of(&[Some(1.0), None, Some(1.0)]) && !of(&[None, None]) && !of(&[])
        );
    }
}
