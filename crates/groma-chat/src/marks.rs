//! Marks in the output: where `generation` begins and ends, and where a message spells a control token.
//!
//! A mark is one character of Unicode's private planes that occurs neither in the template nor in anything given to it, and
//! no operation of templates makes such a character from others. So text from users cannot forge a mark, in whole or by
//! being joined from parts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::Rendered;
use crate::error::{Result, TemplateError};

const FIRST_PRIVATE: u32 = 0xf_0000;
const LAST_PRIVATE: u32 = 0x10_fffd;

/// Private characters in use.
#[derive(Debug, Default)]
pub(crate) struct Used(BTreeSet<char>);

impl Used {
    pub(crate) fn text(&mut self, text: &str) {
        self.0.extend(text.chars().filter(|character| u32::from(*character) >= FIRST_PRIVATE));
    }

    pub(crate) fn json(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.text(text),
            Value::Array(items) => items.iter().for_each(|item| self.json(item)),
            Value::Object(fields) => self.fields(fields),
            _ => {}
        }
    }

    pub(crate) fn fields(&mut self, fields: &Map<String, Value>) {
        for (key, value) in fields {
            self.text(key);
            self.json(value);
        }
    }

    /// A character that is not in use, now taken.
    pub(crate) fn take(&mut self) -> Result<char> {
        let free = (FIRST_PRIVATE..=LAST_PRIVATE).filter_map(char::from_u32).find(|free| !self.0.contains(free));
        let free =
            free.ok_or_else(|| TemplateError::Marks { problem: "the text uses every private character".into() })?;
        self.0.insert(free);
        Ok(free)
    }
}

/// The characters of one rendering.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// Around generated text.
    pub(crate) generation: Option<(char, char)>,
    /// For each character, the control token's text that it stands for.
    pub(crate) spelled: BTreeMap<char, String>,
}

impl Marks {
    /// Replaces control tokens in all strings of a value by their characters.
    pub(crate) fn hide(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.hidden(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.hide(field)),
            _ => {}
        }
    }

    fn hidden(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            // The longest token that begins here, as a tokenizer would take it.
            let here = self.spelled.iter().filter(|(_, token)| rest.starts_with(token.as_str()));
            if let Some((mark, token)) = here.max_by_key(|(_, token)| token.len()) {
                out.push(*mark);
                rest = &rest[token.len()..];
                continue;
            }
            out.push(first);
            rest = &rest[first.len_utf8()..];
        }
        out
    }

    /// Takes the marks out of the output.
    pub(crate) fn remove(&self, output: &str) -> Result<Rendered> {
        let mut found = Rendered { text: String::with_capacity(output.len()), ..Rendered::default() };
        let mut start = None;
        for character in output.chars() {
            let at = found.text.len();
            if let Some(token) = self.spelled.get(&character) {
                found.text.push_str(token);
                found.spelled.push(at..found.text.len());
            } else if self.generation.is_some_and(|(open, _)| open == character) {
                if start.replace(at).is_some() {
                    return Err(disturbed("one begins inside another"));
                }
            } else if self.generation.is_some_and(|(_, close)| close == character) {
                let start = start.take().ok_or_else(|| disturbed("one ends that has not begun"))?;
                if start < at {
                    found.assistant.push(start..at);
                }
            } else {
                found.text.push(character);
            }
        }
        if start.is_some() { Err(disturbed("one does not end")) } else { Ok(found) }
    }
}

fn disturbed(problem: &str) -> TemplateError {
    TemplateError::Marks { problem: problem.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_out_and_leave_their_places() {
        let mut used = Used::default();
        used.text("\u{f0000}x\u{f0002}");
        let (open, close, token) = (used.take().unwrap(), used.take().unwrap(), used.take().unwrap());
        assert_eq!([open, close, token], ['\u{f0001}', '\u{f0003}', '\u{f0004}']);
        let marks = Marks { generation: Some((open, close)), spelled: BTreeMap::from([(token, "<end>".to_owned())]) };
        let mut value = serde_json::json!({"content": ["a<end>b"]});
        marks.hide(&mut value);
        let output = format!("é{open}{}{close}!", value["content"][0].as_str().unwrap());
        let found = marks.remove(&output).unwrap();
        assert_eq!(found.text, "éa<end>b!");
        assert_eq!(found.assistant.as_slice(), std::slice::from_ref(&(2..9)));
        assert_eq!(found.spelled.as_slice(), std::slice::from_ref(&(3..8)));
        for bad in [format!("{open}"), format!("{close}"), format!("{open}{open}{close}{close}")] {
            assert!(marks.remove(&bad).is_err());
        }
    }
}
