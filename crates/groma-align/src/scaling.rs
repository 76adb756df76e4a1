//! Rewards brought to one scale, and kept within limits, whatever says them.
//!
//! Zheng et al. 2023, arXiv 2307.04964 (PPO-max), section 5: `clip((r - mean) / deviation, ±clip)`, mean and deviation being those
//! of all rewards so far, of the collection at hand too.

use crate::group::Group;
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::{Error, Hyperparameters};
use serde::{Deserialize, Serialize};

/// Hyperparameters of methods that can bring rewards to scale.
pub(crate) const PARAMETERS: &[Parameter] = &[
    parameter(
        "normalize_rewards",
        Kind::Boolean,
        "false",
        None,
        "Bring rewards to mean 0 and deviation 1, as they were over all that was sampled so far.",
    ),
    parameter(
        "reward_clip",
        Kind::Float,
        "null",
        Some(Range::above(0.0)),
        "Largest size of a reward, after it was brought to scale; no limit where null.",
    ),
];

/// Added to the deviation that rewards are divided by.
const EPSILON: f64 = 1e-8;

#[derive(Deserialize)]
struct Raw {
    #[serde(default)]
    normalize_rewards: bool,
    reward_clip: Option<f64>,
}

/// How rewards are brought to scale, and what is known of those so far.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaling {
    normalises: bool,
    clip: f64,
    seen: Moments,
}

/// Of all rewards so far: how many, their mean, and the sum of the squares of their distances to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Scaling {
    pub(crate) fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        let clip = raw.reward_clip.unwrap_or(f64::INFINITY);
        Ok(Scaling { normalises: raw.normalize_rewards, clip, seen: Moments::default() })
    }

    /// Takes note of the rewards of a collection.
    pub(crate) fn follow(&mut self, groups: &[Group]) {
        let rewards = groups.iter().flat_map(|group| &group.members).filter_map(|member| member.reward);
        rewards.for_each(|reward| self.seen.add(reward));
    }

    /// A reward on the scale of all so far.
    pub(crate) fn scaled(&self, reward: f64) -> f64 {
        let mean = if self.normalises { self.seen.mean } else { 0.0 };
        ((reward - mean) / self.unit()).clamp(-self.clip, self.clip)
    }

    /// What rewards are divided by.
    pub(crate) fn unit(&self) -> f64 {
        let deviation = (self.seen.squares / (self.seen.count - 1.0).max(1.0)).sqrt();
        if self.normalises { deviation + EPSILON } else { 1.0 }
    }

    /// What is carried from step to step.
    pub(crate) fn seen(&self) -> Moments {
        self.seen
    }

    /// Goes on from there.
    pub(crate) fn restore(&mut self, seen: Moments) {
        self.seen = seen;
    }
}

impl Moments {
    /// Welford 1962.
    fn add(&mut self, value: f64) {
        self.count += 1.0;
        let before = value - self.mean;
        self.mean += before / self.count;
        self.squares += before * (value - self.mean);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::mean_and_deviation;
    use crate::group::Member;

    #[test]
    fn moments_are_those_of_all_so_far() {
        let rewards = [3.0, -1.0, 4.0, 1.5, -9.25];
        let mut scaling = Scaling { normalises: true, clip: 1.5, seen: Moments::default() };
        for part in [&rewards[..2], &rewards[2..]] {
            let member = |&reward: &f64| Member { reward: Some(reward), ..Member::default() };
            scaling.follow(&[Group { members: part.iter().map(member).collect(), ..Group::default() }]);
        }
        let (mean, deviation) = mean_and_deviation(&rewards);
        assert!((scaling.scaled(1.5) - (1.5 - mean) / deviation).abs() < 1e-8);
        assert_eq!(scaling.scaled(-9.25), -1.5, "clipped");
        let plain = Scaling { normalises: false, clip: 2.0, seen: scaling.seen() };
        assert_eq!((plain.scaled(1.5), plain.scaled(7.0)), (1.5, 2.0));
    }
}
