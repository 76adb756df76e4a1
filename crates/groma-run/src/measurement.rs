//! `measurements.jsonl` and `comparisons.jsonl`: the numbers that a run is for.

use crate::{Pillar, Row, number};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// One number about one subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// What was measured: `before`, `after`, or another name of a model.
    pub subject: String,
    /// The stage; filled in by the [`crate::Recorder`].
    #[serde(default)]
    pub stage: String,
    /// The stage's key, in short form; filled in by the [`crate::Recorder`].
    #[serde(default)]
    pub stage_key: String,
    /// The task, such as `truthfulqa-mc1`.
    pub task: String,
    /// The metric, such as `acc`.
    pub metric: String,
    /// The number.
    #[serde(with = "number")]
    pub value: f64,
    /// Its uncertainty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// How many items it rests on.
    pub n: u64,
    /// How it was scored, where there is more than one way: `log-likelihood`, `greedy`, `0-shot` ...
    #[serde(default)]
    pub mode: String,
    /// What else it depends on, as far as a reader would compare by it: method, seed, attack, defence, layer, budget,
    /// language ... by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, String>,
    /// How it comes from the scores of the items in `samples`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statistic: Option<Statistic>,
    /// The seed, where chance had a part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Which way is good; [`None`] where neither is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub higher_is_better: Option<bool>,
    /// What part of the work it is from.
    #[serde(default, skip_serializing_if = "Pillar::is_evaluation")]
    pub pillar: Pillar,
    /// What it stands for.
    #[serde(default)]
    pub group: Group,
    /// How to write it.
    #[serde(default)]
    pub unit: Unit,
    /// Whether it only adds detail to another measurement of its task, and stands apart from the headline.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secondary: bool,
    /// What chance alone would give, where that is known.
    #[serde(default, with = "number::option", skip_serializing_if = "Option::is_none")]
    pub chance: Option<f64>,
    /// The number that is true by construction, where the subject was trained on a world with planted flaws, or on the clean
    /// twin of one: the report holds `value` and `interval` against it.
    #[serde(default, with = "number::option", skip_serializing_if = "Option::is_none")]
    pub planted: Option<f64>,
    /// The file with the score of each item, relative to the run directory; its rows are [`crate::Item`]s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<String>,
    /// Items left out because they failed; they are not in `n`.
    #[serde(default)]
    pub failed: u64,
    /// How long it took.
    #[serde(default)]
    pub seconds: f64,
    /// Tokens worked through for it.
    #[serde(default)]
    pub tokens: u64,
    /// What else a reader must know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a number comes from the scores of items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statistic {
    /// Name of a formula from sums of scores to a number: `share`, `mean`, `ratio` ...
    pub formula: String,
    /// The scores that it adds up, in its order.
    pub scores: Vec<String>,
    /// Where it is formed for each group of items: how the groups' numbers become one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub across: Option<String>,
}

/// What a measurement stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Group {
    /// How well the model does what is wanted of it: refusals, preferences, honesty.
    Alignment,
    /// What the model can do: knowledge, language modelling, helpful answers.
    Capability,
    /// An instrument where there is nothing to find.
    Control,
    /// Anything else.
    #[default]
    #[serde(other)]
    Other,
}

/// How a number is to be written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// A share between 0 and 1, shown in percent; differences are in percentage points.
    Share,
    /// Natural units of information.
    Nats,
    /// Bits.
    Bits,
    /// A plain number.
    #[default]
    #[serde(other)]
    Plain,
}

/// An interval around a number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    #[serde(with = "number")]
    pub low: f64,
    /// Upper end.
    #[serde(with = "number")]
    pub high: f64,
    /// Its level, such as 0.95.
    pub level: f64,
    /// How it was made: `wilson`, `t`, `clustered t`, `paired bootstrap` ...
    pub method: String,
}

/// Two subjects on the same items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// The stage; filled in by the [`crate::Recorder`].
    #[serde(default)]
    pub stage: String,
    /// The stage's key, in short form; filled in by the [`crate::Recorder`].
    #[serde(default)]
    pub stage_key: String,
    /// The task.
    pub task: String,
    /// The metric.
    pub metric: String,
    /// How it was scored.
    #[serde(default)]
    pub mode: String,
    /// What else both sides depend on, by name; see [`Measurement::factors`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, String>,
    /// Name of the first subject, usually `before`.
    pub before_subject: String,
    /// Name of the second subject, usually `after`.
    pub after_subject: String,
    /// The first subject's number.
    #[serde(with = "number")]
    pub before: f64,
    /// The second subject's number.
    #[serde(with = "number")]
    pub after: f64,
    /// `after - before`, over the items that both have.
    #[serde(with = "number")]
    pub difference: f64,
    /// Uncertainty of the difference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Interval>,
    /// Probability of so large a difference if there were none.
    #[serde(default, with = "number::option", skip_serializing_if = "Option::is_none")]
    pub p_value: Option<f64>,
    /// Pairs of items.
    pub n: u64,
    /// The test: `exact McNemar`, `sign-flip permutation`, ...
    #[serde(default)]
    pub method: String,
    /// The smallest true difference that this n would find four times in five.
    #[serde(default, with = "number::option", skip_serializing_if = "Option::is_none")]
    pub detectable: Option<f64>,
}

impl Row for Measurement {
    fn stage(&self) -> &str {
        &self.stage
    }

    fn stage_key(&self) -> &str {
        &self.stage_key
    }

    fn key(&self) -> String {
        format!("{:?}", (&self.subject, &self.task, &self.metric, &self.mode, &self.factors))
    }
}

impl Row for Comparison {
    fn stage(&self) -> &str {
        &self.stage
    }

    fn stage_key(&self) -> &str {
        &self.stage_key
    }

    fn key(&self) -> String {
        format!(
            "{:?}",
            (&self.before_subject, &self.after_subject, &self.task, &self.metric, &self.mode, &self.factors)
        )
    }
}

impl Measurement {
    /// A measurement with its bare necessities; set the other fields by name.
    pub fn new(subject: &str, task: &str, metric: &str, value: f64, n: u64) -> Self {
        Measurement {
            subject: subject.to_owned(),
            stage: String::new(),
            stage_key: String::new(),
            task: task.to_owned(),
            metric: metric.to_owned(),
            value,
            interval: None,
            n,
            mode: String::new(),
            factors: BTreeMap::new(),
            statistic: None,
            seed: None,
            higher_is_better: None,
            pillar: Pillar::Evaluation,
            group: Group::Other,
            unit: Unit::Plain,
            secondary: false,
            chance: None,
            planted: None,
            samples: None,
            failed: 0,
            seconds: 0.0,
            tokens: 0,
            note: None,
        }
    }
}
