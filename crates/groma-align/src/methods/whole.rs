//! Policy gradients whose action is a whole completion: what it is worth beside what was to be expected moves all of its tokens
//! alike.
//!
//! The distance to the reference is part of what a completion is worth, `R - beta Σ_t (log π_old - log π_ref)`, without gradient;
//! the ratio to the sampler is that of whole completions, clipped, so that one collection may serve several steps. The loss is
//! the mean over completions, however they are cut into micro-batches. Methods differ in what was to be expected.
//!
//! Where rewards are placed at tokens (`reward_granularity`), a token answers for what comes from it on: its advantage is that of
//! the completion less what lay at the tokens before it, `A_t = A - Σ_{s<t} r_s`, which keeps the gradient's mean and takes noise
//! from it; ratios are then those of tokens, `Σ_t -min(r_t A_t, clip(r_t) A_t)`, so that the loss has one slope for each.

use super::policy::{self, Clip, clipped, log_ratios, measure, measure_clipped};
use crate::collect::Collector;
use crate::group::{Group, Member};
use crate::objective::{Objective, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::rewarded::Rewarded;
use crate::{Error, Hyperparameters, Metrics, collect, reference};
use serde::Deserialize;
use serde_json::{Value, json};
use std::borrow::Cow;

/// Hyperparameters of all such methods.
pub(super) const PARAMETERS: &[Parameter] = &[
    reference::REF_MODEL,
    parameter(
        "beta",
        Kind::Float,
        "0.05",
        Some(Range::at_least(0.0)),
        "Weight of the distance to the reference in the reward; 0 needs no reference.",
    ),
    parameter(
        "epsilon",
        Kind::Float,
        "0.2",
        Some(Range::above(0.0)),
        "How far the ratio to the sampler may fall below 1 or, without epsilon_high, rise above it.",
    ),
    parameter(
        "epsilon_high",
        Kind::Float,
        "null",
        Some(Range::above(0.0)),
        "How far the ratio may rise above 1; epsilon where null.",
    ),
];

/// What they log.
pub(super) const METRICS: &[&[&str]] =
    &[policy::REWARDS, policy::SPREAD, collect::COMPLETIONS, policy::TOKENS, policy::CLIPPED, &["kl"]];

/// What is to be expected of completions, so that each is compared with it.
pub(super) trait Baseline {
    /// Sets the advantages of completions, of which what they are worth has the distance to the reference in it. Of those that
    /// nobody rewarded nothing is known.
    ///
    /// # Errors
    /// Those of sampling and of rewards, where more is asked.
    fn compare(
        &mut self,
        collector: &mut Collector<'_>,
        rewarded: &Rewarded,
        groups: &mut [Group],
    ) -> Result<(), Error>;

    /// What is carried from step to step.
    fn state(&self) -> Value {
        Value::Null
    }

    /// # Errors
    /// In words, if it is not what [`Baseline::state`] leaves.
    fn restore(&mut self, _state: &Value) -> Result<(), String> {
        Ok(())
    }
}

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    beta: f64,
    epsilon: f64,
    epsilon_high: Option<f64>,
}

/// Such a method at work.
pub(super) struct Whole<B> {
    rewarded: Rewarded,
    raw: Raw,
    baseline: B,
}

impl<B: Baseline> Whole<B> {
    pub(super) fn new(settings: &Hyperparameters, baseline: B) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        if raw.beta == 0.0 {
            reference::unasked(settings, "beta")?;
        }
        Ok(Whole { rewarded: Rewarded::new(settings)?, raw, baseline })
    }

    /// Takes the distance to the reference off what completions are worth.
    fn weigh_distance(&self, groups: &mut [Group], metrics: &mut Metrics) {
        for member in groups.iter_mut().flat_map(|group| &mut group.members) {
            let distance: f64 = member.sampled.iter().zip(&member.reference).map(|(p, r)| f64::from(p - r)).sum();
            metrics.add("kl", distance, 1.0);
            member.reward = member.reward.map(|reward| reward - self.raw.beta * distance);
        }
    }
}

impl<B: Baseline> Objective for Whole<B> {
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
        if self.needs_reference() {
            let known = collector.referenced(groups.into_iter().map(Cow::Owned).collect())?;
            groups = known.into_iter().map(Cow::into_owned).collect();
            self.weigh_distance(&mut groups, collector.metrics);
        }
        self.baseline.compare(collector, &self.rewarded, &mut groups)?;
        for group in &mut groups {
            policy::mask_truncated(&mut group.members, &self.rewarded.rollouts);
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
            let found =
                if member.placed.is_empty() { whole(&ratios, member, clip) } else { by_token(&ratios, member, clip) };
            if !ratios.is_empty() {
                sum += found.value;
                measure(metrics, said, index, &ratios);
                measure_clipped(metrics, found.cut, found.count);
            }
            slopes.push(found.slopes);
        }
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }

    fn state(&self) -> Value {
        json!({"rewarded": self.rewarded.state(), "baseline": self.baseline.state()})
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        self.rewarded.restore(&state["rewarded"])?;
        self.baseline.restore(&state["baseline"])
    }
}

/// The loss of a completion, its slopes, and how many of how many ratios were clipped below and above.
struct Found {
    value: f64,
    slopes: Vec<f64>,
    cut: [f64; 2],
    count: f64,
}

/// Of one action.
fn whole(ratios: &[f64], member: &Member, clip: Clip) -> Found {
    let (value, slope, cut) = clipped(ratios.iter().sum(), member.advantage.unwrap_or(0.0), clip);
    Found { value, slopes: vec![slope; ratios.len()], cut: cut.map(|is| f64::from(u8::from(is))), count: 1.0 }
}

/// Of tokens that answer for what comes from them on.
fn by_token(ratios: &[f64], member: &Member, clip: Clip) -> Found {
    let mut found = Found { value: 0.0, slopes: Vec::new(), cut: [0.0; 2], count: ratios.len() as f64 };
    let mut ahead = member.advantage;
    for (&ratio, worth) in ratios.iter().zip(&member.placed) {
        let (value, slope, cut) = clipped(ratio, ahead.unwrap_or(0.0), clip);
        found.value += value;
        found.slopes.push(slope);
        found.cut.iter_mut().zip(cut).for_each(|(sum, is)| *sum += f64::from(u8::from(is)));
        ahead = ahead.map(|ahead| ahead - worth);
    }
    found
}

/// The rewards of all completions that have one.
pub(super) fn known(groups: &[Group]) -> impl Iterator<Item = f64> + '_ {
    groups.iter().flat_map(|group| &group.members).filter_map(|member| member.reward)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sequence::Sequence;

    const CLIP: Clip = Clip { low: 0.2, high: 0.2 };

    fn numbers(value: &Value) -> Vec<Vec<f64>> {
        serde_json::from_value(value.clone()).unwrap()
    }

    /// Losses and slopes by autograd where tokens answer for what comes from them on, see `scripts/make_policy_fixtures.py`.
    #[test]
    fn losses_of_placed_rewards_are_those_of_the_equations() {
        let fixture: Value = serde_json::from_str(include_str!("../../fixtures/policy_losses.json")).unwrap();
        for case in fixture["placed"]["rloo"].as_array().unwrap() {
            let epsilon = case["settings"]["epsilon"].as_f64().unwrap();
            let clip = Clip { low: epsilon, high: epsilon };
            let (now, sampled, slopes) = (numbers(&case["now"]), numbers(&case["sampled"]), numbers(&case["slopes"]));
            let (mut sum, count) = (0.0, now.len() as f64);
            for (index, placed) in numbers(&case["placed"]).into_iter().enumerate() {
                let ids: Vec<u32> = (0..placed.len() as u32).collect();
                let advantage = case["advantages"][index].as_f64();
                let member = Member { placed, advantage, ..Member::new(Sequence::completion(&[0], &ids)) };
                let ratios: Vec<f64> = now[index].iter().zip(&sampled[index]).map(|(now, then)| now - then).collect();
                let found = by_token(&ratios, &member, clip);
                sum += found.value;
                let near = found.slopes.iter().zip(&slopes[index]).all(|(a, b)| (a / count - b).abs() < 1e-12);
                assert!(near && found.slopes.len() == slopes[index].len(), "{:?} {:?}", found.slopes, slopes[index]);
            }
            assert!((sum / count - case["loss"].as_f64().unwrap()).abs() < 1e-12);
        }
    }

    /// Slopes are central differences; and where nothing lies before the last token, all of them are those of the whole.
    #[test]
    fn tokens_answer_for_what_comes_from_them_on() {
        let member = |placed: &[f64]| Member { placed: placed.to_vec(), advantage: Some(0.7), ..Member::default() };
        let (at, h) = ([0.1, -0.05, 0.3], 1e-6);
        let placed = member(&[0.5, 0.4, 0.0]);
        let found = by_token(&at, &placed, CLIP);
        for token in 0..at.len() {
            let moved = |by: f64| {
                let mut ratios = at;
                ratios[token] += by;
                by_token(&ratios, &placed, CLIP).value
            };
            assert!((found.slopes[token] - (moved(h) - moved(-h)) / (2.0 * h)).abs() < 1e-8, "{token}");
        }
        let on_policy = |member: &Member| by_token(&[0.0; 3], member, CLIP).slopes;
        assert_eq!(on_policy(&member(&[0.0, 0.0, 2.0])), whole(&[0.0; 3], &member(&[]), CLIP).slopes);
        assert!(on_policy(&placed).iter().zip([-0.7, -0.2, 0.2]).all(|(a, b)| (a - b).abs() < 1e-12));
    }
}
