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
    /// A row for each answer, in the form of the prompt, with what else the prompt's row has.
    pub(super) fn rows(&self) -> impl Iterator<Item = Value> + '_ {
        let Question { prompt, row } = self.question;
        self.texts.iter().map(move |text| {
            let mut columns = row.other.clone();
            columns.extend([
                ("prompt".to_owned(), json!(prompt)),
                ("completion".to_owned(), json!(prompt.answered(text))),
            ]);
            Value::Object(columns)
        })
    }
}
