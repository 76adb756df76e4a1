//! JSON as Python's `json.dumps` writes it.

use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};

use crate::error::failure;

/// How to write JSON.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// Text of one level of indentation; `None` keeps all on one line.
    pub(crate) indent: Option<String>,
    /// Between items.
    pub(crate) item: String,
    /// Between a key and its value.
    pub(crate) key: String,
    /// Writes all but ASCII as escapes.
    pub(crate) ensure_ascii: bool,
    /// Sorts keys.
    pub(crate) sort_keys: bool,
}

struct Writer<'a, 's> {
    state: &'a State<'s, 's>,
    style: &'a Style,
    out: String,
}

/// Writes a value.
pub(crate) fn dumps(state: &State<'_, '_>, value: &Value, style: &Style) -> Result<String, Error> {
    let mut writer = Writer { state, style, out: String::new() };
    writer.value(value, 0)?;
    Ok(writer.out)
}

impl Writer<'_, '_> {
    fn value(&mut self, value: &Value, level: usize) -> Result<(), Error> {
        self.state.consume_fuel(1)?;
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)),
            ValueKind::String => return self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items = value.try_iter()?.checked().collect::<Result<Vec<_>, _>>()?;
                return self.items(['[', ']'], &items, level, |writer, item| writer.value(item, level + 1));
            }
            ValueKind::Map => return self.mapping(value, level),
            kind => return Err(failure(format!("{kind} cannot be written as JSON"))),
        }
        Ok(())
    }

    fn mapping(&mut self, value: &Value, level: usize) -> Result<(), Error> {
        let mut entries = Vec::new();
        for key in value.try_iter()?.checked() {
            let key = key?;
            let value = value.get_item(&key)?;
            entries.push((key_text(&key)?, value));
        }
        if self.style.sort_keys {
            entries.sort_by(|a, b| a.0.cmp(&b.0));
        }
        self.items(['{', '}'], &entries, level, |writer, (key, value)| {
            writer.string(key)?;
            writer.write(&writer.style.key)?;
            writer.value(value, level + 1)
        })
    }

    fn items<T>(
        &mut self,
        [open, close]: [char; 2],
        items: &[T],
        level: usize,
        mut write: impl FnMut(&mut Self, &T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.out.push(open);
        for (place, item) in items.iter().enumerate() {
            if place > 0 {
                self.write(&self.style.item)?;
            }
            self.line(level + 1)?;
            write(self, item)?;
        }
        if !items.is_empty() {
            self.line(level)?;
        }
        self.out.push(close);
        Ok(())
    }

    fn write(&mut self, text: &str) -> Result<(), Error> {
        self.state.consume_fuel(text.len() as u64 / 64)?;
        self.out.push_str(text);
        Ok(())
    }

    fn line(&mut self, level: usize) -> Result<(), Error> {
        let Some(indent) = &self.style.indent else { return Ok(()) };
        self.out.push('\n');
        (0..level).try_for_each(|_| self.write(indent))
    }

    fn string(&mut self, text: &str) -> Result<(), Error> {
        self.state.consume_fuel(text.len() as u64 / 64)?;
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
                '\0'..='\x1f' => self.escape(character),
                _ if self.style.ensure_ascii && !(' '..='~').contains(&character) => self.escape(character),
                _ => self.out.push(character),
            }
        }
        self.out.push('"');
        Ok(())
    }

    fn escape(&mut self, character: char) {
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing to a string does not fail.
            let _ = write!(self.out, "\\u{unit:04x}");
        }
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

fn number(value: &Value) -> String {
    match float(value).as_deref() {
        None => value.to_string(),
        Some("nan") => "NaN".into(),
        Some("inf") => "Infinity".into(),
        Some("-inf") => "-Infinity".into(),
        Some(number) => number.into(),
    }
}

/// A float as Python writes it: the shortest digits that read back, with an exponent where it is far from zero. `None` for
/// other values.
pub(crate) fn float(value: &Value) -> Option<String> {
    if value.kind() != ValueKind::Number || value.is_integer() {
        return None;
    }
    let float = f64::try_from(value.clone()).ok()?;
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    Some(if !float.is_finite() {
        float.to_string().to_lowercase()
    } else if (-4..16).contains(&exponent) {
        format!("{float:?}")
    } else {
        format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
    })
}
