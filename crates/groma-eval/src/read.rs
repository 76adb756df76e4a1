//! From a table of rows to the items of a task.

use groma_data::{Content, OnBadRow, Preference, Record, ShapeOptions, Table, sample};
use groma_run::Seed;
use serde_json::Value;

use crate::Error;
use crate::columns;
use crate::examples::subject_of;
use crate::item::{Item, Key};
use crate::request::Request;
use crate::task::{Form, Input, Task};
use std::collections::BTreeMap;
use std::path::Path;

/// Columns in which a text may stand, by preference.
const TEXT_COLUMNS: &[&str] = &["text", "page", "content", "document"];

/// The items of one file.
#[derive(Clone, Debug, PartialEq)]
pub struct Items {
    /// Each with an id of its own: the row's, or else the number of its line.
    pub items: Vec<Item>,
    /// Rows that were left out because they could not be read.
    pub bad_rows: u64,
    /// Worked examples before each question.
    pub shots: usize,
}

impl Items {
    /// At most `limit` of the items, drawn by the seed.
    pub fn limited(mut self, limit: Option<usize>, seed: Seed) -> Self {
        if let Some(limit) = limit.filter(|&limit| limit < self.items.len()) {
            let chosen = sample(self.items.len(), limit, seed);
            self.items = chosen.into_iter().map(|index| std::mem::take(&mut self.items[index])).collect();
        }
        self
    }
}

/// Reads the items of `task`.
///
/// A row that has the columns of none of the task's forms, or a value of the wrong type, is an error; rows that
/// `groma-data` could not read were handled by its own policy and are counted.
///
/// # Errors
/// [`Error::Row`], [`Error::NoItems`], [`Error::DuplicateId`], and those of shaping preference pairs.
pub fn read_items(task: &'static Task, mut table: Table) -> Result<Items, Error> {
    let file = table.file.to_string();
    if matches!(task.input, Input::Subjects(_)) {
        let subject = subject_of(Path::new(&file));
        for record in &mut table.records {
            record.fields.entry("subject").or_insert_with(|| Value::String(subject.clone()));
        }
    }
    let mut bad_rows = table.bad.count;
    let placed: Vec<(String, String, Item)> = match task.input {
        Input::Rows(forms) | Input::Subjects(forms) => {
            let read = |record: &Record| read_row(task, forms, record);
            table
                .records
                .iter()
                .map(|record| Ok(placed(&record.location, read(record)?)))
                .collect::<Result<_, Error>>()?
        }
        Input::Texts => {
            let read = |record: &Record| read_text(task, record);
            table
                .records
                .iter()
                .map(|record| Ok(placed(&record.location, read(record)?)))
                .collect::<Result<_, Error>>()?
        }
        Input::Preferences => {
            let options = ShapeOptions { shape: None, on_bad_row: OnBadRow::default() };
            let pairs = table.into_preferences(&options)?;
            bad_rows = pairs.bad.count;
            pairs.rows.iter().map(|pair| placed(&pair.location, pair_item(pair))).collect()
        }
    };
    if placed.is_empty() {
        return Err(Error::NoItems { task: task.id, file });
    }
    Ok(Items { items: with_ids(task, placed)?, bad_rows, shots: 0 })
}

fn placed(location: &groma_data::Location, item: Item) -> (String, String, Item) {
    (location.to_string(), location.line.to_string(), item)
}

fn with_ids(task: &'static Task, placed: Vec<(String, String, Item)>) -> Result<Vec<Item>, Error> {
    let mut seen: BTreeMap<String, String> = BTreeMap::new();
    let several = placed.len() > 1;
    let mut items = Vec::with_capacity(placed.len());
    for (place, line, mut item) in placed {
        let id = item.id.take().unwrap_or_else(|| match (&task.input, &item.cluster) {
            (Input::Subjects(_), Some(subject)) => format!("{subject}:{line}"),
            _ => line,
        });
        if let Some(first) = seen.insert(id.clone(), place.clone()) {
            return Err(Error::DuplicateId { task: task.id, id, first, second: place });
        }
        if several && matches!(item.key, Key::Text { .. }) {
            item.cluster = Some(id.clone());
        }
        item.id = Some(id);
        items.push(item);
    }
    Ok(items)
}

fn read_row(task: &'static Task, forms: &[Form], record: &Record) -> Result<Item, Error> {
    let has = |column: &&str| record.fields.get(*column).is_some_and(|value| !value.is_null());
    let Some(form) = forms.iter().find(|form| form.columns.iter().all(has)) else {
        let found: Vec<&str> = record.fields.keys().map(String::as_str).take(12).collect();
        return Err(row_error(task, record, format!("its columns are {}", found.join(", "))));
    };
    (form.read)(&record.fields).map_err(|reason| row_error(task, record, reason))
}

fn row_error(task: &'static Task, record: &Record, reason: String) -> Error {
    Error::Row { place: record.location.to_string(), task: task.id, reason, expected: task.expected() }
}

fn read_text(task: &'static Task, record: &Record) -> Result<Item, Error> {
    let column = TEXT_COLUMNS.iter().find(|column| matches!(record.fields.get(**column), Some(Value::String(_))));
    let text = column.map(|column| columns::text(&record.fields, column)).transpose();
    match text.map_err(|reason| row_error(task, record, reason))? {
        Some(text) => Ok(text_item(text)),
        None => Err(row_error(task, record, "it has no column of text".to_owned())),
    }
}

/// An item that asks how well a text is predicted.
pub fn text_item(text: &str) -> Item {
    // As lm-evaluation-harness counts: the pieces between runs of white space, empty ones at the ends included.
    let (words, _) = text.chars().fold((1, false), |(count, in_space), character| {
        let space = character.is_whitespace();
        (count + usize::from(space && !in_space), space)
    });
    Item {
        prompt: text.chars().take(200).collect(),
        requests: vec![Request::Rolling { text: text.to_owned() }],
        key: Key::Text { bytes: text.len(), words },
        ..Item::default()
    }
}

/// An item that asks for the log-probabilities of both answers.
pub fn pair_item(pair: &Preference) -> Item {
    let request = |reply: &Content| Request::Reply { prompt: pair.prompt.clone(), reply: reply.clone() };
    Item {
        id: columns::id(&pair.other, "id"),
        prompt: pair.prompt.plain(),
        requests: vec![request(&pair.chosen), request(&pair.rejected)],
        reference: Some(pair.chosen.plain()),
        ..Item::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::find;
    use groma_data::ReadOptions;
    use std::io::Write;

    fn table(suffix: &str, text: &str) -> Result<Table, groma_data::Error> {
        let mut file = tempfile::Builder::new().suffix(suffix).tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        groma_data::read(file.path(), &ReadOptions::default())
    }

    #[test]
    fn rows_get_ids_and_wrong_ones_are_named() {
        let good = "{\"query\": \"Q\", \"choices\": [\"a\", \"b\"], \"gold\": 1}\n";
        let items = read_items(find("arc-easy").unwrap(), table(".jsonl", &good.repeat(2)).unwrap()).unwrap();
        assert_eq!(items.items.iter().map(|item| item.id.as_deref().unwrap()).collect::<Vec<_>>(), ["1", "2"]);
        let wrong = read_items(find("arc-easy").unwrap(), table(".jsonl", "{\"text\": \"x\"}\n").unwrap()).unwrap_err();
        let message = wrong.to_string();
        assert!(
            message.contains(".jsonl:1: task `arc-easy`") && message.contains("question, choices, answerKey"),
            "{message}"
        );
        assert!(table(".jsonl", "").is_err());
    }

    #[test]
    fn duplicate_ids_are_named() {
        let row = "{\"prompt\": \"p\", \"id\": 4}\n";
        let error = read_items(find("refusal").unwrap(), table(".jsonl", &row.repeat(2)).unwrap()).unwrap_err();
        assert!(error.to_string().contains("same id `4`"), "{error}");
    }

    #[test]
    fn transcripts_become_pairs() {
        let row = r#"{"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi\n\nAssistant: Go."}"#;
        let items = read_items(find("preference").unwrap(), table(".jsonl", row).unwrap()).unwrap();
        let Request::Reply { prompt: Content::Messages(prompt), reply } = &items.items[0].requests[1] else { panic!() };
        assert_eq!((prompt[0].role.as_str(), reply.plain().trim()), ("user", "Go."));
    }

    #[test]
    fn texts_are_counted_as_the_harness_counts() {
        let counted = |text: &str| text_item(text).key;
        assert_eq!(counted("a b\n\nc"), Key::Text { bytes: 6, words: 3 });
        assert_eq!(counted(" a "), Key::Text { bytes: 3, words: 3 });
        assert_eq!(counted("é"), Key::Text { bytes: 2, words: 1 });
    }
}
