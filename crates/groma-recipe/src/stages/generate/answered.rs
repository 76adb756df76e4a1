//! A model's answers to the prompts of rows.

use groma_data::{Content, LAYOUTS, Row};
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
    /// A row for each answer, in the form of the prompt, with what else the prompt's row has, but what would make another kind of row
    /// of it, as a label does.
    pub(in crate::stages) fn rows(&self) -> impl Iterator<Item = Value> + '_ {
        let Question { prompt, row } = self.question;
        self.texts.iter().map(move |text| {
            let mut columns = row.other.clone();
            columns.retain(|name, _| !changes_the_layout(name));
            columns.extend([
                ("prompt".to_owned(), json!(prompt)),
                ("completion".to_owned(), json!(prompt.answered(text))),
            ]);
            Value::Object(columns)
        })
    }
}

/// Whether answers with such a column would be rows of another layout than those of prompts and completions.
fn changes_the_layout(name: &str) -> bool {
    let mut sets = LAYOUTS.iter().flat_map(|layout| layout.columns);
    sets.any(|set| ["prompt", "completion", name].iter().all(|one| set.contains(one)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_of_the_prompt_is_none_of_its_answers() {
        assert!(changes_the_layout("label") && changes_the_layout("kto_tag"));
        assert!(!changes_the_layout("gold") && !changes_the_layout("answer"));
    }
}
