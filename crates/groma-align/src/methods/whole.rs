//! Policy gradients whose action is a whole completion: what it is worth beside what was to be expected moves all of its tokens
//! alike.
//!
//! The distance to the reference is part of what a completion is worth, `R - beta Σ_t (log π_old - log π_ref)`, without gradient;
//! the ratio to the sampler is that of whole completions, clipped, so that one collection may serve several steps. The loss is
//! the mean over completions, however they are cut into micro-batches. Methods differ in what was to be expected.

use super::policy::{self, Clip, clipped, log_ratios, measure, measure_clipped};
use crate::collect::Collector;
use crate::group::Group;
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::rewarded::Rewarded;
use crate::rewards::Panel;
use crate::rollout::Rollouts;
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
    fn reads(&self) -> Reads {
        Reads::Tokens { temperature: self.rewarded.rollouts.sampling.temperature, half_temperature: false }
    }

    fn rollouts(&self) -> Option<&Rollouts> {
        Some(&self.rewarded.rollouts)
    }

    fn needs_reference(&self) -> bool {
        self.raw.beta > 0.0
    }

    fn costs(&self) -> Option<Panel<'_>> {
        self.rewarded.costs()
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
            let (value, slope, [below, above]) = clipped(ratios.iter().sum(), member.advantage.unwrap_or(0.0), clip);
            slopes.push(vec![slope; ratios.len()]);
            if !ratios.is_empty() {
                sum += value;
                measure(metrics, said, index, &ratios);
                measure_clipped(metrics, [below, above].map(|clipped| f64::from(u8::from(clipped))), 1.0);
            }
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

/// The rewards of all completions that have one.
pub(super) fn known(groups: &[Group]) -> impl Iterator<Item = f64> + '_ {
    groups.iter().flat_map(|group| &group.members).filter_map(|member| member.reward)
}
