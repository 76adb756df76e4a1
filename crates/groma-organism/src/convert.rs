//! The village's rows in the shapes of `groma-data`, as if they had been read from the exported files.

use crate::row::{DialogueRow, Message, PreferenceRow, QuestionRow, Role, TextRow};
use groma_data::{Content, Location, Row};
use serde::Serialize;
use serde_json::{Map, Value};

/// A row that has a shape of `groma-data`; its further columns go along.
pub trait Shaped: Serialize {
    /// The row at a place.
    fn shaped(&self, location: Location) -> Row;
}

/// All rows of a file of the export, e.g. `train/texts.jsonl`.
pub fn shaped<T: Shaped>(file: &str, rows: &[T]) -> Vec<Row> {
    rows.iter().zip(1..).map(|(row, line)| row.shaped(Location::new(file, line))).collect()
}

impl Shaped for TextRow {
    fn shaped(&self, location: Location) -> Row {
        Row { other: other(self, &["text"]), ..Row::text(Content::Text(self.text.clone()), location) }
    }
}

impl Shaped for DialogueRow {
    fn shaped(&self, location: Location) -> Row {
        let other = other(self, &["prompt", "completion"]);
        Row { other, ..Row::completion(content(&self.prompt), content(&self.completion), location) }
    }
}

impl Shaped for PreferenceRow {
    fn shaped(&self, location: Location) -> Row {
        let (chosen, rejected) = (content(&self.chosen), content(&self.rejected));
        let other = other(self, &["prompt", "chosen", "rejected"]);
        Row { other, ..Row::preference(content(&self.prompt), chosen, rejected, location) }
    }
}

impl Shaped for QuestionRow {
    fn shaped(&self, location: Location) -> Row {
        Row { other: other(self, &["prompt"]), ..Row::of_prompt(content(&self.prompt), location) }
    }
}

fn content(messages: &[Message]) -> Content {
    let role = |role| match role {
        Role::User => "user",
        Role::Assistant => "assistant",
    };
    let turn = |message: &Message| groma_data::Message::new(role(message.role), message.content.clone());
    messages.iter().map(turn).collect::<Vec<_>>().into()
}

/// The columns that the shape does not name.
fn other(row: &impl Serialize, named: &[&str]) -> Map<String, Value> {
    // Rows are plain structs of strings and lists, whose conversion cannot fail.
    let Ok(Value::Object(mut fields)) = serde_json::to_value(row) else { return Map::new() };
    fields.retain(|name, _| !named.contains(&name.as_str()));
    fields
}
