//! Texts that training may have had.

use std::path::Path;

use groma_data::Record;
use groma_run::Seed;
use serde_json::Value;

use crate::Error;
use crate::drawn::Drawn;

/// A text, and what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Its name.
    pub id: String,
    /// All of it.
    pub text: String,
    /// Bytes of it that an attacker knows.
    pub known: usize,
    /// Bytes at which what is to be found ends.
    pub end: usize,
    /// Whether training had it, where the row says so.
    pub member: Option<bool>,
}

impl Text {
    /// What an attacker knows.
    pub fn prefix(&self) -> &str {
        &self.text[..self.known]
    }

    /// What is to be found.
    pub fn secret(&self) -> &str {
        &self.text[self.known..self.end]
    }
}

/// The texts in a file of rows, or a part of them.
///
/// A row has `text`, and as far as known `prefix` (how it begins) and `secret` (what follows there and is to be found; the rest
/// where it is not given), `id`, and whether training had it: `member` (a flag) or `repetitions` (a count). Without `prefix` the
/// first half is known, cut at a space.
///
/// # Errors
/// A row that is no such text, with its place; a file that cannot be read or holds no rows.
pub fn texts(path: &Path, drawn: Drawn, seed: Seed) -> Result<Vec<Text>, Error> {
    let table = drawn.read(path, seed)?;
    let read =
        |record: &Record| text(record).map_err(|problem| Error::Text { place: record.location.to_string(), problem });
    table.records.iter().map(read).collect()
}

fn text(record: &Record) -> Result<Text, String> {
    let column = |name: &str| match record.fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(format!("`{name}` must be a text")),
    };
    let text = column("text")?.filter(|text| !text.is_empty()).ok_or("there is no `text`")?;
    let known = match column("prefix")? {
        Some(prefix) if text.starts_with(&prefix) => prefix.len(),
        Some(_) => return Err("`text` does not begin with `prefix`".into()),
        None => half(&text),
    };
    let end = match column("secret")? {
        Some(secret) if !secret.is_empty() => {
            let place = text[known..].find(&secret).ok_or("`secret` does not follow `prefix` in `text`")?;
            known + place + secret.len()
        }
        _ => text.len(),
    };
    if known == end {
        return Err("nothing of `text` is left to be found".into());
    }
    let member = match (record.fields.get("member"), record.fields.get("repetitions")) {
        (Some(Value::Bool(member)), _) => Some(*member),
        (None | Some(Value::Null), Some(Value::Number(count))) => Some(count.as_f64().is_some_and(|count| count > 0.0)),
        (None | Some(Value::Null), None | Some(Value::Null)) => None,
        _ => return Err("`member` must be true or false, and `repetitions` a number".into()),
    };
    let id = column("id")?.unwrap_or_else(|| record.location.id());
    Ok(Text { id, text, known, end, member })
}

/// Where the second half of a text begins: at a space, if it has one there.
fn half(text: &str) -> usize {
    let middle = (text.len() / 2..text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text[middle..].find(' ').map_or(middle, |space| middle + space)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_lines(lines: &str) -> Result<Vec<Text>, Error> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("texts.jsonl");
        std::fs::write(&path, lines).unwrap();
        texts(&path, Drawn::default(), Seed::new(1))
    }

    #[test]
    fn rows_say_what_is_known_and_what_is_to_be_found() {
        let rows = r#"{"text": "The box opens with one two.", "prefix": "The box opens with", "secret": "one two", "repetitions": 8}
{"text": "abcdef ghij klm", "member": false, "id": "b"}
{"text": "ééééé"}
"#;
        let found = read_lines(rows).unwrap();
        let parts: Vec<(&str, &str)> = found.iter().map(|text| (text.prefix(), text.secret())).collect();
        assert_eq!(parts[0], ("The box opens with", " one two"));
        assert_eq!(parts[1], ("abcdef ghij", " klm"));
        assert_eq!(format!("{}{}", parts[2].0, parts[2].1), "ééééé");
        let members: Vec<Option<bool>> = found.iter().map(|text| text.member).collect();
        assert_eq!(members, [Some(true), Some(false), None]);
        assert_eq!((found[0].id.as_str(), found[1].id.as_str()), ("1", "b"));
    }

    #[test]
    fn rows_that_are_no_texts_are_named() {
        for (rows, expected) in [
            ("{\"prompt\": \"x\"}\n", "there is no `text`"),
            ("{\"text\": \"abc\", \"prefix\": \"b\"}\n", "does not begin"),
            ("{\"text\": \"abc\", \"prefix\": \"abc\"}\n", "nothing of `text`"),
            ("{\"text\": \"abc\", \"prefix\": \"a\", \"secret\": \"x\"}\n", "does not follow"),
            ("{\"text\": \"abc\", \"member\": 3}\n", "`member`"),
        ] {
            let error = read_lines(rows).unwrap_err().to_string();
            assert!(error.contains(expected) && error.contains(":1"), "{error}");
        }
    }
}
