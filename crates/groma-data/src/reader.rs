//! Takes typed columns out of a record.

use groma_chat::Message;
use serde_json::{Map, Value};

use crate::extract::extract_prompt;
use crate::message::Content;
use crate::strict_json::kind_of;
use crate::transcript::split_pair;

/// What was made of a record, or why nothing could be.
pub(crate) type Made<T> = std::result::Result<T, String>;

/// The start of a value, for the excerpt of a bad row.
pub(crate) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().take(80).collect(),
        other => other.to_string().chars().take(80).collect(),
    }
}

pub(crate) fn same_form(prompt: &Content, name: &str, answer: &Content) -> Made<()> {
    if prompt.is_conversational() == answer.is_conversational() {
        return Ok(());
    }
    Err(format!("`prompt` and `{name}` must both be strings or both be lists of messages"))
}

pub(crate) fn same_length(a: &str, a_length: usize, b: &str, b_length: usize) -> Made<()> {
    if a_length == b_length {
        return Ok(());
    }
    Err(format!("`{a}` has {a_length} entries but `{b}` has {b_length}"))
}

/// Takes typed columns out of one record; what is left are its further columns.
pub(crate) struct RowReader {
    pub(crate) fields: Map<String, Value>,
    /// Whether numbers and booleans come as strings.
    pub(crate) untyped: bool,
}

impl RowReader {
    fn take(&mut self, name: &str) -> Made<Value> {
        match self.fields.shift_remove(name) {
            None => Err(format!("no `{name}`")),
            Some(Value::Null) => Err(format!("`{name}` is null")),
            Some(value) => Ok(value),
        }
    }

    pub(crate) fn content(&mut self, name: &str) -> Made<Content> {
        let value = self.take(name)?;
        let content = Content::from_value(name, value)?;
        if content.is_empty() { Err(format!("`{name}` is empty")) } else { Ok(content) }
    }

    pub(crate) fn string(&mut self, name: &str) -> Made<String> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            other => Err(format!("`{name}` must be a string, found {}", kind_of(&other))),
        }
    }

    pub(crate) fn list(&mut self, name: &str) -> Made<Vec<Value>> {
        match self.take(name)? {
            Value::Array(items) => Ok(items),
            other => Err(format!("`{name}` must be a list, found {}", kind_of(&other))),
        }
    }

    pub(crate) fn prompt(&mut self) -> Made<Content> {
        self.content("prompt")
    }

    /// An answer: text, or messages with at least one turn of the assistant that says something.
    pub(crate) fn answer(&mut self, name: &str) -> Made<Content> {
        let content = self.content(name)?;
        checked_answer(name, &content)?;
        Ok(content)
    }

    pub(crate) fn text_to_model(&mut self) -> Made<Content> {
        let name = ["text", "messages", "conversations"].into_iter().find(|name| self.fields.contains_key(*name));
        let name = name.ok_or_else(|| "no `text` or `messages`".to_owned())?;
        let content = self.content(name)?;
        match (name, content.is_conversational()) {
            ("text", true) => Err("`text` must be a string, found a list".to_owned()),
            ("messages" | "conversations", false) => Err(format!("`{name}` must be a list of messages")),
            _ => Ok(content),
        }
    }

    /// The prompt, or Alpaca's instruction with its input on lines below.
    pub(crate) fn prompt_or_instruction(&mut self) -> Made<Content> {
        if self.fields.contains_key("prompt") || !self.fields.contains_key("instruction") {
            return self.prompt();
        }
        let instruction = self.string("instruction")?;
        let input = match self.fields.shift_remove("input") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(input)) => input,
            Some(other) => return Err(format!("`input` must be a string, found {}", kind_of(&other))),
        };
        match (instruction.is_empty(), input.is_empty()) {
            (true, _) => Err("`instruction` is empty".to_owned()),
            (false, true) => Ok(Content::Text(instruction)),
            (false, false) => Ok(Content::Text(format!("{instruction}\n\n{input}"))),
        }
    }

    /// The parts of a pair. A string prompt beside conversations is left aside: they begin with it.
    pub(crate) fn pair(&mut self, named: Option<Content>) -> Made<(Content, Content, Content)> {
        let (chosen, rejected) = (self.content("chosen")?, self.content("rejected")?);
        if chosen.is_conversational() != rejected.is_conversational() {
            return Err("`chosen` and `rejected` must both be strings or both be lists of messages".to_owned());
        }
        let parts = match named {
            Some(prompt) if prompt.is_conversational() == chosen.is_conversational() => (prompt, chosen, rejected),
            Some(prompt) if prompt.is_conversational() => {
                return Err("`prompt` is a list of messages, so `chosen` and `rejected` must be, too".to_owned());
            }
            _ => extract_prompt(&chosen, &rejected)?,
        };
        checked_answer("chosen", &parts.1)?;
        checked_answer("rejected", &parts.2)?;
        Ok(parts)
    }

    pub(crate) fn transcripts(&mut self) -> Made<(Content, Content, Content)> {
        let (chosen, rejected) = (self.string("chosen")?, self.string("rejected")?);
        let (prompt, chosen, rejected) = split_pair(&chosen, &rejected)?;
        let answer = |message: Message| Content::Messages(vec![message]);
        let (chosen, rejected) = (answer(chosen), answer(rejected));
        checked_answer("chosen", &chosen)?;
        checked_answer("rejected", &rejected)?;
        Ok((Content::Messages(prompt), chosen, rejected))
    }

    pub(crate) fn answers(&mut self) -> Made<Vec<Content>> {
        let items = self.list("completions")?;
        let read = |item| {
            let answer = Content::from_value("completions", item)?;
            checked_answer("completions", &answer)?;
            Ok(answer)
        };
        items.into_iter().map(read).collect()
    }

    pub(crate) fn steps(&mut self) -> Made<Vec<String>> {
        let read = |item| match item {
            Value::String(step) if step.is_empty() => Err("`completions` holds an empty step".to_owned()),
            Value::String(step) => Ok(step),
            other => Err(format!("`completions` must hold strings, found {}", kind_of(&other))),
        };
        self.list("completions")?.into_iter().map(read).collect()
    }

    pub(crate) fn flag(&mut self, name: &str) -> Made<bool> {
        let value = self.take(name)?;
        as_flag(name, &value, self.untyped)
    }

    pub(crate) fn flags(&mut self, name: &str) -> Made<Vec<bool>> {
        self.list(name)?.iter().map(|value| as_flag(name, value, false)).collect()
    }

    pub(crate) fn numbers(&mut self, name: &str) -> Made<Vec<f64>> {
        self.list(name)?.iter().map(|value| as_number(name, value, false)).collect()
    }

    pub(crate) fn optional_number(&mut self, name: &str) -> Made<Option<f64>> {
        let untyped = self.untyped;
        match self.fields.shift_remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if untyped && text.trim().is_empty() => Ok(None),
            Some(value) => as_number(name, &value, untyped).map(Some),
        }
    }
}

fn checked_answer(name: &str, answer: &Content) -> Made<()> {
    match answer {
        Content::Text(text) if text.is_empty() => Err(format!("`{name}` is empty")),
        Content::Text(_) => Ok(()),
        Content::Messages(messages) => {
            let mut said = messages.iter().filter(|message| message.role == "assistant").peekable();
            if said.peek().is_none() {
                return Err(format!("`{name}` holds no turn of the assistant"));
            }
            let speaks = |message: &Message| !message.content.is_empty() || message.extra.contains_key("tool_calls");
            if said.any(speaks) { Ok(()) } else { Err(format!("`{name}` is empty: its assistant says nothing")) }
        }
    }
}

/// A boolean; a number is none, so that a mask such as -100 never becomes `true`.
fn as_flag(name: &str, value: &Value, untyped: bool) -> Made<bool> {
    match value {
        Value::Bool(flag) => Ok(*flag),
        Value::String(text) if untyped => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(true),
            "false" | "0" => Ok(false),
            _ => Err(format!("`{name}` must be true or false, found {text:?}")),
        },
        other => Err(format!("`{name}` must be true or false, found {}", kind_of(other))),
    }
}

fn as_number(name: &str, value: &Value, untyped: bool) -> Made<f64> {
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) if untyped => text.trim().parse().ok(),
        _ => None,
    };
    match number {
        Some(number) if number.is_finite() => Ok(number),
        _ => Err(format!("`{name}` must hold finite numbers, found {}", shown(value))),
    }
}
