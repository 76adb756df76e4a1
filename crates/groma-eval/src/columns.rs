//! Columns of rows: their names, their types, and errors that say what was expected.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::suggest::closest;

/// A row's fields.
pub(crate) type Fields = Map<String, Value>;

/// A column that a form reads, written `name`, `name: kind`, or `name: kind?` where it may be missing. A dot in the name
/// leads into an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) path: String,
    pub(crate) kind: Kind,
    pub(crate) is_optional: bool,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A list of strings, at least one; a number before it says how many.
    Texts(Option<usize>),
    /// A whole number, or a string of one.
    Number,
    /// True or false.
    Flag,
    /// A list of ones and zeros.
    Flags,
    /// Anything.
    Any,
}

const KINDS: [(&str, Kind); 6] = [
    ("text", Kind::Text),
    ("texts", Kind::Texts(None)),
    ("number", Kind::Number),
    ("flag", Kind::Flag),
    ("flags", Kind::Flags),
    ("any", Kind::Any),
];

impl Column {
    /// The name of the column itself, without what is inside it.
    pub(crate) fn top(&self) -> &str {
        at(&self.path).next().unwrap_or_default()
    }

    /// Whether a row has it.
    pub(crate) fn is_in(&self, row: &Fields) -> bool {
        row.get(self.top()).is_some_and(|value| !value.is_null())
    }

    /// Checks that its value is what it must be.
    pub(crate) fn check(&self, row: &Fields) -> Result<(), String> {
        let found = value(row, &self.path);
        if self.is_optional && found.is_none_or(Value::is_null) {
            return Ok(());
        }
        let (holds, expected) = match self.kind {
            Kind::Any => (found.is_some(), "there"),
            Kind::Text => (found.is_some_and(Value::is_string), "a string"),
            Kind::Number => (found.is_some_and(is_whole), "a whole number"),
            Kind::Flag => (found.is_some_and(Value::is_boolean), "true or false"),
            Kind::Flags => return flags(row, &self.path).map(|_| ()),
            Kind::Texts(count) => {
                let texts = found.and_then(Value::as_array);
                let is_empty = texts.is_some_and(Vec::is_empty);
                if texts.is_none_or(|texts| !texts.iter().all(Value::is_string)) || (is_empty && !self.is_optional) {
                    return Err(wrong(&self.path, "a list of strings", found));
                }
                match count {
                    Some(count) if texts.is_some_and(|texts| texts.len() != count) => {
                        let there = texts.map_or(0, Vec::len);
                        return Err(format!("column `{}` must have {count} elements, but has {there}", self.path));
                    }
                    _ => return Ok(()),
                }
            }
        };
        if holds { Ok(()) } else { Err(wrong(&self.path, expected, found)) }
    }
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = String::deserialize(deserializer)?;
        let (path, kind) = written.rsplit_once(": ").unwrap_or((&written, "text"));
        let (kind, is_optional) = kind.strip_suffix('?').map_or((kind, false), |kind| (kind, true));
        let kind = match kind.split_once(' ') {
            Some((count, "texts")) => {
                let count = count.parse().map_err(|_| D::Error::custom(format!("`{count}` is no number of texts")))?;
                Kind::Texts(Some(count))
            }
            _ => {
                let known = KINDS.iter().find(|(name, _)| *name == kind).map(|(_, kind)| *kind);
                let names = KINDS.iter().map(|(name, _)| *name);
                let unknown = || format!("`{kind}` is no kind of column{}", closest(kind, names));
                known.ok_or_else(|| D::Error::custom(unknown()))?
            }
        };
        Ok(Column { path: path.trim().to_owned(), kind, is_optional })
    }
}

/// The parts of a path.
pub(crate) fn at(path: &str) -> impl Iterator<Item = &str> {
    path.split('.')
}

/// The value at a path; a column whose name has dots comes before an object.
pub(crate) fn value<'a>(row: &'a Fields, path: &str) -> Option<&'a Value> {
    if let Some(value) = row.get(path) {
        return Some(value);
    }
    let mut parts = at(path);
    let first = row.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

/// A string.
pub(crate) fn text<'a>(fields: &'a Fields, column: &str) -> Result<&'a str, String> {
    match fields.get(column) {
        Some(Value::String(text)) => Ok(text),
        other => Err(wrong(column, "a string", other)),
    }
}

/// An id: a string or a whole number; none if the column is missing.
pub(crate) fn id(fields: &Fields, column: &str) -> Option<String> {
    match fields.get(column) {
        Some(Value::String(text)) if !text.is_empty() => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    }
}

/// A list of strings, empty if the column is missing.
pub(crate) fn optional_texts(fields: &Fields, path: &str) -> Result<Vec<String>, String> {
    match value(fields, path) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(found) => {
            let strings = found.as_array().map(|texts| texts.iter().map(|text| text.as_str().map(str::to_owned)));
            let strings: Option<Vec<String>> = strings.and_then(Iterator::collect);
            strings.ok_or_else(|| wrong(path, "a list of strings", Some(found)))
        }
    }
}

/// A list of ones and zeros.
pub(crate) fn flags(fields: &Fields, path: &str) -> Result<Vec<bool>, String> {
    let found = value(fields, path);
    let numbers = found.and_then(Value::as_array).map(|values| values.iter().map(Value::as_i64));
    let numbers: Option<Vec<i64>> = numbers.and_then(Iterator::collect);
    let flags = numbers.map(|numbers| numbers.iter().map(|number| *number == 1).collect());
    flags.ok_or_else(|| wrong(path, "a list of ones and zeros", found))
}

fn is_whole(value: &Value) -> bool {
    value.is_u64() || value.as_str().is_some_and(|text| text.trim().parse::<u64>().is_ok())
}

fn wrong(column: &str, expected: &str, found: Option<&Value>) -> String {
    let found = match found {
        None => "it is missing".to_owned(),
        Some(Value::Null) => "it is null".to_owned(),
        Some(value) => {
            let shown: String = value.to_string().chars().take(60).collect();
            format!("it is {shown}")
        }
    };
    format!("column `{column}` must be {expected}, but {found}")
}
