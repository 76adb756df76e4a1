//! A model's answers to the prompts of rows.

use groma_data::{Content, Row};
use serde_json::{Value, json};

/// A prompt, and the row that it is from.
pub(in crate::stages) struct Question {
    pub(in crate::stages) prompt: Content,
    pub(in crate::stages) row: Row,
}

/// A prompt with a model's answers.
pub(in crate::stages) struct Answered<'a> {
    pub(in crate::stages) question: &'a Question,
    pub(in crate::stages) texts: Vec<String>,
}

impl Answered<'_> {
    /// A row for each answer, in the form of the prompt, with what else the prompt's row has.
    pub(in crate::stages) fn rows(&self) -> impl Iterator<Item = Value> + '_ {
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
