//! Messages as they are read, and the two forms that a text can have.

use std::fmt;

use groma_chat::Message;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::strict_json::kind_of;

/// A text in standard form (a string) or conversational form (messages).
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// A plain string.
    Text(String),
    /// The turns of a conversation.
    Messages(Vec<Message>),
}

impl Content {
    /// Whether nothing is said: no text, or no message.
    pub fn is_empty(&self) -> bool {
        match self {
            Content::Text(text) => text.is_empty(),
            Content::Messages(messages) => messages.is_empty(),
        }
    }

    /// Whether the form is conversational.
    pub fn is_conversational(&self) -> bool {
        matches!(self, Content::Messages(_))
    }

    /// The text of the content without roles: the string, or the messages' contents on lines of their own.
    pub fn plain(&self) -> String {
        match self {
            Content::Text(text) => text.clone(),
            Content::Messages(messages) => {
                messages.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// An answer to it, in its form: a text, or a turn of the assistant.
    #[must_use]
    pub fn answered(&self, answer: &str) -> Content {
        match self {
            Content::Text(_) => Content::Text(answer.to_owned()),
            Content::Messages(_) => Content::Messages(vec![Message::new("assistant", answer)]),
        }
    }

    /// As a JSON value: a string, or a list of objects.
    pub fn to_value(&self) -> Value {
        match self {
            Content::Text(text) => Value::String(text.clone()),
            Content::Messages(messages) => Value::Array(messages.iter().map(message_value).collect()),
        }
    }

    /// Reads a string or a list of messages.
    ///
    /// # Errors
    /// In words, about the value that is called `name`.
    pub fn from_value(name: &str, value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Content::Text(text)),
            Value::Array(items) => messages(name, items).map(Content::Messages),
            other => Err(format!("`{name}` must be a string or a list of messages, found {}", kind_of(&other))),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Text(text) => write!(f, "{text:?}"),
            Content::Messages(messages) => {
                f.debug_list().entries(messages.iter().map(|m| format!("{}: {}", m.role, m.content))).finish()
            }
        }
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Content::Text(text) => serializer.serialize_str(text),
            Content::Messages(messages) => messages.serialize(serializer),
        }
    }
}

fn message_value(message: &Message) -> Value {
    let mut fields = Map::new();
    fields.insert("role".to_owned(), Value::String(message.role.clone()));
    fields.insert("content".to_owned(), Value::String(message.content.clone()));
    fields.extend(message.extra.clone());
    Value::Object(fields)
}

/// A list of `{role, content}` objects, or of ShareGPT's `{from, value}`.
pub(crate) fn messages(name: &str, items: Vec<Value>) -> Result<Vec<Message>, String> {
    let read = |(index, item)| message(item).map_err(|why| format!("`{name}`, message {}: {why}", index + 1));
    items.into_iter().enumerate().map(read).collect()
}

fn message(item: Value) -> Result<Message, String> {
    let mut fields = match item {
        Value::Object(fields) => fields,
        other => return Err(format!("expected an object with role and content, found {}", kind_of(&other))),
    };
    let sharegpt = !fields.contains_key("role") && fields.contains_key("from");
    let (role_name, content_name) = if sharegpt { ("from", "value") } else { ("role", "content") };
    let role = match fields.shift_remove(role_name) {
        Some(Value::String(role)) if !role.trim().is_empty() => role,
        Some(Value::String(_)) => return Err(format!("`{role_name}` is empty")),
        Some(other) => return Err(format!("`{role_name}` must be a string, found {}", kind_of(&other))),
        None => return Err(format!("no `{role_name}`")),
    };
    let role = if sharegpt { sharegpt_role(&role)?.to_owned() } else { role };
    let content = content(content_name, fields.shift_remove(content_name), &fields)?;
    fields.retain(|_, value| !value.is_null());
    Ok(Message { role, content, extra: fields })
}

/// The names that ShareGPT files give to the speakers.
fn sharegpt_role(name: &str) -> Result<&'static str, String> {
    match name {
        "human" | "user" => Ok("user"),
        "gpt" | "assistant" | "chatgpt" | "bing" | "bard" | "model" => Ok("assistant"),
        "system" => Ok("system"),
        "tool" | "observation" | "function_response" => Ok("tool"),
        other => Err(format!("unknown speaker {other:?}: expected human, gpt, system or tool")),
    }
}

/// A message's text: a string, or parts that are all text. A turn that only calls tools may have none.
fn content(name: &str, value: Option<Value>, others: &Map<String, Value>) -> Result<String, String> {
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => parts.into_iter().map(text_part).collect(),
        None | Some(Value::Null) if others.contains_key("tool_calls") => Ok(String::new()),
        Some(other) => Err(format!("`{name}` must be a string, found {}", kind_of(&other))),
        None => Err(format!("no `{name}`")),
    }
}

fn text_part(part: Value) -> Result<String, String> {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or("untyped").to_owned();
    match part {
        Value::Object(mut fields) if kind == "text" => match fields.shift_remove("text") {
            Some(Value::String(text)) => Ok(text),
            _ => Err("a text part without a text".to_owned()),
        },
        _ => Err(format!("a part of kind {kind:?}; only text can be used")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Result<Content, String> {
        Content::from_value("prompt", value)
    }

    #[test]
    fn both_forms_and_their_aliases() {
        assert_eq!(read(json!("hi")).unwrap(), Content::Text("hi".to_owned()));
        let turns = Content::Messages(vec![Message::new("user", "hi"), Message::new("assistant", "ho")]);
        assert_eq!(
            read(json!([{"role": "user", "content": "hi"}, {"content": [{"type": "text", "text": "ho"}],
            "role": "assistant", "name": null}]))
            .unwrap(),
            turns
        );
        assert_eq!(read(json!([{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}])).unwrap(), turns);
        assert_eq!(read(turns.to_value()).unwrap(), turns);
        assert_eq!(serde_json::to_value(&turns).unwrap(), turns.to_value());
    }

    #[test]
    fn further_fields_are_kept() {
        let calls = json!([{"role": "assistant", "content": null, "tool_calls": [{"name": "clock"}], "weight": 0}]);
        let Content::Messages(messages) = read(calls).unwrap() else { panic!("messages") };
        assert_eq!(messages[0].extra["weight"], json!(0));
        assert_eq!(messages[0].content, "");
    }

    #[test]
    fn what_is_no_message_is_named() {
        for (value, why) in [
            (json!(3), "found a number"),
            (json!(["hi"]), "message 1: expected an object"),
            (json!([{"role": "user"}]), "no `content`"),
            (json!([{"content": "x"}]), "no `role`"),
            (json!([{"role": "", "content": "x"}]), "`role` is empty"),
            (json!([{"role": 1, "content": "x"}]), "`role` must be a string"),
            (json!([{"role": "user", "content": 1}]), "`content` must be a string, found a number"),
            (json!([{"from": "narrator", "value": "x"}]), "unknown speaker"),
            (json!([{"role": "user", "content": [{"type": "image_url"}]}]), "\"image_url\""),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
