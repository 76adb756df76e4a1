//! A model's answers to the prompts of rows.

use groma_data::{Content, Row};
use serde_json::{Value, json};

/// A prompt, and the row that it is from.
pub(super) struct Question {
    pub(super) prompt: Content,
    pub(super) row: Row,
}

/// A prompt with a model's answers.
pub(super) struct Answered<'a> {
    pub(super) question: &'a Question,
    pub(super) texts: Vec<String>,
}

impl Answered<'_> {
    /// A row for each answer, in the form of the prompt.
    pub(super) fn rows(&self) -> impl Iterator<Item = Value> + '_ {
        let prompt = &self.question.prompt;
        self.texts.iter().map(move |text| json!({ "prompt": prompt, "completion": prompt.answered(text) }))
    }
}
