//! REINFORCE: each completion's reward is compared with nothing, with the mean of what came before, or with the mean of the batch.
//!
//! Williams 1992, Machine Learning 8; for language models Ahmadian et al. 2024, arXiv 2402.14740, equations 4 and 5, whose mean
//! of what came before has the step at hand in it, and so hears what it is compared with; here it has not, and is 0 at the
//! first. The mean of a batch of `n` has each completion's own reward in it, which makes a gradient shorter by `1 / n` and
//! points it nowhere else. The rest as [`whole`] says.

use super::whole::{self, Baseline, Whole, known};
use crate::collect::Collector;
use crate::group::Group;
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter};
use crate::rewarded::{Rewarded, number};
use crate::role::Role;
use crate::{Error, Hyperparameters, constraint, moving, rewards, rollout};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use serde_json::{Value, json};

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "reinforce",
    names: &["vanilla-policy-gradient", "vpg"],
    title: "REINFORCE",
    paper: "arXiv:2402.14740",
    doc: "Samples completions of prompts and makes those likelier that are rewarded above what came before, or above the mean of all.",
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
        &[Parameter {
            name: "baseline",
            kind: Kind::Choice(&["none", "running_mean", "batch_mean"]),
            default: "\"running_mean\"",
            range: None,
            doc: "What rewards are compared with: nothing, the mean reward of all that was sampled before, or that of what was sampled at once.",
        }],
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: whole::METRICS,
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Whole::new(settings, Expected::new(settings)?)?)),
};

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kinds {
    None,
    RunningMean,
    BatchMean,
}

/// What is to be expected of any completion.
#[derive(Clone, Copy, Debug)]
struct Expected {
    kind: Kinds,
    /// Of all rewards so far.
    sum: f64,
    count: f64,
}

#[derive(Deserialize)]
struct Raw {
    baseline: Kinds,
}

impl Expected {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        Ok(Expected { kind: settings.typed::<Raw>()?.baseline, sum: 0.0, count: 0.0 })
    }
}

impl Baseline for Expected {
    fn compare(&mut self, _: &mut Collector<'_>, _: &Rewarded, groups: &mut [Group]) -> Result<(), Error> {
        let (sum, count) = known(groups).fold((0.0, 0.0), |(sum, count), reward| (sum + reward, count + 1.0));
        let expected = match self.kind {
            Kinds::None => 0.0,
            Kinds::RunningMean => self.sum / self.count.max(1.0),
            Kinds::BatchMean => sum / f64::max(count, 1.0),
        };
        for member in groups.iter_mut().flat_map(|group| &mut group.members) {
            member.advantage = member.reward.map(|reward| reward - expected);
        }
        (self.sum, self.count) = (self.sum + sum, self.count + count);
        Ok(())
    }

    fn state(&self) -> Value {
        json!({"sum": self.sum, "count": self.count})
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        (self.sum, self.count) = (number(state, "sum")?, number(state, "count")?);
        Ok(())
    }
}
