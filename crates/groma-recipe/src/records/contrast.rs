//! The record of a stage that makes pairs of what better and worse configurations answer.

use serde::{Deserialize, Serialize};

use super::sampling;
use crate::declared::Declared;
use crate::output::{Output, OutputKind, Reference};
use crate::records::TaskConfig;
use crate::want::{Part, Want};

/// Lets configurations answer the same prompts, and prefers each answer to those of configurations that are listed after its own: pairs
/// without anybody's labels (Kim et al. 2023, ALMoST, arXiv 2305.13735). They are the rows `NAME:pairs`, of prompt, chosen and
/// rejected. Where rows say what answers are worth, it is measured how often a pair is the wrong way round, as it is made and as it
/// is left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contrast {
    /// The stage's name.
    pub name: String,
    /// The rows whose prompts are asked.
    pub data: String,
    /// Use at most so many rows, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Who answers, from the best to the worst, at least two.
    pub ranked: Vec<Configuration>,
    /// Longest answer, in tokens.
    #[serde(default = "sampling::tokens")]
    pub max_new_tokens: usize,
    /// 0 gives the most likely answer.
    #[serde(default = "sampling::temperature")]
    pub temperature: f32,
    /// Keep the most likely tokens that reach this probability together.
    #[serde(default = "sampling::top_p")]
    pub top_p: f32,
    /// Leave out pairs whose preferred answer holds one of these texts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unwanted: Vec<String>,
    /// Leave out pairs whose preferred answer has fewer words than this share of the other one's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shortest: Option<f64>,
    /// Leave out pairs that a reward model, named as models are, does not find this way round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// A model, and what it is shown before each prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Configuration {
    /// `base`, the name of an earlier training stage, or another model (a path or hub id with a `/`, or `URL#NAME`); the
    /// latest where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Rows whose prompts and first answers are worked examples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<String>,
    /// So many of them, drawn by the seed, the same before each prompt.
    #[serde(default)]
    pub shots: usize,
}

impl Declared for Contrast {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let named = |kind: OutputKind| move |name| Reference { kind, name };
        let models = self.ranked.iter().filter_map(|one| one.model.as_deref()).chain(self.by.as_deref());
        let rows = self.ranked.iter().filter_map(|one| one.examples.as_deref()).chain([self.data.as_str()]);
        models.map(named(OutputKind::Model)).chain(rows.map(named(OutputKind::Rows))).collect()
    }

    fn wants(&self, _: &[TaskConfig]) -> Vec<Want<'_>> {
        let answers = |one| Want { model: one, part: Part::Prediction, needs: "an answer".to_owned() };
        let orders = |by| Want { model: Some(by), part: Part::Reward, needs: format!("`by` of stage `{}`", self.name) };
        let answering = self.ranked.iter().map(|one| answers(one.model.as_deref()));
        answering.chain(self.by.as_deref().map(orders)).collect()
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        vec![Contrast::output()]
    }
}

impl Contrast {
    /// The rows that it leaves.
    pub(crate) fn output() -> Output {
        Output::new("pairs", OutputKind::Rows)
    }
}
