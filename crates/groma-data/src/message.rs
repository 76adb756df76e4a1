//! Messages as they are read, and the two forms that a text can have.

use std::fmt;

use groma_chat::{Message, Turns, WEIGHT};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::role::{Role, role_of};
use crate::strict_json::{kind_of, unreadable};

/// A text in standard form (a string) or conversational form (messages).
#[derive(Clone, PartialEq, Eq)]
pub enum Content {
    /// A plain string.
    Text(String),
    /// The turns of a conversation, with what the template is given beside them.
    Messages(Turns),
}

impl From<Vec<Message>> for Content {
    fn from(messages: Vec<Message>) -> Self {
        Content::Messages(messages.into())
    }
}

impl Content {
    /// Whether nothing is said: no text, or no message.
    pub fn is_empty(&self) -> bool {
        match self {
            Content::Text(text) => text.is_empty(),
            Content::Messages(turns) => turns.is_empty(),
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
            Content::Messages(turns) => {
                turns.iter().map(|message| message.content.as_str()).collect::<Vec<_>>().join("\n")
            }
        }
    }

    /// As a reader sees it: the text, or where there are several turns each with its speaker.
    pub fn shown(&self) -> String {
        match self {
            Content::Messages(turns) if turns.len() > 1 => {
                let turn = |message: &Message| format!("{}: {}", message.role, message.content.trim_end());
                turns.iter().map(turn).collect::<Vec<_>>().join("\n\n")
            }
            _ => self.plain(),
        }
    }

    /// An answer to it, in its form: a text, or a turn of the assistant.
    #[must_use]
    pub fn answered(&self, answer: &str) -> Content {
        match self {
            Content::Text(_) => Content::Text(answer.to_owned()),
            Content::Messages(_) => vec![Message::new("assistant", answer)].into(),
        }
    }

    /// As a JSON value: a string, or a list of objects; where the template is given more than messages, an object with them
    /// as `messages`.
    pub fn to_value(&self) -> Value {
        match self {
            Content::Text(text) => Value::String(text.clone()),
            Content::Messages(turns) => {
                let messages = Value::Array(turns.iter().map(message_value).collect());
                if turns.tools.is_none() && turns.variables.is_empty() {
                    return messages;
                }
                let mut fields = Map::from_iter([("messages".to_owned(), messages)]);
                fields.extend(given(turns));
                Value::Object(fields)
            }
        }
    }

    /// Reads what [`Content::to_value`] gives: a string, a list of messages, or an object that holds one.
    ///
    /// # Errors
    /// In words, about the value that is called `name`.
    pub fn from_value(name: &str, value: Value) -> Result<Self, String> {
        match value {
            Value::String(text) => Ok(Content::Text(text)),
            Value::Array(items) => Ok(messages(name, items)?.into()),
            Value::Object(mut fields) if matches!(fields.get("messages"), Some(Value::Array(_))) => {
                let items = fields.shift_remove("messages");
                let Content::Messages(turns) = Content::from_value(name, items.unwrap_or_default())? else {
                    return Err(format!("`{name}` holds no messages"));
                };
                let tools = fields.shift_remove("tools").map(tools).transpose()?.flatten();
                let variables = fields.shift_remove(VARIABLES).map(object_or_text).transpose()?.unwrap_or_default();
                Ok(Content::Messages(Turns { tools, variables, ..turns }))
            }
            other => Err(match unreadable(&other) {
                Some(what) => format!("`{name}` holds {what}"),
                None => format!("`{name}` must be a string or a list of messages, found {}", kind_of(&other)),
            }),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Text(text) => write!(f, "{text:?}"),
            Content::Messages(turns) => {
                f.debug_list().entries(turns.iter().map(|m| format!("{}: {}", m.role, m.content))).finish()
            }
        }
    }
}

impl Serialize for Content {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

/// The column with further variables of the template, as in transformers and TRL.
pub(crate) const VARIABLES: &str = "chat_template_kwargs";

/// What a template is given beside messages, as columns.
pub(crate) fn given(turns: &Turns) -> Map<String, Value> {
    let tools = turns.tools.clone().map(|tools| ("tools".to_owned(), Value::Array(tools)));
    let variables = Some(&turns.variables).filter(|variables| !variables.is_empty());
    let variables = variables.map(|variables| (VARIABLES.to_owned(), Value::Object(variables.clone())));
    tools.into_iter().chain(variables).collect()
}

/// Descriptions of tools: a list of objects, or such a list as text; `None` where it is empty.
pub(crate) fn tools(value: Value) -> Result<Option<Vec<Value>>, String> {
    let wrong = |what: &str| Err(format!("`tools` must be a list of objects, found {what}"));
    let items = match value {
        Value::Null => return Ok(None),
        Value::String(text) if text.trim().is_empty() => return Ok(None),
        Value::String(text) => match serde_json::from_str(&text) {
            Ok(Value::Array(items)) => items,
            _ => return wrong("text that is no such list in JSON"),
        },
        Value::Array(items) => items,
        other => return wrong(kind_of(&other)),
    };
    // Some files hold each tool as JSON in a string.
    let tool = |item: Value| match item {
        Value::String(text) => serde_json::from_str(&text).ok().filter(Value::is_object),
        other => Some(other).filter(Value::is_object),
    };
    match items.into_iter().map(tool).collect::<Option<Vec<_>>>() {
        Some(tools) => Ok(Some(tools).filter(|tools| !tools.is_empty())),
        None => wrong("a list of something else"),
    }
}

/// An object, or one as text.
pub(crate) fn object_or_text(value: Value) -> Result<Map<String, Value>, String> {
    let parsed = match value {
        Value::String(text) => serde_json::from_str(&text).unwrap_or_default(),
        other => other,
    };
    match parsed {
        Value::Object(fields) => Ok(fields),
        _ => Err(format!("`{VARIABLES}` must be an object with named variables")),
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

/// The messages in a text that is a list of such in JSON.
pub(crate) fn messages_in_text(text: &str) -> Option<Vec<Value>> {
    if !text.trim_start().starts_with('[') {
        return None;
    }
    let Ok(Value::Array(items)) = serde_json::from_str(text) else { return None };
    let is_message = |item: &Value| {
        let has = |name: &str| item.get(name).is_some();
        (has("role") && (has("content") || has("tool_calls"))) || (has("from") && has("value"))
    };
    (!items.is_empty() && items.iter().all(is_message)).then_some(items)
}

/// Whether a list of messages names a speaker by a word of a dialect, which is read as another.
pub(crate) fn speaks_dialect(items: &[Value]) -> bool {
    let word = |item: &Value| item.get("role").or_else(|| item.get("from")).and_then(Value::as_str).map(str::to_owned);
    items.iter().filter_map(word).any(|word| role_of(&word).is_some_and(|role| role.name() != word))
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
    let role = role_of(&role).ok_or_else(|| Role::unknown(&role))?;
    let said = fields.shift_remove(content_name);
    let silent = said.is_none() || said == Some(Value::Null);
    let mut content = content(content_name, said, &fields)?;
    weigh(&mut fields)?;
    fields.retain(|_, value| !value.is_null());
    if silent {
        // To the template a turn that says nothing is another than one that says the empty text.
        fields.insert("content".to_owned(), Value::Null);
    }
    if role == Role::Calls && !fields.contains_key("tool_calls") {
        fields.insert("tool_calls".to_owned(), calls(&content)?);
        content.clear();
    }
    Ok(Message { role: role.name().to_owned(), content, extra: fields })
}

/// Leaves a weight of 0, and nothing for one of 1, which is the rule; `train` is axolotl's name for it.
fn weigh(fields: &mut Map<String, Value>) -> Result<(), String> {
    for name in [WEIGHT, "train"] {
        let learned = match fields.shift_remove(name) {
            None | Some(Value::Null) => continue,
            Some(Value::Bool(learned)) => learned,
            Some(Value::Number(weight)) if [0.0, 1.0].map(Some).contains(&weight.as_f64()) => {
                weight.as_f64() == Some(1.0)
            }
            Some(other) => return Err(format!("`{name}` must be 0 or 1 (learned from or not), found {other}")),
        };
        if !learned {
            fields.insert(WEIGHT.to_owned(), Value::from(0));
        }
    }
    Ok(())
}

/// The calls that a turn of LLaMA-Factory's `function_call` holds as JSON: an object with name and arguments, or a list.
fn calls(text: &str) -> Result<Value, String> {
    let wrong = || "a turn that calls functions must hold an object with `name` and `arguments` in JSON".to_owned();
    let items = match serde_json::from_str(text) {
        Ok(Value::Array(items)) => items,
        Ok(item) => vec![item],
        Err(_) => return Err(wrong()),
    };
    let call = |item: Value| match item {
        Value::Object(mut fields) if fields.get("name").is_some_and(Value::is_string) => {
            fields.entry("arguments").or_insert_with(|| json!({}));
            Ok(json!({ "type": "function", "function": fields }))
        }
        _ => Err(wrong()),
    };
    items.into_iter().map(call).collect::<Result<_, _>>()
}

/// A message's text: a string, or parts that are all text. A turn that only calls tools may have none.
fn content(name: &str, value: Option<Value>, others: &Map<String, Value>) -> Result<String, String> {
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(parts)) => parts.into_iter().map(text_part).collect(),
        None | Some(Value::Null) if others.get("tool_calls").is_some_and(|calls| !calls.is_null()) => Ok(String::new()),
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
        let turns = Content::from(vec![Message::new("user", "hi"), Message::new("assistant", "ho")]);
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
    fn weights_are_kept_where_nothing_is_to_be_learned() {
        for (field, left) in [("weight", json!(0)), ("weight", json!(0.0)), ("train", json!(false))] {
            let Content::Messages(turns) = read(json!([{"role": "assistant", "content": "a", field: left}])).unwrap()
            else {
                panic!("messages")
            };
            assert!(!turns[0].is_learned() && turns[0].is_assistant());
            assert_eq!(turns[0].extra.len(), 1);
        }
        let learned = read(json!([{"role": "assistant", "content": "a", "weight": 1, "train": null}])).unwrap();
        assert_eq!(learned, Content::from(vec![Message::new("assistant", "a")]));
    }

    #[test]
    fn dialects_become_the_roles_of_templates() {
        let calls = json!([{"from": "human", "value": "q"},
            {"from": "function_call", "value": "[{\"name\": \"f\"}, {\"name\": \"g\", \"arguments\": {\"x\": 1}}]"},
            {"from": "observation", "value": "r"}, {"role": "bot", "content": "a"}]);
        let Content::Messages(turns) = read(calls).unwrap() else { panic!("messages") };
        let roles: Vec<&str> = turns.iter().map(|message| message.role.as_str()).collect();
        assert_eq!(roles, ["user", "assistant", "tool", "assistant"]);
        let expected = json!([{"type": "function", "function": {"name": "f", "arguments": {}}},
            {"type": "function", "function": {"name": "g", "arguments": {"x": 1}}}]);
        assert_eq!((turns[1].content.as_str(), &turns[1].extra["tool_calls"]), ("", &expected));
    }

    #[test]
    fn tools_go_with_the_conversation_and_come_back() {
        let tool = json!({"type": "function", "function": {"name": "clock"}});
        let turns = Turns {
            tools: Some(vec![tool.clone()]),
            variables: Map::from_iter([("enable_thinking".to_owned(), json!(false))]),
            ..vec![Message::new("user", "hi")].into()
        };
        let content = Content::Messages(turns);
        assert_eq!(read(content.to_value()).unwrap(), content);
        for (value, found) in [
            (json!([tool]), Some(vec![tool.clone()])),
            (json!(format!("[{tool}]")), Some(vec![tool.clone()])),
            (json!([tool.to_string()]), Some(vec![tool.clone()])),
            (json!([]), None),
            (json!(" "), None),
        ] {
            assert_eq!(tools(value).unwrap(), found);
        }
        for value in [json!(3), json!("clock"), json!([3])] {
            assert!(tools(value.clone()).unwrap_err().contains("`tools` must be a list of objects"), "{value}");
        }
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
            (json!([{"from": "narrator", "value": "x"}]), "unknown role \"narrator\""),
            (json!([{"role": "narrator", "content": "x"}]), "expected system, developer, user, assistant, tool"),
            (json!([{"role": "user", "content": "x", "weight": 0.5}]), "`weight` must be 0 or 1"),
            (json!([{"from": "function_call", "value": "f()"}]), "`name` and `arguments`"),
            (json!([{"role": "assistant", "content": null, "tool_calls": null}]), "found null"),
            (json!([{"role": "user", "content": [{"type": "image_url"}]}]), "\"image_url\""),
        ] {
            let error = read(value).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    }
}
