//! Rows with a meaning.

use groma_run::Digest;
use serde_json::{Map, Value, json};

use crate::fingerprint::{Fingerprint, fields_digest, prompt_digest};
use crate::location::Location;
use crate::message::Content;
use crate::problem::BadRows;
use crate::shape::Shape;

/// Typed rows, and what became of the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows<T> {
    /// The good rows, in the file's order.
    pub rows: Vec<T>,
    /// The shape that they had in the file.
    pub shape: Shape,
    /// The rows that were left out, in reading and in shaping together.
    pub bad: BadRows,
}

/// Rows that can be written back as named fields.
pub trait Fields {
    /// The row under the column names of its shape, its further columns last.
    fn fields(&self) -> Map<String, Value>;
}

/// Text to model: every token counts, or with messages those that a mask selects.
#[derive(Clone, Debug, PartialEq)]
pub struct LanguageModelling {
    /// The text or the conversation.
    pub content: Content,
    /// Where the row comes from.
    pub location: Location,
    /// Columns that the shape does not use.
    pub other: Map<String, Value>,
}

/// A prompt alone; further columns are for reward functions.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    /// The prompt.
    pub prompt: Content,
    /// Where the row comes from.
    pub location: Location,
    /// Columns that the shape does not use.
    pub other: Map<String, Value>,
}

/// A prompt and its answer, both of the same form.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The prompt.
    pub prompt: Content,
    /// The answer.
    pub completion: Content,
    /// Where the row comes from.
    pub location: Location,
    /// Columns that the shape does not use.
    pub other: Map<String, Value>,
}

/// A prompt and two answers, all of the same form; the answers differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Preference {
    /// The prompt.
    pub prompt: Content,
    /// The preferred answer.
    pub chosen: Content,
    /// The other answer.
    pub rejected: Content,
    /// By how much the first is better, where the file says so.
    pub margin: Option<f64>,
    /// Where the row comes from.
    pub location: Location,
    /// Columns that the shape does not use.
    pub other: Map<String, Value>,
}

/// A prompt, an answer, and whether the answer is wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct Labelled {
    /// The prompt.
    pub prompt: Content,
    /// The answer.
    pub completion: Content,
    /// Whether the answer is wanted.
    pub label: bool,
    /// Where the row comes from.
    pub location: Location,
    /// Columns that the shape does not use.
    pub other: Map<String, Value>,
}

/// A prompt and several scored answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranked {
    /// The prompt.
    pub prompt: Content,
    /// At least two answers.
    pub completions: Vec<Content>,
    /// A finite score for each answer, higher is better; rank `r` in a file becomes the score `-r`.
    pub scores: Vec<f64>,
    /// Where the row comes from.
    pub location: Location,
    /// Columns that the shape does not use.
    pub other: Map<String, Value>,
}

/// A prompt and an answer in steps, each right or not.
#[derive(Clone, Debug, PartialEq)]
pub struct Stepwise {
    /// The prompt.
    pub prompt: String,
    /// At least one step.
    pub completions: Vec<String>,
    /// For each step whether it is right.
    pub labels: Vec<bool>,
    /// Where the row comes from.
    pub location: Location,
    /// Columns that the shape does not use.
    pub other: Map<String, Value>,
}

impl Preference {
    /// The preferred answer as a row for supervised training.
    pub fn chosen_completion(&self) -> Completion {
        Completion {
            prompt: self.prompt.clone(),
            completion: self.chosen.clone(),
            location: self.location.clone(),
            other: self.other.clone(),
        }
    }

    /// The same row with the answers swapped; what is measured on it must turn round.
    #[must_use]
    pub fn swapped(&self) -> Self {
        let (chosen, rejected) = (self.rejected.clone(), self.chosen.clone());
        Preference { chosen, rejected, margin: self.margin.map(|margin| -margin), ..self.clone() }
    }

    /// Whether the two answers say the same, so that nothing can be learned from them.
    pub fn is_identical(&self) -> bool {
        self.chosen == self.rejected
    }
}

impl Completion {
    /// Prompt and answer as one text or conversation.
    pub fn joined(&self) -> Content {
        match (&self.prompt, &self.completion) {
            (Content::Messages(prompt), Content::Messages(completion)) => {
                Content::Messages(prompt.iter().chain(completion).cloned().collect())
            }
            (prompt, completion) => Content::Text(format!("{}{}", prompt.plain(), completion.plain())),
        }
    }
}

fn named<const N: usize>(columns: [(&str, Value); N], other: &Map<String, Value>) -> Map<String, Value> {
    let columns = columns.into_iter().filter(|(_, value)| !value.is_null());
    columns.map(|(name, value)| (name.to_owned(), value)).chain(other.clone()).collect()
}

impl Fields for LanguageModelling {
    fn fields(&self) -> Map<String, Value> {
        let name = if self.content.is_conversational() { "messages" } else { "text" };
        named([(name, self.content.to_value())], &self.other)
    }
}

impl Fields for Prompt {
    fn fields(&self) -> Map<String, Value> {
        named([("prompt", self.prompt.to_value())], &self.other)
    }
}

impl Fields for Completion {
    fn fields(&self) -> Map<String, Value> {
        named([("prompt", self.prompt.to_value()), ("completion", self.completion.to_value())], &self.other)
    }
}

impl Fields for Preference {
    fn fields(&self) -> Map<String, Value> {
        named(
            [
                ("prompt", self.prompt.to_value()),
                ("chosen", self.chosen.to_value()),
                ("rejected", self.rejected.to_value()),
                ("margin", json!(self.margin)),
            ],
            &self.other,
        )
    }
}

impl Fields for Labelled {
    fn fields(&self) -> Map<String, Value> {
        named(
            [
                ("prompt", self.prompt.to_value()),
                ("completion", self.completion.to_value()),
                ("label", json!(self.label)),
            ],
            &self.other,
        )
    }
}

impl Fields for Ranked {
    fn fields(&self) -> Map<String, Value> {
        let completions = Value::Array(self.completions.iter().map(Content::to_value).collect());
        named(
            [("prompt", self.prompt.to_value()), ("completions", completions), ("scores", json!(self.scores))],
            &self.other,
        )
    }
}

impl Fields for Stepwise {
    fn fields(&self) -> Map<String, Value> {
        named(
            [("prompt", json!(self.prompt)), ("completions", json!(self.completions)), ("labels", json!(self.labels))],
            &self.other,
        )
    }
}

impl Fields for crate::table::Record {
    fn fields(&self) -> Map<String, Value> {
        self.fields.clone()
    }
}

/// Rows of every kind compare by their fields; those with a prompt are grouped by it.
macro_rules! fingerprints {
    ($($kind:ident: $prompt:expr;)*) => { $(
        impl Fingerprint for $kind {
            fn fingerprint(&self) -> Digest {
                fields_digest(stringify!($kind), &self.fields())
            }

            fn prompt_fingerprint(&self) -> Digest {
                let prompt: fn(&$kind) -> Digest = $prompt;
                prompt(self)
            }
        }
    )* };
}

fingerprints! {
    LanguageModelling: |row| row.fingerprint();
    Prompt: |row| prompt_digest(&row.prompt);
    Completion: |row| prompt_digest(&row.prompt);
    Preference: |row| prompt_digest(&row.prompt);
    Labelled: |row| prompt_digest(&row.prompt);
    Ranked: |row| prompt_digest(&row.prompt);
    Stepwise: |row| prompt_digest(&Content::Text(row.prompt.clone()));
}
