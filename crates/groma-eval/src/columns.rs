//! Values of a row's columns, with errors that say what was expected.

use serde_json::{Map, Value};

/// A row's fields.
pub(crate) type Fields = Map<String, Value>;

/// A string.
pub(crate) fn text<'a>(fields: &'a Fields, column: &str) -> Result<&'a str, String> {
    match fields.get(column) {
        Some(Value::String(text)) => Ok(text),
        other => Err(wrong(column, "a string", other)),
    }
}

/// A string, if the column is there and not null.
pub(crate) fn optional_text<'a>(fields: &'a Fields, column: &str) -> Result<Option<&'a str>, String> {
    match fields.get(column) {
        None | Some(Value::Null) => Ok(None),
        Some(_) => text(fields, column).map(Some),
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

/// A list of at least one string.
pub(crate) fn texts(fields: &Fields, column: &str) -> Result<Vec<String>, String> {
    let found = fields.get(column);
    let strings =
        found.and_then(Value::as_array).map(|values| values.iter().map(|value| value.as_str().map(str::to_owned)));
    match strings.map(Iterator::collect::<Option<Vec<String>>>) {
        Some(Some(texts)) if !texts.is_empty() => Ok(texts),
        _ => Err(wrong(column, "a list of strings", found)),
    }
}

/// A list of strings, empty if the column is missing.
pub(crate) fn optional_texts(fields: &Fields, column: &str) -> Result<Vec<String>, String> {
    match fields.get(column) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(values)) if values.is_empty() => Ok(Vec::new()),
        Some(_) => texts(fields, column),
    }
}

/// An object.
pub(crate) fn object<'a>(fields: &'a Fields, column: &str) -> Result<&'a Fields, String> {
    fields.get(column).and_then(Value::as_object).ok_or_else(|| wrong(column, "an object", fields.get(column)))
}

/// A whole number below `bound`, or a string of one.
pub(crate) fn index(fields: &Fields, column: &str, bound: usize) -> Result<usize, String> {
    let number = match fields.get(column) {
        Some(Value::Number(number)) => number.as_u64().and_then(|number| usize::try_from(number).ok()),
        Some(Value::String(text)) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|number| *number < bound)
        .ok_or_else(|| wrong(column, &format!("a whole number below {bound}"), fields.get(column)))
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
