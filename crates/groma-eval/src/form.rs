//! A form that rows may have: its columns, and the parts from which an item is made.

use groma_data::Content;
use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use toml::Spanned;

use crate::columns::{Column, Fields, id};
use crate::filters::Filter;
use crate::judging::Judging;
use crate::known::{Known, Told};
use crate::parts::{Conversation, Gold, List, MOST, Truths};
use crate::reading::Reading;
use crate::suggest::closest;
use crate::template::Text;

/// One form that rows may have. A row is of it if it has its columns.
#[derive(Clone, Debug, Default)]
pub struct Form {
    /// Where rows of this form are found.
    pub name: String,
    pub(crate) columns: Vec<Column>,
    /// The column with an item's id.
    id: Option<String>,
    labels: BTreeMap<String, Text>,
    parts: BTreeMap<&'static str, Part>,
}

/// A part of an item, and where it stands in the file.
#[derive(Clone, Debug)]
struct Part {
    at: usize,
    value: PartValue,
}

#[derive(Clone, Debug)]
enum PartValue {
    Text(Text),
    List(List),
    Gold(Gold),
    Truths(Truths),
    Filter(Filter),
    Reading(Arc<Reading>),
    Judging(Arc<Judging>),
    Conversation(Conversation),
    Truth(Arc<Told>),
}

/// What a part is written as.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    List,
    Gold,
    Truths,
    Filter,
    Reading,
    Judging,
    Conversation,
    Truth,
}

/// All parts. Which of them a scorer reads, its record says.
const PARTS: &[(&str, Kind)] = &[
    ("cluster", Kind::Text),
    ("group", Kind::Text),
    ("preamble", Kind::Text),
    ("prompt", Kind::Text),
    ("reference", Kind::Text),
    ("filter", Kind::Filter),
    ("choices", Kind::List),
    ("contexts", Kind::List),
    ("continuation", Kind::Text),
    ("gold", Kind::Gold),
    ("truths", Kind::Truths),
    ("true_choices", Kind::List),
    ("false_choices", Kind::List),
    ("roles", Kind::Text),
    ("condition", Kind::Text),
    ("delimiter", Kind::Text),
    ("target", Kind::Text),
    ("reading", Kind::Reading),
    ("other", Kind::Text),
    ("judging", Kind::Judging),
    ("raw", Kind::Gold),
    ("harmful", Kind::Gold),
    ("accepted", Kind::List),
    ("wrong", Kind::List),
    ("conversation", Kind::Conversation),
    ("distinct", Kind::Gold),
    ("truth", Kind::Truth),
];

/// Parts that items of any scorer have.
pub(crate) const COMMON: &[&str] = &["cluster", "group", "preamble", "reference", "filter", "distinct"];
/// Parts that items of any scorer which asks for text have.
pub(crate) const SPOKEN: &[&str] = &["conversation", "truth"];

impl Form {
    /// What this form leaves unsaid, as `other` says it.
    pub(crate) fn or(mut self, other: &Form) -> Form {
        for (name, part) in &other.parts {
            self.parts.entry(name).or_insert_with(|| part.clone());
        }
        for (name, label) in &other.labels {
            self.labels.entry(name.clone()).or_insert_with(|| label.clone());
        }
        self.id = self.id.or_else(|| other.id.clone());
        self
    }

    /// The columns that make a row one of this form.
    pub(crate) fn required(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.columns.iter().filter(|column| !column.is_optional).map(Column::top).collect();
        names.dedup();
        names
    }

    /// The names of its parts, and where they stand in the file.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'static str, usize)> {
        self.parts.iter().map(|(name, part)| (*name, part.at))
    }

    /// All templates, each with the part that it is in and its place.
    pub(crate) fn texts(&self) -> Vec<(&str, usize, &Text)> {
        let mut found: Vec<(&str, usize, &Text)> = Vec::new();
        for (name, part) in &self.parts {
            let texts = match &part.value {
                PartValue::Text(text) => vec![text],
                PartValue::List(list) => list.texts(),
                PartValue::Gold(gold) => gold.texts(),
                // What is scored by is rendered over what an answer does, not over columns.
                PartValue::Truths(_)
                | PartValue::Filter(_)
                | PartValue::Reading(_)
                | PartValue::Judging(_)
                | PartValue::Conversation(_)
                | PartValue::Truth(_) => Vec::new(),
            };
            found.extend(texts.into_iter().map(|text| (*name, part.at, text)));
        }
        let start = self.parts.values().map(|part| part.at).min().unwrap_or_default();
        found.extend(self.labels.values().map(|text| ("labels", start, text)));
        found
    }

    /// The columns that parts name outside of templates, each with the part that names it and its place.
    pub(crate) fn named_columns(&self) -> Vec<(&str, usize, &str)> {
        let mut found: Vec<(&str, usize, &str)> = Vec::new();
        for (name, part) in &self.parts {
            let column = match &part.value {
                PartValue::List(list) => list.column(),
                PartValue::Gold(gold) => gold.column(),
                PartValue::Truths(truths) => Some(truths.column()),
                PartValue::Conversation(conversation) => Some(conversation.column()),
                PartValue::Truth(told) => Some(told.column()),
                _ => None,
            };
            found.extend(column.map(|column| (*name, part.at, column)));
        }
        found
    }

    /// Whether a row has the columns of this form.
    pub(crate) fn fits(&self, row: &Fields) -> bool {
        self.columns.iter().filter(|column| !column.is_optional).all(|column| column.is_in(row))
    }

    /// Checks the types of a row's columns.
    pub(crate) fn check(&self, row: &Fields) -> Result<(), String> {
        self.columns.iter().try_for_each(|column| column.check(row))
    }

    /// The row's id.
    pub(crate) fn id(&self, row: &Fields) -> Option<String> {
        id(row, self.id.as_deref()?)
    }

    /// The row's labels, such as `type=homonyms`.
    pub(crate) fn labels(&self, row: &Fields) -> Result<Vec<String>, String> {
        let mut found = Vec::new();
        for (name, text) in &self.labels {
            let value = text.render(row)?;
            if !value.is_empty() {
                found.push(format!("{name}={value}"));
            }
        }
        Ok(found)
    }

    /// A text of the form, rendered; `None` where it has no such part.
    pub(crate) fn optional_text(&self, part: &str, row: &Fields) -> Result<Option<String>, String> {
        match self.parts.get(part).map(|part| &part.value) {
            Some(PartValue::Text(text)) => text.render(row).map(Some),
            _ => Ok(None),
        }
    }

    /// A text of the form, rendered.
    pub(crate) fn text(&self, part: &str, row: &Fields) -> Result<String, String> {
        self.optional_text(part, row)?.ok_or_else(|| no_part(part))
    }

    /// A list of the form; `None` where it has no such part.
    pub(crate) fn optional_list(&self, part: &str, row: &Fields) -> Result<Option<Vec<String>>, String> {
        match self.parts.get(part).map(|part| &part.value) {
            Some(PartValue::List(list)) => list.of(row).map(Some),
            _ => Ok(None),
        }
    }

    /// A list of the form.
    pub(crate) fn list(&self, part: &str, row: &Fields) -> Result<Vec<String>, String> {
        self.optional_list(part, row)?.ok_or_else(|| no_part(part))
    }

    /// Which of so many choices a part names.
    pub(crate) fn gold(&self, part: &str, row: &Fields, choices: usize) -> Result<usize, String> {
        match self.parts.get(part).map(|part| &part.value) {
            Some(PartValue::Gold(gold)) => gold.of(row, choices),
            _ => Err(no_part(part)),
        }
    }

    /// Which choices are true, where the form says so for each.
    pub(crate) fn truths(&self, row: &Fields, choices: usize) -> Result<Option<Vec<bool>>, String> {
        match self.parts.get("truths").map(|part| &part.value) {
            Some(PartValue::Truths(truths)) => truths.of(row, choices).map(Some),
            _ => Ok(None),
        }
    }

    /// How answers are read.
    pub(crate) fn reading(&self) -> Result<Arc<Reading>, String> {
        match self.parts.get("reading").map(|part| &part.value) {
            Some(PartValue::Reading(reading)) => Ok(reading.clone()),
            _ => Err(no_part("reading")),
        }
    }

    /// What a judge is asked.
    pub(crate) fn judging(&self) -> Result<Arc<Judging>, String> {
        match self.parts.get("judging").map(|part| &part.value) {
            Some(PartValue::Judging(judging)) => Ok(judging.clone()),
            _ => Err(no_part("judging")),
        }
    }

    /// The prompt in the form in which it stands in a column; `None` where the form names no such column.
    pub(crate) fn conversation(&self, row: &Fields) -> Result<Option<Content>, String> {
        match self.parts.get("conversation").map(|part| &part.value) {
            Some(PartValue::Conversation(conversation)) => conversation.of(row).map(Some),
            _ => Ok(None),
        }
    }

    /// The truth that a row brings with it; `None` where the form names no such column.
    pub(crate) fn known(&self, row: &Fields) -> Result<Option<Known>, String> {
        match self.parts.get("truth").map(|part| &part.value) {
            Some(PartValue::Truth(told)) => Known::of(told, row).map(Some),
            _ => Ok(None),
        }
    }

    /// Whether a part that may be left out says yes.
    pub(crate) fn says(&self, part: &str, row: &Fields) -> Result<bool, String> {
        if self.parts.contains_key(part) { Ok(self.gold(part, row, 2)? == 1) } else { Ok(false) }
    }

    /// A text after the form's filter.
    pub(crate) fn filtered(&self, text: String) -> String {
        match self.parts.get("filter").map(|part| &part.value) {
            Some(PartValue::Filter(filter)) => (filter.of)(&text),
            _ => text,
        }
    }
}

/// Parts are checked when a file is read; this is for a form without its file.
fn no_part(part: &str) -> String {
    format!("its form has no `{part}`")
}

impl<'de> Deserialize<'de> for Form {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(FormVisitor)
    }
}

struct FormVisitor;

impl<'de> Visitor<'de> for FormVisitor {
    type Value = Form;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a form")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Form, A::Error> {
        let mut form = Form::default();
        while let Some(key) = map.next_key::<String>()? {
            match key.as_str() {
                "name" => form.name = map.next_value()?,
                "columns" => form.columns = map.next_value()?,
                "id" => form.id = Some(map.next_value()?),
                "labels" => form.labels = map.next_value()?,
                _ => {
                    let (name, part) = part(&key, &mut map)?;
                    form.parts.insert(name, part);
                }
            }
        }
        if form.columns.len().max(form.labels.len()) > MOST {
            return Err(A::Error::custom(format!("a form has at most {MOST} columns and labels")));
        }
        Ok(form)
    }
}

fn part<'de, A: MapAccess<'de>>(key: &str, map: &mut A) -> Result<(&'static str, Part), A::Error> {
    let Some((name, kind)) = PARTS.iter().find(|(name, _)| *name == key) else {
        let names = PARTS.iter().map(|(name, _)| *name).chain(["name", "columns", "id", "labels"]);
        return Err(A::Error::custom(format!("a form has no `{key}`{}", closest(key, names))));
    };
    fn of<T>(said: Spanned<T>, value: fn(T) -> PartValue) -> Part {
        Part { at: said.span().start, value: value(said.into_inner()) }
    }
    let part = match kind {
        Kind::Text => of(map.next_value()?, PartValue::Text),
        Kind::List => of(map.next_value()?, PartValue::List),
        Kind::Gold => of(map.next_value()?, PartValue::Gold),
        Kind::Truths => of(map.next_value()?, PartValue::Truths),
        Kind::Filter => of(map.next_value()?, PartValue::Filter),
        Kind::Conversation => of(map.next_value()?, PartValue::Conversation),
        Kind::Truth => of(map.next_value()?, |told| PartValue::Truth(Arc::new(told))),
        Kind::Judging => of(map.next_value()?, |judging| PartValue::Judging(Arc::new(judging))),
        Kind::Reading => {
            let reading: Spanned<Reading> = map.next_value()?;
            reading.get_ref().check().map_err(A::Error::custom)?;
            of(reading, |reading| PartValue::Reading(Arc::new(reading)))
        }
    };
    Ok((name, part))
}
