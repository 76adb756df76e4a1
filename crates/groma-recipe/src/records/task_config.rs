//! A task, as a measuring stage asks for it.

use groma_eval::find;
use groma_lm::Kind;
use serde::{Deserialize, Serialize};

use crate::output::{Output, OutputKind};

/// One task of a measuring stage.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskConfig {
    /// Id of the task, or a pattern with `*` for several.
    pub task: String,
    /// Name in the results, where one task is put to several sets of data.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it reads.
    pub data: String,
    /// Worked examples before each question of a multiple-choice task.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub num_fewshot: usize,
    /// Where the worked examples are, unless in a directory `dev` beside the questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fewshot_data: Option<String>,
    /// Of a task with subjects, these only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<String>,
    /// Use at most so many items, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Longest text that the model reads, in tokens, where that is to be shorter than its own limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// Longest answer, in tokens, where answers are generated.
    #[serde(default = "default_new_tokens")]
    pub max_new_tokens: usize,
}

impl TaskConfig {
    /// A task on data, as a recipe that says nothing else has it.
    pub fn new(task: &str, data: &str) -> Self {
        TaskConfig {
            task: task.into(),
            name: None,
            data: data.into(),
            num_fewshot: 0,
            fewshot_data: None,
            subjects: Vec::new(),
            limit: None,
            max_length: None,
            max_new_tokens: default_new_tokens(),
        }
    }

    /// What the task is called in the results.
    pub(crate) fn result_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.task)
    }

    /// Whether the task asks for text.
    pub(crate) fn asks_for_text(&self) -> bool {
        find(&self.task).is_ok_and(|task| task.kind() == Kind::Generate)
    }

    /// The output with what was said to the task's prompts, for a task that asks for text.
    pub(crate) fn said(&self) -> Option<Output> {
        self.asks_for_text().then(|| Output::new(self.result_name(), OutputKind::Rows))
    }
}

fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn default_new_tokens() -> usize {
    64
}
