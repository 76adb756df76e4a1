//! The village's rows in the shapes of `groma-data`, as if they had been read from the exported files.

use crate::row::{DialogueRow, Message, PreferenceRow, QuestionRow, Role, TextRow};
use groma_data::{Completion, Content, LanguageModelling, Location, Preference, Prompt};
use serde::Serialize;
use serde_json::{Map, Value};

/// A row that has a shape of `groma-data`; its further columns go along.
pub trait Shaped: Serialize {
    /// The shape.
    type Row;

    /// The row at a place.
    fn shaped(&self, location: Location) -> Self::Row;
}

/// All rows of a file of the export, e.g. `train/texts.jsonl`.
pub fn shaped<T: Shaped>(file: &str, rows: &[T]) -> Vec<T::Row> {
    rows.iter().zip(1..).map(|(row, line)| row.shaped(Location::new(file, line))).collect()
}

impl Shaped for TextRow {
    type Row = LanguageModelling;

    fn shaped(&self, location: Location) -> LanguageModelling {
        LanguageModelling { content: Content::Text(self.text.clone()), location, other: other(self, &["text"]) }
    }
}

impl Shaped for DialogueRow {
    type Row = Completion;

    fn shaped(&self, location: Location) -> Completion {
        let (prompt, completion) = (content(&self.prompt), content(&self.completion));
        Completion { prompt, completion, location, other: other(self, &["prompt", "completion"]) }
    }
}

impl Shaped for PreferenceRow {
    type Row = Preference;

    fn shaped(&self, location: Location) -> Preference {
        Preference {
            prompt: content(&self.prompt),
            chosen: content(&self.chosen),
            rejected: content(&self.rejected),
            margin: None,
            location,
            other: other(self, &["prompt", "chosen", "rejected"]),
        }
    }
}

impl Shaped for QuestionRow {
    type Row = Prompt;

    fn shaped(&self, location: Location) -> Prompt {
        Prompt { prompt: content(&self.prompt), location, other: other(self, &["prompt"]) }
    }
}

fn content(messages: &[Message]) -> Content {
    let role = |role| match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let turn = |message: &Message| groma_data::Message::new(role(message.role), message.content.clone());
    Content::Messages(messages.iter().map(turn).collect())
}

/// The columns that the shape does not name.
fn other(row: &impl Serialize, named: &[&str]) -> Map<String, Value> {
    // Rows are plain structs of strings and lists, whose conversion cannot fail.
    let Ok(Value::Object(mut fields)) = serde_json::to_value(row) else { return Map::new() };
    fields.retain(|name, _| !named.contains(&name.as_str()));
    fields
}
