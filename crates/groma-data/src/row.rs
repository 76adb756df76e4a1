//! Rows with a meaning: the one form in which text to learn or to measure from is handed about.

use std::collections::BTreeMap;

use groma_run::Digest;
use serde_json::{Map, Value, json};

use crate::excerpt::excerpt;
use crate::fingerprint::{Fingerprint, fields_digest, prompt_digest};
use crate::location::Location;
use crate::message::{Content, given};
use crate::problem::{BadRows, RowProblem};
use crate::shape::Shape;

/// The rows of a table, and what became of the others.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows {
    /// The good rows, in the file's order.
    pub rows: Vec<Row>,
    /// What they mean.
    pub shape: Shape,
    /// The name of the layout that they were read from (see [`crate::Layout`]).
    pub layout: &'static str,
    /// What was done with rows that whoever gave them should know of, each with the number of rows.
    pub notes: BTreeMap<String, u64>,
    /// The rows that were left out, in reading and in shaping together.
    pub bad: BadRows,
}

/// Columns that say of each side of a pair whether it is what is asked for.
pub(crate) const PAIR_LABELS: [&str; 2] = ["chosen_label", "rejected_label"];

/// Rows that can be written back as named fields.
pub trait Fields {
    /// The row under the column names of its shape, its further columns last.
    fn fields(&self) -> Map<String, Value>;
}

/// A prompt and what may follow it, with what is known of each.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What the row means, and so what is in it.
    pub shape: Shape,
    /// The prompt; none of a text to model.
    pub prompt: Option<Content>,
    /// The answers, of the same form as the prompt: none of a prompt alone, one of a completion or a labelled one, the
    /// preferred and the other one of a preference, at least two of a ranking, the steps of a stepwise row. Of a text to
    /// model, the text or conversation itself.
    pub answers: Vec<Answer>,
    /// By how much the first of two answers is better, where the file says so.
    pub margin: Option<f64>,
    /// Where the row comes from.
    pub location: Location,
    /// Columns that the shape does not use.
    pub other: Map<String, Value>,
}

/// An answer, or a step of one.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What is said.
    pub content: Content,
    /// Whether it is wanted (labelled rows) or right (stepwise ones); of a pair, where the file says so of both.
    pub label: Option<bool>,
    /// Higher is better, in ranked rows; rank `r` in a file becomes the score `-r`.
    pub score: Option<f64>,
}

impl Answer {
    /// Of which nothing is known.
    pub fn new(content: Content) -> Self {
        Answer { content, label: None, score: None }
    }
}

impl Default for Row {
    fn default() -> Self {
        Row {
            shape: Shape::PromptOnly,
            prompt: None,
            answers: Vec::new(),
            margin: None,
            location: Location::new("", 0),
            other: Map::new(),
        }
    }
}

impl Row {
    /// Text to model.
    pub fn text(content: Content, location: Location) -> Self {
        Row { shape: Shape::LanguageModelling, answers: vec![Answer::new(content)], location, ..Row::default() }
    }

    /// A prompt alone.
    pub fn of_prompt(prompt: Content, location: Location) -> Self {
        Row { prompt: Some(prompt), location, ..Row::default() }
    }

    /// A prompt and its answer.
    pub fn completion(prompt: Content, completion: Content, location: Location) -> Self {
        let answers = vec![Answer::new(completion)];
        Row { shape: Shape::PromptCompletion, prompt: Some(prompt), answers, location, ..Row::default() }
    }

    /// A prompt, the preferred answer, and the other one.
    pub fn preference(prompt: Content, chosen: Content, rejected: Content, location: Location) -> Self {
        let answers = [chosen, rejected].map(Answer::new).into();
        Row { shape: Shape::Preference, prompt: Some(prompt), answers, location, ..Row::default() }
    }

    /// The prompt, empty where there is none.
    pub fn question(&self) -> &Content {
        static EMPTY: Content = Content::Text(String::new());
        self.prompt.as_ref().unwrap_or(&EMPTY)
    }

    /// The answer of that index, where there is one.
    pub fn answer(&self, index: usize) -> Option<&Content> {
        self.answers.get(index).map(|answer| &answer.content)
    }

    /// The first answer as a row for supervised training.
    #[must_use]
    pub fn first_completion(&self) -> Self {
        let answers = self.answers.iter().take(1).map(|answer| Answer::new(answer.content.clone())).collect();
        Row { shape: Shape::PromptCompletion, answers, margin: None, ..self.clone() }
    }

    /// The same row with its answers and what is known of them in reverse: what is measured on it must turn round.
    #[must_use]
    pub fn swapped(&self) -> Self {
        let answers = self.answers.iter().rev().cloned().collect();
        Row { answers, margin: self.margin.map(|margin| -margin), ..self.clone() }
    }
}

impl Fields for Row {
    fn fields(&self) -> Map<String, Value> {
        let one = |index: usize| self.answer(index).map_or(Value::Null, messages_alone);
        let all = || Value::Array(self.answers.iter().map(|answer| messages_alone(&answer.content)).collect());
        let labels = || self.answers.iter().filter_map(|answer| answer.label).collect::<Vec<_>>();
        let scores = || self.answers.iter().filter_map(|answer| answer.score).collect::<Vec<_>>();
        let conversational = || self.answers.first().is_some_and(|answer| answer.content.is_conversational());
        let prompt = self.prompt.as_ref().map_or(Value::Null, messages_alone);
        let first = self.prompt.as_ref().or(self.answer(0));
        let beside = match first {
            Some(Content::Messages(turns)) => given(turns),
            _ => Map::new(),
        };
        let known = match self.shape {
            Shape::LanguageModelling => vec![(if conversational() { "messages" } else { "text" }, one(0))],
            Shape::PromptOnly => vec![],
            Shape::PromptCompletion => vec![("completion", one(0))],
            Shape::Preference => {
                let sides = vec![("chosen", one(0)), ("rejected", one(1)), ("margin", json!(self.margin))];
                sides.into_iter().chain(PAIR_LABELS.into_iter().zip(labels().into_iter().map(Value::from))).collect()
            }
            Shape::Labelled => vec![("completion", one(0)), ("label", json!(labels().first()))],
            Shape::Ranked => vec![("completions", all()), ("scores", json!(scores()))],
            Shape::Stepwise => vec![("completions", all()), ("labels", json!(labels()))],
        };
        let columns = std::iter::once(("prompt", prompt)).chain(known).filter(|(_, value)| !value.is_null());
        columns.map(|(name, value)| (name.to_owned(), value)).chain(beside).chain(self.other.clone()).collect()
    }
}

/// A string, or messages without what the template is given beside them, which has columns of its own.
fn messages_alone(content: &Content) -> Value {
    match content {
        Content::Text(text) => Value::String(text.clone()),
        Content::Messages(turns) => Content::from(turns.messages.clone()).to_value(),
    }
}

impl RowProblem {
    /// A row that was read and shaped, and cannot be used all the same.
    pub fn of(row: &Row, why: String) -> Self {
        let said = row.prompt.as_ref().or(row.answer(0)).map(Content::plain).unwrap_or_default();
        let excerpt = excerpt(said.as_bytes(), 0);
        RowProblem { location: row.location.clone(), column: None, why, excerpt }
    }
}

impl Fields for crate::table::Record {
    fn fields(&self) -> Map<String, Value> {
        self.fields.clone()
    }
}

/// Rows compare by their fields; those with a prompt are grouped by it.
impl Fingerprint for Row {
    fn fingerprint(&self) -> Digest {
        fields_digest(self.shape.name(), &self.fields())
    }

    fn prompt_fingerprint(&self) -> Digest {
        self.prompt.as_ref().map_or_else(|| self.fingerprint(), prompt_digest)
    }
}
