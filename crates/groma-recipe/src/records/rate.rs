//! The record of a stage that lets a reward model rate answers.

use serde::{Deserialize, Serialize};

use crate::declared::Declared;
use crate::output::{Output, OutputKind, Reference};
use crate::records::TaskConfig;
use crate::want::{Part, Want};

/// Lets a reward model rate the answers of rows. What it says stands in further columns of the rows `NAME:rows`, of prompt and
/// completion: each attribute of a model of attributes under its name, else `score`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The stage's name.
    pub name: String,
    /// The name of an earlier training stage, or another reward model (a path or hub id with a `/`); the latest where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The rows whose answers are rated, all of each.
    pub data: String,
    /// Use at most so many rows, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Round what is said to multiples of this, so that few values are left to be named in prompts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub round: Option<f64>,
    /// Of the answers to one prompt keep the one that is rated highest (by the mean of its attributes), the first of equals.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub best: bool,
}

impl Declared for Rate {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let model = self.model.as_deref().map(|name| Reference { kind: OutputKind::Model, name });
        model.into_iter().chain([Reference { kind: OutputKind::Rows, name: &self.data }]).collect()
    }

    fn wants(&self, _: &[TaskConfig]) -> Vec<Want<'_>> {
        vec![Want { model: self.model.as_deref(), part: Part::Reward, needs: "ratings of answers".to_owned() }]
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        vec![Rate::output()]
    }
}

impl Rate {
    /// The rows that it leaves.
    pub(crate) fn output() -> Output {
        Output::new("rows", OutputKind::Rows)
    }
}
