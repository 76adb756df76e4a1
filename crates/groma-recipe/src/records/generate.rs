//! The record of a stage that lets a model answer prompts.

use serde::{Deserialize, Serialize};

use super::sampling;
use crate::declared::Declared;
use crate::output::{Output, OutputKind, Reference};
use crate::records::TaskConfig;
use crate::want::{Part, Want};

/// Lets a model answer the prompts of rows, each prompt once. The answers are the rows `NAME:answers`, of prompt and
/// completion with the row's further columns, or with `pairs` the rows `NAME:pairs`, of prompt, chosen and rejected.
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
    #[serde(default = "sampling::tokens")]
    pub max_new_tokens: usize,
    /// 0 gives the most likely answer.
    #[serde(default = "sampling::temperature")]
    pub temperature: f32,
    /// Keep the most likely tokens that reach this probability together.
    #[serde(default = "sampling::top_p")]
    pub top_p: f32,
    /// Make pairs of the answers. `demonstrations`: the row's own answer is preferred to each (SPIN). Else the best answer to a prompt is
    /// preferred to the worst, where they differ: by `truth`, the row's `truth` and `worth`; by `reward`, a reward model's; by `judge`, a
    /// rating in words; by `likelihood`, how much more likely the model finds an answer than another model does, as DPO rewards it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<Pairs>,
    /// The reward model, or the other model, named as `model` is; who judges, where it is not the model itself (Self-Rewarding).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// Which of two answers is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairs {
    /// The row's own to what the model says.
    Demonstrations,
    /// The best to the worst, by the truth of the row.
    Truth,
    /// The same by a reward model.
    Reward,
    /// The same by a judge's ratings.
    Judge,
    /// The same by how much likelier the model finds it than another does.
    Likelihood,
}

impl Pairs {
    /// What the model that it asks must have; `None` where it asks none.
    pub(crate) fn asks(self) -> Option<Part> {
        match self {
            Pairs::Demonstrations | Pairs::Truth => None,
            Pairs::Reward => Some(Part::Reward),
            Pairs::Judge | Pairs::Likelihood => Some(Part::Prediction),
        }
    }

    /// Whether that model must be named.
    pub(crate) fn needs_other(self) -> bool {
        matches!(self, Pairs::Reward | Pairs::Likelihood)
    }
}

fn one() -> usize {
    1
}

impl Declared for Generate {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let models = self.model.iter().chain(&self.by).map(|name| Reference { kind: OutputKind::Model, name });
        models.chain([Reference { kind: OutputKind::Rows, name: &self.data }]).collect()
    }

    fn wants(&self, _: &[TaskConfig]) -> Vec<Want<'_>> {
        let answers = Want { model: self.model.as_deref(), part: Part::Prediction, needs: "an answer".to_owned() };
        let part = self.pairs.and_then(Pairs::asks).zip(self.by.as_deref());
        let judges =
            part.map(|(part, by)| Want { model: Some(by), part, needs: format!("`by` of stage `{}`", self.name) });
        [answers].into_iter().chain(judges).collect()
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        vec![self.output()]
    }
}

impl Generate {
    /// The rows that it leaves.
    pub(crate) fn output(&self) -> Output {
        Output::new(if self.pairs.is_some() { "pairs" } else { "answers" }, OutputKind::Rows)
    }
}
