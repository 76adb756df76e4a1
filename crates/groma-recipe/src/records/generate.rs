//! The record of a stage that lets a model answer prompts.

use groma_lm::SamplingParameters;
use serde::{Deserialize, Serialize};

use crate::declared::Declared;
use crate::output::{Output, OutputKind, Reference};
use crate::records::TaskConfig;
use crate::want::{Part, Want};

/// Lets a model answer the prompts of rows, each prompt once. The answers are the rows `NAME:answers`, of prompt and
/// completion.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generate {
    /// The stage's name.
    pub name: String,
    /// `base`, the name of an earlier training stage, or another model (a path or hub id with a `/`, or `URL#NAME`); the
    /// latest where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The rows whose prompts are asked; of a conversation, what comes before the last turn of the assistant.
    pub data: String,
    /// Use at most so many rows, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Answers to each prompt.
    #[serde(default = "one")]
    pub num_generations: usize,
    /// Longest answer, in tokens.
    #[serde(default = "default_tokens")]
    pub max_new_tokens: usize,
    /// 0 gives the most likely answer.
    #[serde(default = "default_temperature")]
    pub temperature: f32,
    /// Keep the most likely tokens that reach this probability together.
    #[serde(default = "all")]
    pub top_p: f32,
}

fn one() -> usize {
    1
}

fn default_tokens() -> usize {
    SamplingParameters::default().max_new_tokens
}

fn default_temperature() -> f32 {
    SamplingParameters::default().temperature
}

fn all() -> f32 {
    SamplingParameters::default().top_p
}

impl Declared for Generate {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let model = self.model.as_deref().map(|name| Reference { kind: OutputKind::Model, name });
        model.into_iter().chain([Reference { kind: OutputKind::Rows, name: &self.data }]).collect()
    }

    fn wants(&self, _: &[TaskConfig]) -> Vec<Want<'_>> {
        vec![Want { model: self.model.as_deref(), part: Part::Prediction, needs: "an answer".to_owned() }]
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        vec![Generate::output()]
    }
}

impl Generate {
    /// The answers that it leaves.
    pub(crate) fn output() -> Output {
        Output::new("answers", OutputKind::Rows)
    }
}
