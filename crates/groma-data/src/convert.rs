//! From records to rows with a meaning.
//!
//! A row that does not have what its shape needs is a bad row: named with its place, counted, and handled as the policy
//! says. Nothing is repaired by a guess.

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::extract::extract_prompt;
use crate::location::Location;
use crate::message::Content;
use crate::problem::OnBadRow;
use crate::shape::{Shape, column_names};
use crate::strict_json::kind_of;
use crate::table::{Record, Table, unusable};
use crate::transcript::split_pair;
use crate::typed::{Completion, Labelled, LanguageModelling, Preference, Prompt, Ranked, Rows, Stepwise};
use groma_chat::Message;

/// How records become rows.
#[derive(Clone, Debug, Default)]
pub struct ShapeOptions {
    /// The shape, where its detection is not wanted.
    pub shape: Option<Shape>,
    /// What a row that does not fit does; the share counts what reading left out, too.
    pub on_bad_row: OnBadRow,
}

type Made<T> = std::result::Result<T, String>;

impl Table {
    /// Text to model, from the language-modelling shape.
    ///
    /// # Errors
    /// As for [`Table::into_preferences`].
    pub fn into_language_modelling(self, options: &ShapeOptions) -> Result<Rows<LanguageModelling>> {
        self.into_rows(options, &[Shape::LanguageModelling], |mut row, _| {
            let content = row.text_to_model()?;
            Ok(LanguageModelling { content, location: row.location, other: row.fields })
        })
    }

    /// Prompts, from any shape that names a prompt.
    ///
    /// # Errors
    /// As for [`Table::into_preferences`].
    pub fn into_prompts(self, options: &ShapeOptions) -> Result<Rows<Prompt>> {
        use Shape::{Labelled, Preference, PromptCompletion, PromptOnly, Ranked, Stepwise};
        let accepted = [PromptOnly, PromptCompletion, Preference, Labelled, Ranked, Stepwise];
        self.into_rows(options, &accepted, |mut row, shape| {
            let prompt = if shape == PromptCompletion { row.prompt_or_instruction()? } else { row.prompt()? };
            Ok(Prompt { prompt, location: row.location, other: row.fields })
        })
    }

    /// Prompts with one answer, from the prompt-completion shape.
    ///
    /// # Errors
    /// As for [`Table::into_preferences`].
    pub fn into_completions(self, options: &ShapeOptions) -> Result<Rows<Completion>> {
        self.into_rows(options, &[Shape::PromptCompletion], |mut row, _| {
            let prompt = row.prompt_or_instruction()?;
            let name = if row.fields.contains_key("completion") { "completion" } else { "output" };
            let completion = row.answer(name)?;
            same_form(&prompt, name, &completion)?;
            Ok(Completion { prompt, completion, location: row.location, other: row.fields })
        })
    }

    /// Pairs of answers, from the three preference shapes. Identical answers are a bad row.
    ///
    /// # Errors
    /// [`Error::UnknownShape`] or [`Error::WrongShape`] if the columns do not make such rows, [`Error::BadRows`] or
    /// [`Error::TooManyBadRows`] beyond the policy, [`Error::Empty`] if no row is left.
    pub fn into_preferences(self, options: &ShapeOptions) -> Result<Rows<Preference>> {
        let accepted = [Shape::Preference, Shape::ImplicitPreference, Shape::TranscriptPreference];
        self.into_rows(options, &accepted, |mut row, shape| {
            let margin = row.optional_number("margin")?;
            let (prompt, chosen, rejected) =
                if shape == Shape::TranscriptPreference { row.transcripts()? } else { row.pair(shape)? };
            if chosen == rejected {
                return Err("`chosen` and `rejected` are identical".to_owned());
            }
            Ok(Preference { prompt, chosen, rejected, margin, location: row.location, other: row.fields })
        })
    }

    /// Answers that are wanted or not, from the labelled shape.
    ///
    /// # Errors
    /// As for [`Table::into_preferences`].
    pub fn into_labelled(self, options: &ShapeOptions) -> Result<Rows<Labelled>> {
        self.into_rows(options, &[Shape::Labelled], |mut row, _| {
            let (prompt, completion) = (row.prompt()?, row.answer("completion")?);
            same_form(&prompt, "completion", &completion)?;
            let name = if row.fields.contains_key("label") { "label" } else { "kto_tag" };
            let label = row.flag(name)?;
            Ok(Labelled { prompt, completion, label, location: row.location, other: row.fields })
        })
    }

    /// Several scored answers, from the ranked shape.
    ///
    /// # Errors
    /// As for [`Table::into_preferences`].
    pub fn into_ranked(self, options: &ShapeOptions) -> Result<Rows<Ranked>> {
        self.into_rows(options, &[Shape::Ranked], |mut row, _| {
            let prompt = row.prompt()?;
            let completions = row.answers()?;
            completions.iter().try_for_each(|answer| same_form(&prompt, "completions", answer))?;
            let (name, sign) = if row.fields.contains_key("scores") { ("scores", 1.0) } else { ("ranks", -1.0) };
            let scores: Vec<f64> = row.numbers(name)?.into_iter().map(|score| sign * score).collect();
            same_length("completions", completions.len(), name, scores.len())?;
            if completions.len() < 2 {
                return Err("`completions` must hold at least two answers to rank".to_owned());
            }
            Ok(Ranked { prompt, completions, scores, location: row.location, other: row.fields })
        })
    }

    /// Answers in judged steps, from the stepwise shape.
    ///
    /// # Errors
    /// As for [`Table::into_preferences`].
    pub fn into_stepwise(self, options: &ShapeOptions) -> Result<Rows<Stepwise>> {
        self.into_rows(options, &[Shape::Stepwise], |mut row, _| {
            let prompt = row.string("prompt")?;
            let completions = row.steps()?;
            let labels = row.flags("labels")?;
            same_length("completions", completions.len(), "labels", labels.len())?;
            if prompt.is_empty() || completions.is_empty() {
                return Err("`prompt` and `completions` must not be empty".to_owned());
            }
            Ok(Stepwise { prompt, completions, labels, location: row.location, other: row.fields })
        })
    }

    fn into_rows<T>(
        self,
        options: &ShapeOptions,
        accepted: &[Shape],
        make: impl Fn(RowReader, Shape) -> Made<T>,
    ) -> Result<Rows<T>> {
        let shape = self.accepted_shape(options.shape, accepted)?;
        let untyped = self.format.is_untyped();
        let Table { file, records, mut bad, .. } = self;
        let mut rows = Vec::with_capacity(records.len());
        for Record { location, fields } in records {
            let shown = fields.iter().find(|(_, value)| !value.is_null()).map(|(_, value)| shown(value));
            let reader = RowReader { location: location.clone(), fields, untyped };
            match make(reader, shape) {
                Ok(row) => rows.push(row),
                Err(why) => bad.push(unusable(location, &shown.unwrap_or_default(), why)),
            }
        }
        bad.check(options.on_bad_row)?;
        if rows.is_empty() {
            return Err(Error::Empty { file: file.to_string() });
        }
        Ok(Rows { rows, shape, bad })
    }

    fn accepted_shape(&self, wanted: Option<Shape>, accepted: &[Shape]) -> Result<Shape> {
        let shape = match wanted {
            Some(shape) => shape,
            None => Shape::detect(self)?,
        };
        if accepted.contains(&shape) {
            return Ok(shape);
        }
        let needed: Vec<&str> = accepted.iter().map(|shape| shape.name()).collect();
        Err(Error::WrongShape {
            file: self.file.to_string(),
            found: shape.to_string(),
            columns: column_names(self),
            needed: needed.join(" or "),
        })
    }
}

/// The start of a value, for the excerpt of a bad row.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.chars().take(80).collect(),
        other => other.to_string().chars().take(80).collect(),
    }
}

fn same_form(prompt: &Content, name: &str, answer: &Content) -> Made<()> {
    if prompt.is_conversational() == answer.is_conversational() {
        return Ok(());
    }
    Err(format!("`prompt` and `{name}` must both be strings or both be lists of messages"))
}

fn same_length(a: &str, a_length: usize, b: &str, b_length: usize) -> Made<()> {
    if a_length == b_length {
        return Ok(());
    }
    Err(format!("`{a}` has {a_length} entries but `{b}` has {b_length}"))
}

/// Takes typed columns out of one record; what is left are its further columns.
struct RowReader {
    location: Location,
    fields: Map<String, Value>,
    /// Whether numbers and booleans come as strings.
    untyped: bool,
}

impl RowReader {
    fn take(&mut self, name: &str) -> Made<Value> {
        match self.fields.shift_remove(name) {
            None => Err(format!("no `{name}`")),
            Some(Value::Null) => Err(format!("`{name}` is null")),
            Some(value) => Ok(value),
        }
    }

    fn content(&mut self, name: &str) -> Made<Content> {
        let value = self.take(name)?;
        let content = Content::from_value(name, value)?;
        if content.is_empty() { Err(format!("`{name}` is empty")) } else { Ok(content) }
    }

    fn string(&mut self, name: &str) -> Made<String> {
        match self.take(name)? {
            Value::String(text) => Ok(text),
            other => Err(format!("`{name}` must be a string, found {}", kind_of(&other))),
        }
    }

    fn list(&mut self, name: &str) -> Made<Vec<Value>> {
        match self.take(name)? {
            Value::Array(items) => Ok(items),
            other => Err(format!("`{name}` must be a list, found {}", kind_of(&other))),
        }
    }

    fn prompt(&mut self) -> Made<Content> {
        self.content("prompt")
    }

    /// An answer: text, or messages with at least one turn of the assistant that says something.
    fn answer(&mut self, name: &str) -> Made<Content> {
        let content = self.content(name)?;
        checked_answer(name, &content)?;
        Ok(content)
    }

    fn text_to_model(&mut self) -> Made<Content> {
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
    fn prompt_or_instruction(&mut self) -> Made<Content> {
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
    fn pair(&mut self, shape: Shape) -> Made<(Content, Content, Content)> {
        let named = if shape == Shape::Preference { Some(self.prompt()?) } else { None };
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

    fn transcripts(&mut self) -> Made<(Content, Content, Content)> {
        let (chosen, rejected) = (self.string("chosen")?, self.string("rejected")?);
        let (prompt, chosen, rejected) = split_pair(&chosen, &rejected)?;
        let answer = |message: Message| Content::Messages(vec![message]);
        let (chosen, rejected) = (answer(chosen), answer(rejected));
        checked_answer("chosen", &chosen)?;
        checked_answer("rejected", &rejected)?;
        Ok((Content::Messages(prompt), chosen, rejected))
    }

    fn answers(&mut self) -> Made<Vec<Content>> {
        let items = self.list("completions")?;
        let read = |item| {
            let answer = Content::from_value("completions", item)?;
            checked_answer("completions", &answer)?;
            Ok(answer)
        };
        items.into_iter().map(read).collect()
    }

    fn steps(&mut self) -> Made<Vec<String>> {
        let read = |item| match item {
            Value::String(step) if step.is_empty() => Err("`completions` holds an empty step".to_owned()),
            Value::String(step) => Ok(step),
            other => Err(format!("`completions` must hold strings, found {}", kind_of(&other))),
        };
        self.list("completions")?.into_iter().map(read).collect()
    }

    fn flag(&mut self, name: &str) -> Made<bool> {
        let value = self.take(name)?;
        as_flag(name, &value, self.untyped)
    }

    fn flags(&mut self, name: &str) -> Made<Vec<bool>> {
        self.list(name)?.iter().map(|value| as_flag(name, value, false)).collect()
    }

    fn numbers(&mut self, name: &str) -> Made<Vec<f64>> {
        self.list(name)?.iter().map(|value| as_number(name, value, false)).collect()
    }

    fn optional_number(&mut self, name: &str) -> Made<Option<f64>> {
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
