//! The shapes of rows that alignment uses, and how they are told apart by their columns.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::table::Table;
use crate::transcript::is_transcript;

/// What the columns of a table mean. Each shape but the transcripts has a standard form (strings) and a conversational
/// form (lists of messages); names and columns are those of TRL's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `text`, `messages` or `conversations`: everything is text to model.
    LanguageModelling,
    /// `prompt` alone.
    PromptOnly,
    /// `prompt`, `completion`; or Alpaca's `instruction`, `input`, `output`.
    PromptCompletion,
    /// `prompt`, `chosen`, `rejected`.
    Preference,
    /// `chosen`, `rejected` that begin with the same prompt.
    ImplicitPreference,
    /// `chosen`, `rejected` as `Human:`/`Assistant:` transcripts (Anthropic's hh-rlhf).
    TranscriptPreference,
    /// `prompt`, `completion`, `label` (good or not); LLaMA-Factory's `kto_tag` is a label too.
    Labelled,
    /// `prompt`, `completions`, `scores` or `ranks`.
    Ranked,
    /// `prompt`, `completions` (steps), `labels` (each right or not).
    Stepwise,
}

/// All shapes, the more demanding first, so that the first match is the right one.
const ALL: [Shape; 9] = [
    Shape::Preference,
    Shape::TranscriptPreference,
    Shape::ImplicitPreference,
    Shape::Stepwise,
    Shape::Ranked,
    Shape::Labelled,
    Shape::PromptCompletion,
    Shape::LanguageModelling,
    Shape::PromptOnly,
];

impl Shape {
    /// The name by which the shape is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Shape::LanguageModelling => "language-modelling",
            Shape::PromptOnly => "prompt-only",
            Shape::PromptCompletion => "prompt-completion",
            Shape::Preference => "preference",
            Shape::ImplicitPreference => "implicit-preference",
            Shape::TranscriptPreference => "transcript-preference",
            Shape::Labelled => "labelled",
            Shape::Ranked => "ranked",
            Shape::Stepwise => "stepwise",
        }
    }

    /// Alternative sets of columns, any one of which makes the shape.
    pub fn columns(self) -> &'static [&'static [&'static str]] {
        match self {
            Shape::LanguageModelling => &[&["text"], &["messages"], &["conversations"]],
            Shape::PromptOnly => &[&["prompt"]],
            Shape::PromptCompletion => &[&["prompt", "completion"], &["instruction", "output"]],
            Shape::Preference => &[&["prompt", "chosen", "rejected"]],
            Shape::ImplicitPreference | Shape::TranscriptPreference => &[&["chosen", "rejected"]],
            Shape::Labelled => &[&["prompt", "completion", "label"], &["prompt", "completion", "kto_tag"]],
            Shape::Ranked => &[&["prompt", "completions", "scores"], &["prompt", "completions", "ranks"]],
            Shape::Stepwise => &[&["prompt", "completions", "labels"]],
        }
    }

    /// The shape of a table, by the columns that at least half of its rows have.
    ///
    /// # Errors
    /// [`Error::UnknownShape`], listing the columns found and the shapes that exist.
    pub fn detect(table: &Table) -> Result<Shape> {
        let half = table.records.len().div_ceil(2) as u64;
        let columns: Vec<String> =
            table.columns().into_iter().filter(|(_, rows)| *rows >= half).map(|(name, _)| name).collect();
        let has = |wanted: &&[&str]| wanted.iter().all(|name| columns.iter().any(|column| column == name));
        let fits = |shape: &&Shape| {
            shape.columns().iter().any(has) && (**shape != Shape::TranscriptPreference || holds_transcripts(table))
        };
        ALL.iter().find(fits).copied().ok_or_else(|| Error::UnknownShape {
            file: table.file.to_string(),
            found: column_names(table),
            known: known(),
        })
    }
}

/// Whether the answers of the first row that has them are transcripts.
fn holds_transcripts(table: &Table) -> bool {
    let chosen = table.records.iter().find_map(|record| record.fields.get("chosen").and_then(Value::as_str));
    chosen.is_some_and(is_transcript)
}

/// The columns of a table for a message.
pub(crate) fn column_names(table: &Table) -> String {
    table.columns().into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

/// A line for each shape and its columns.
fn known() -> String {
    let line = |shape: &Shape| {
        let alternatives: Vec<String> = shape.columns().iter().map(|columns| columns.join(", ")).collect();
        format!("  {}: {}", shape.name(), alternatives.join("; or "))
    };
    ALL.iter().map(line).collect::<Vec<_>>().join("\n")
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Shape {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        ALL.iter().find(|shape| shape.name() == name).copied().ok_or_else(|| Error::Argument {
            name: "shape",
            value: name.to_owned(),
            why: format!("expected one of {}", ALL.map(Shape::name).join(", ")),
        })
    }
}
