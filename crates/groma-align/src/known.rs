//! What the columns of a row say that are not part of its shape, for methods that learn from them.

use crate::method::Masks;
use crate::template::{PROMPT_PLACE, filled};
use groma_data::{Content, Row};
use serde_json::{Map, Value};

/// Where a teacher's template has what the teacher is told beside the prompt.
pub(crate) const CONTEXT_PLACE: &str = "{privileged_context}";
/// The setting that names the columns of attributes.
pub(crate) const ATTRIBUTES: &str = "attributes";
/// The column of what a teacher is told beside the prompt.
pub(crate) const CONTEXT: &str = "privileged_context";

/// What the columns of a row say that are not part of its shape.
pub(crate) struct Known {
    /// See [`Member::attributes`](crate::group::Member::attributes).
    pub(crate) attributes: Vec<Option<f64>>,
    /// What a teacher reads in the prompt's place.
    pub(crate) teacher_prompt: Option<Content>,
}

impl Known {
    /// # Errors
    /// In words, where a column does not say what it should.
    pub(crate) fn of(row: &Row, masks: &Masks) -> Result<Self, String> {
        let attributes = attributes(&row.other, &masks.attributes)?;
        if masks.asked_again {
            asked_with(row.question(), &str::to_owned)?;
            let feedback = row.other.get(CONTEXT).filter(|value| !value.is_null() && !value.is_string());
            feedback.map_or(Ok(()), |value| Err(format!("the column `{CONTEXT}` must hold a text, found {value}")))?;
        }
        let teacher_prompt = masks.teacher_prompt.as_ref().map(|template| taught(row, template)).transpose()?;
        Ok(Known { attributes, teacher_prompt })
    }
}

/// The prompt that a teacher reads, which is told more: of a conversation, another last turn of the user.
///
/// # Errors
/// In words, where the row has nothing to tell, or does not end with the user.
fn taught(row: &Row, template: &str) -> Result<Content, String> {
    let told = row.other.get(CONTEXT).and_then(Value::as_str).filter(|told| !told.is_empty());
    let told = told.ok_or("the column `privileged_context` must hold what the teacher is told")?;
    asked_with(row.question(), &|prompt| filled(template, &[(PROMPT_PLACE, prompt), (CONTEXT_PLACE, told)]))
}

/// A prompt with another text: of a conversation, another last turn of the user.
///
/// # Errors
/// In words, where a conversation does not end with the user.
pub(crate) fn asked_with(question: &Content, with: &dyn Fn(&str) -> String) -> Result<Content, String> {
    match question {
        Content::Text(text) => Ok(Content::Text(with(text))),
        Content::Messages(turns) => {
            let mut turns = turns.clone();
            let last = turns.messages.last_mut().filter(|message| message.role == "user");
            let last = last.ok_or("the prompt does not end with the user, in whose turn a teacher is told more")?;
            last.content = with(&last.content);
            Ok(Content::Messages(turns))
        }
    }
}

/// The values of a row's columns; `None` where it has none, or null.
///
/// # Errors
/// In words, where a column holds anything but a number.
fn attributes(columns: &Map<String, Value>, names: &[String]) -> Result<Vec<Option<f64>>, String> {
    let value = |name: &String| match columns.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(found) => match found.as_f64().filter(|value| value.is_finite()) {
            Some(value) => Ok(Some(value)),
            None => Err(format!("the column `{name}` must hold a number, found {found}")),
        },
    };
    names.iter().map(value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn columns_are_numbers_or_silent() {
        let row = json!({"a": 3, "b": null, "c": "good"});
        let read = |names: [&str; 2]| attributes(row.as_object().unwrap(), &names.map(str::to_owned));
        assert_eq!(read(["a", "b"]), Ok(vec![Some(3.0), None]));
        assert!(read(["a", "c"]).unwrap_err().contains("`c`"));
    }
}
