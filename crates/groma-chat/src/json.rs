//! `tojson` as transformers defines it: Python's `json.dumps` without HTML escapes.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use crate::budget::{Budget, failure};
use crate::python;
use crate::value::{as_dict, as_list, weight};

/// How to write JSON.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// Text of one level of indentation; `None` keeps all on one line.
    pub(crate) indent: Option<String>,
    /// Between items.
    pub(crate) item_separator: String,
    /// Between a key and its value.
    pub(crate) key_separator: String,
    /// Writes all but ASCII as escapes.
    pub(crate) ensure_ascii: bool,
    /// Sorts keys.
    pub(crate) sort_keys: bool,
}

impl Style {
    /// The separators that Python takes when none are given.
    pub(crate) fn new(indent: Option<String>) -> Self {
        let item_separator = if indent.is_some() { "," } else { ", " }.into();
        Self { indent, item_separator, key_separator: ": ".into(), ensure_ascii: false, sort_keys: false }
    }
}

struct Writer<'a> {
    style: &'a Style,
    budget: &'a Budget,
    out: String,
}

/// Writes a value.
pub(crate) fn dumps(budget: &Budget, value: &Value, style: &Style) -> Result<String, Error> {
    budget.charge(weight(value))?;
    let mut writer = Writer { style, budget, out: String::new() };
    writer.value(value, 0)?;
    Ok(writer.out)
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, level: usize) -> Result<(), Error> {
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            _ => return self.container(value, level),
        }
        Ok(())
    }

    fn container(&mut self, value: &Value, level: usize) -> Result<(), Error> {
        if let Some(list) = as_list(value) {
            return self
                .items('[', ']', list.items.len(), level, |writer, place| writer.value(&list.items[place], level + 1));
        }
        let dict = as_dict(value).ok_or_else(|| failure(format!("{} cannot be written as JSON", value.kind())))?;
        let mut entries: Vec<(String, &Value)> =
            dict.entries.iter().map(|(key, value)| Ok((key_text(key)?, value))).collect::<Result<_, Error>>()?;
        if self.style.sort_keys {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
        }
        self.items('{', '}', entries.len(), level, |writer, place| {
            writer.string(&entries[place].0);
            let separator = writer.style.key_separator.clone();
            writer.out.push_str(&separator);
            writer.value(entries[place].1, level + 1)
        })
    }

    fn items(
        &mut self,
        open: char,
        close: char,
        count: usize,
        level: usize,
        mut write: impl FnMut(&mut Self, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        for place in 0..count {
            if place > 0 {
                self.budget.charge(self.style.item_separator.len())?;
                self.out.push_str(&self.style.item_separator);
            }
            self.line(level + 1)?;
            write(self, place)?;
        }
        if count > 0 {
            self.line(level)?;
        }
        self.out.push(close);
        Ok(())
    }

    fn line(&mut self, level: usize) -> Result<(), Error> {
        if let Some(indent) = &self.style.indent {
            self.budget.charge(indent.len().saturating_mul(level))?;
            self.out.push('\n');
            self.out.push_str(&indent.repeat(level));
        }
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\x08' => self.out.push_str("\\b"),
                '\x0c' => self.out.push_str("\\f"),
                '\0'..='\x1f' => self.escape(u32::from(character)),
                _ if self.style.ensure_ascii && !(' '..='~').contains(&character) => {
                    let mut units = [0; 2];
                    for unit in character.encode_utf16(&mut units) {
                        self.escape(u32::from(*unit));
                    }
                }
                _ => self.out.push(character),
            }
        }
        self.out.push('"');
    }

    fn escape(&mut self, code: u32) {
        self.out.push_str(&format!("\\u{code:04x}"));
    }
}

fn number(value: &Value) -> String {
    match python::number(value).as_str() {
        "nan" => "NaN".into(),
        "inf" => "Infinity".into(),
        "-inf" => "-Infinity".into(),
        text => text.into(),
    }
}

fn key_text(key: &Value) -> Result<String, Error> {
    Ok(match key.kind() {
        ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
        ValueKind::None => "null".into(),
        ValueKind::Bool => key.is_true().to_string(),
        ValueKind::Number => number(key),
        kind => return Err(failure(format!("{kind} cannot be a key in JSON"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::from_json;

    fn written(json: &serde_json::Value, style: &Style) -> String {
        let budget = Budget::new(0);
        dumps(&budget, &from_json(&budget, json).unwrap(), style).unwrap()
    }

    #[test]
    fn writes_what_python_writes() {
        let json = serde_json::json!({"b": [1, 2.0, "é\n\"<&>", null, true], "a": {}, "c": []});
        assert_eq!(written(&json, &Style::new(None)), r#"{"b": [1, 2.0, "é\n\"<&>", null, true], "a": {}, "c": []}"#);
        let style = Style { sort_keys: true, ensure_ascii: true, ..Style::new(Some("  ".into())) };
        let expected = "{\n  \"a\": {},\n  \"b\": [\n    1,\n    2.0,\n    \"\\u00e9\\n\\\"<&>\",\n    null,\n    true\n  ],\n  \"c\": []\n}";
        assert_eq!(written(&json, &style), expected);
    }

    #[test]
    fn a_large_indent_is_refused() {
        let budget = Budget::new(0);
        let value = from_json(&budget, &serde_json::json!([[[[1]]]])).unwrap();
        assert!(dumps(&budget, &value, &Style::new(Some(" ".repeat(10 << 20)))).is_err());
    }
}
