//! Takes typed columns out of a record.

use std::collections::BTreeSet;

use groma_chat::{Message, Turns};
use serde_json::{Map, Value};

use crate::extract::extract_prompt;
use crate::message::{Content, VARIABLES, messages_in_text, object_or_text, speaks_dialect, tools};
use crate::strict_json::{kind_of, unreadable};
use crate::transcript::split_pair;

/// What was made of a record, or why nothing could be.
pub(crate) type Made<T> = std::result::Result<T, String>;

/// Columns that say a part of what is asked or learned, in one public format or another. One that a layout does not read
/// makes a bad row: a model would learn from another text than its user thinks.
const SPEAKING: &[&str] = &[
    "system",
    "system_prompt",
    "instruction",
    "input",
    "history",
    "question",
    "prompt",
    "messages",
    "conversations",
    "tools",
    "functions",
    VARIABLES,
    "weight",
];

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
    Err(format!("`{a}` has {} but `{b}` has {b_length}", groma_run::counted(a_length, "entry")))
}

/// Takes typed columns out of one record; what is left are its further columns.
#[derive(Default)]
pub(crate) struct RowReader {
    pub(crate) fields: Map<String, Value>,
    /// Whether numbers and booleans come as strings.
    pub(crate) untyped: bool,
    /// Whether fields that are not there come as null, as in columnar files, where all rows have the same.
    pub(crate) filled: bool,
    /// What was done with the row that its reader should know of.
    pub(crate) notes: BTreeSet<String>,
    /// Whether strings are turns: the prompt was put together from columns that say who speaks.
    pub(crate) turns: bool,
}

impl RowReader {
    pub(crate) fn take(&mut self, name: &str) -> Made<Value> {
        match self.optional(name)? {
            Some(value) => Ok(value),
            None if self.fields.contains_key(name) => Err(format!("`{name}` is null")),
            None => Err(format!("no `{name}`")),
        }
    }

    /// The value of a column, taken away where there is one.
    fn optional(&mut self, name: &str) -> Made<Option<Value>> {
        match self.fields.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(value) => {
                if let Some(what) = unreadable(value) {
                    return Err(format!("`{name}` holds {what}"));
                }
            }
        }
        Ok(self.fields.shift_remove(name))
    }

    /// The string in a column that may be missing or empty.
    pub(crate) fn optional_string(&mut self, name: &str) -> Made<Option<String>> {
        match self.optional(name)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
            Some(other) => Err(format!("`{name}` must be a string, found {}", kind_of(&other))),
        }
    }

    pub(crate) fn note(&mut self, what: impl Into<String>) {
        self.notes.insert(what.into());
    }

    pub(crate) fn content(&mut self, name: &str) -> Made<Content> {
        let value = self.take(name)?;
        let content = self.read(name, value)?;
        if content.is_empty() { Err(format!("`{name}` is empty")) } else { Ok(content) }
    }

    /// A string, or messages: a list, one alone, or such a list as JSON in text.
    fn read(&mut self, name: &str, value: Value) -> Made<Content> {
        let items = match value {
            Value::String(text) => match messages_in_text(&text) {
                Some(items) => {
                    self.note(format!("`{name}` was read as messages: it holds them as JSON in text"));
                    items
                }
                None => return Ok(Content::Text(text)),
            },
            Value::Object(fields) if fields.contains_key("role") || fields.contains_key("from") => {
                vec![Value::Object(fields)]
            }
            Value::Array(items) => items,
            other => return Content::from_value(name, other),
        };
        if speaks_dialect(&items) {
            self.note("speakers such as human, gpt, observation were read as user, assistant, tool");
        }
        let mut items = Value::Array(items);
        if self.filled {
            drop_nulls(&mut items);
        }
        Content::from_value(name, items)
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

    /// The prompt in the column `prompt`: messages, or a string, which is plain text unless other columns say that it is a
    /// turn of a conversation.
    pub(crate) fn prompt(&mut self) -> Made<Content> {
        let content = self.content("prompt")?;
        self.with_what_is_beside(content)
    }

    /// The user's turn in a column, with that in another (if it says something) on a line below.
    pub(crate) fn asked(&mut self, name: &str, below: Option<&str>) -> Made<Content> {
        let mut question = self.string(name)?;
        if question.is_empty() {
            return Err(format!("`{name}` is empty"));
        }
        if let Some(input) = below.map(|below| self.optional_string(below)).transpose()?.flatten() {
            question = format!("{question}\n{input}");
        }
        self.turns = true;
        self.with_what_is_beside(Content::Text(question))
    }

    /// The conversation in a column.
    pub(crate) fn conversation(&mut self, name: &str) -> Made<Content> {
        match self.content(name)? {
            Content::Text(_) => Err(format!("`{name}` must be a list of messages, or such a list as JSON in text")),
            turns => {
                self.turns = true;
                self.with_what_is_beside(turns)
            }
        }
    }

    /// A prompt or conversation behind the turns, and with the tools, that stand in columns of their own.
    fn with_what_is_beside(&mut self, content: Content) -> Made<Content> {
        let (system, history) = (self.system()?, self.history()?);
        let tools = self.tools()?;
        let variables = self.optional(VARIABLES)?.map(object_or_text).transpose()?.unwrap_or_default();
        self.turns |= system.is_some() || !history.is_empty() || tools.is_some() || !variables.is_empty();
        let mut turns = match content {
            Content::Text(text) if !self.turns => return Ok(Content::Text(text)),
            Content::Text(text) => Turns::from(vec![Message::new("user", text)]),
            Content::Messages(turns) => turns,
        };
        let mut earlier = Vec::new();
        if let Some(system) = system {
            match turns.first() {
                Some(first) if first.role == "system" && first.content == system => {}
                Some(first) if first.role == "system" => {
                    return Err("the system turn of the row is another than its column `system`".to_owned());
                }
                _ => earlier.push(Message::new("system", system)),
            }
        }
        earlier.extend(history);
        turns.splice(0..0, earlier);
        turns.tools = tools.or(turns.tools.take());
        turns.variables.extend(variables);
        Ok(Content::Messages(turns))
    }

    fn system(&mut self) -> Made<Option<String>> {
        for name in ["system", "system_prompt"] {
            if let Some(system) = self.optional_string(name)? {
                self.note(format!("`{name}` became the system turn"));
                return Ok(Some(system));
            }
        }
        Ok(None)
    }

    /// Earlier turns: messages, or pairs of question and answer.
    fn history(&mut self) -> Made<Vec<Message>> {
        let wrong = || "`history` must be a list of [question, answer] pairs, or of messages".to_owned();
        let items = match self.optional("history")? {
            None => return Ok(Vec::new()),
            Some(Value::String(text)) if text.is_empty() => return Ok(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(_) => return Err(wrong()),
        };
        if items.is_empty() {
            return Ok(Vec::new());
        }
        self.note("`history` became earlier turns");
        if items.iter().all(Value::is_object) {
            let Content::Messages(turns) = self.read("history", Value::Array(items))? else { return Err(wrong()) };
            return Ok(turns.messages);
        }
        let pair = |item: Value| match item.as_array().map(Vec::as_slice) {
            Some([Value::String(question), Value::String(answer)]) => {
                Ok([Message::new("user", question), Message::new("assistant", answer)])
            }
            _ => Err(wrong()),
        };
        Ok(items.into_iter().map(pair).collect::<Made<Vec<_>>>()?.into_iter().flatten().collect())
    }

    /// Tools; OpenAI's older `functions` are described without their type.
    fn tools(&mut self) -> Made<Option<Vec<Value>>> {
        let (column, found) = match self.optional("tools")? {
            Some(value) => ("tools", Some(value)),
            None => ("functions", self.optional("functions")?),
        };
        let Some(mut found) = found else { return Ok(None) };
        if self.filled {
            drop_nulls(&mut found);
        }
        let Some(tools) = tools(found)? else { return Ok(None) };
        self.note(format!("`{column}` go to the chat template"));
        let typed = |tool: Value| match column {
            "functions" => serde_json::json!({ "type": "function", "function": tool }),
            _ => tool,
        };
        Ok(Some(tools.into_iter().map(typed).collect()))
    }

    /// An answer to a prompt: text, or messages with at least one turn of the assistant that says something. Messages that
    /// begin with those of the prompt lose them.
    pub(crate) fn answer(&mut self, name: &str, prompt: &Content) -> Made<Content> {
        let content = self.content(name)?;
        let (answer, repeated) = without_prompt(prompt, self.spoken(content));
        if repeated {
            self.note(format!("`{name}` begins with the prompt, which was taken off"));
        }
        checked_answer(name, &answer)?;
        Ok(answer)
    }

    /// A string as the assistant's turn, where strings are turns.
    fn spoken(&self, content: Content) -> Content {
        match content {
            Content::Text(text) if self.turns => vec![Message::new("assistant", text)].into(),
            content => content,
        }
    }

    /// The answers of a pair to a prompt that other columns name.
    pub(crate) fn pair(&mut self, prompt: Content) -> Made<(Content, Content, Content)> {
        let (chosen, rejected) = (self.content("chosen")?, self.content("rejected")?);
        let (chosen, rejected) = (self.spoken(chosen), self.spoken(rejected));
        same_sides(&chosen, &rejected)?;
        if let (Content::Text(question), Content::Messages(turns)) = (&prompt, &chosen) {
            // UltraFeedback's layout: a string prompt beside whole conversations, which begin with it.
            if turns.iter().all(|message| message.role == "assistant" || message.role == "tool") {
                return checked_pair((vec![Message::new("user", question)].into(), chosen, rejected));
            }
            let parts = extract_prompt(&chosen, &rejected)?;
            let Content::Messages(shared) = &parts.0 else { return checked_pair(parts) };
            if !shared.iter().any(|message| message.content.trim() == question.trim()) {
                return Err("`prompt` is none of the turns that `chosen` and `rejected` begin with".to_owned());
            }
            return checked_pair(parts);
        }
        if prompt.is_conversational() != chosen.is_conversational() {
            return Err("`prompt` is a list of messages, so `chosen` and `rejected` must be, too".to_owned());
        }
        let ((chosen, repeated), (rejected, also)) =
            (without_prompt(&prompt, chosen), without_prompt(&prompt, rejected));
        match (repeated, also) {
            (true, true) => self.note("`chosen` and `rejected` begin with the prompt, which was taken off"),
            (true, false) => return Err("`chosen` begins with the prompt, but `rejected` does not".to_owned()),
            (false, true) => return Err("`rejected` begins with the prompt, but `chosen` does not".to_owned()),
            (false, false) => {}
        }
        checked_pair((prompt, chosen, rejected))
    }

    /// The parts of a pair without a prompt of its own: what both sides begin with.
    pub(crate) fn pair_that_shares(&mut self) -> Made<(Content, Content, Content)> {
        let (chosen, rejected) = (self.content("chosen")?, self.content("rejected")?);
        same_sides(&chosen, &rejected)?;
        let (prompt, chosen, rejected) = extract_prompt(&chosen, &rejected)?;
        self.note("the prompt is what `chosen` and `rejected` have in common at their beginning");
        let prompt = if prompt.is_conversational() { self.with_what_is_beside(prompt)? } else { prompt };
        checked_pair((prompt, chosen, rejected))
    }

    pub(crate) fn transcripts(&mut self) -> Made<(Content, Content, Content)> {
        let (chosen, rejected) = (self.string("chosen")?, self.string("rejected")?);
        let (prompt, chosen, rejected) = split_pair(&chosen, &rejected)?;
        checked_pair((prompt.into(), vec![chosen].into(), vec![rejected].into()))
    }

    pub(crate) fn answers(&mut self, prompt: &Content) -> Made<Vec<Content>> {
        let items = self.list("completions")?;
        let mut answers = Vec::with_capacity(items.len());
        for item in items {
            let content = self.read("completions", item)?;
            let (answer, _) = without_prompt(prompt, self.spoken(content));
            checked_answer("completions", &answer)?;
            answers.push(answer);
        }
        Ok(answers)
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

    pub(crate) fn number(&mut self, name: &str) -> Made<f64> {
        let value = self.take(name)?;
        as_number(name, &value, self.untyped)
    }

    pub(crate) fn numbers(&mut self, name: &str) -> Made<Vec<f64>> {
        self.list(name)?.iter().map(|value| as_number(name, value, false)).collect()
    }

    pub(crate) fn optional_number(&mut self, name: &str) -> Made<Option<f64>> {
        let untyped = self.untyped;
        match self.optional(name)? {
            None => Ok(None),
            Some(Value::String(text)) if untyped && text.trim().is_empty() => Ok(None),
            Some(value) => as_number(name, &value, untyped).map(Some),
        }
    }

    /// Further columns must say nothing of what is asked or learned; those that repeat it are left aside.
    pub(crate) fn finish(&mut self, layout: &str, repeated: &[&str]) -> Made<()> {
        for name in SPEAKING {
            if !self.fields.get(*name).is_some_and(says_something) {
                continue;
            }
            if repeated.contains(name) {
                self.note(format!("`{name}` was left aside"));
                continue;
            }
            return Err(format!(
                "`{name}` says a part of what is asked or learned, and the layout `{layout}` does not read it; drop or \
                 rename the column, or name another layout"
            ));
        }
        self.fields.retain(|_, value| unreadable(value).is_none());
        Ok(())
    }
}

/// Whether a value is not empty.
fn says_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

/// Takes nulls out of all objects in a value.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // A turn that only calls tools has no content, and says so.
            fields.retain(|name, field| !field.is_null() || name == "content");
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}

/// An answer without the messages of the prompt, and whether it began with them, be it without their system turns.
fn without_prompt(prompt: &Content, answer: Content) -> (Content, bool) {
    let (Content::Messages(prompt), Content::Messages(turns)) = (prompt, &answer) else { return (answer, false) };
    let systems = prompt.iter().take_while(|message| message.role == "system").count();
    for asked in [&prompt[..], &prompt[systems..]] {
        if !asked.is_empty() && turns.starts_with(asked) {
            return (turns[asked.len()..].to_vec().into(), true);
        }
    }
    (answer, false)
}

fn same_sides(chosen: &Content, rejected: &Content) -> Made<()> {
    if chosen.is_conversational() == rejected.is_conversational() {
        return Ok(());
    }
    Err("`chosen` and `rejected` must both be strings or both be lists of messages".to_owned())
}

fn checked_pair(parts: (Content, Content, Content)) -> Made<(Content, Content, Content)> {
    checked_answer("chosen", &parts.1)?;
    checked_answer("rejected", &parts.2)?;
    Ok(parts)
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
        _ => Err(format!(
            "`{name}` must hold finite numbers, found {}",
            unreadable(value).map_or_else(|| shown(value), str::to_owned)
        )),
    }
}
