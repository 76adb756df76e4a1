//! Parts of items that are more than one text: lists of texts, the right choice, which choices are true.

use groma_data::Content;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::fmt;

use crate::columns::{Fields, at, flags, optional_texts, value};
use crate::template::Text;

/// Most columns, labels or parts of one form.
pub(crate) const MOST: usize = 64;

/// A list of texts: the strings of one column, or elements one by one.
#[derive(Clone, Debug)]
pub(crate) enum List {
    /// The strings of a column (`choices.text` is that in another); none if it is missing.
    Column(String),
    /// Elements in their order.
    Elements(Vec<Element>),
}

/// A part of a list.
#[derive(Clone, Debug)]
pub(crate) enum Element {
    /// One text.
    Text(Text),
    /// Several, between separators; white space around them goes, and so do empty ones.
    Split { text: Text, at: String },
}

impl List {
    /// The texts for a row.
    pub(crate) fn of(&self, row: &Fields) -> Result<Vec<String>, String> {
        let elements = match self {
            List::Column(path) => return optional_texts(row, path),
            List::Elements(elements) => elements,
        };
        let mut found = Vec::with_capacity(elements.len());
        for element in elements {
            match element {
                Element::Text(text) => found.push(text.render(row)?),
                Element::Split { text, at } => {
                    let rendered = text.render(row)?;
                    let parts = rendered.split(at.as_str()).map(str::trim).filter(|part| !part.is_empty());
                    found.extend(parts.map(str::to_owned));
                }
            }
        }
        Ok(found)
    }

    /// The column that it is, if it is one.
    pub(crate) fn column(&self) -> Option<&str> {
        match self {
            List::Column(path) => Some(path),
            List::Elements(_) => None,
        }
    }

    pub(crate) fn texts(&self) -> Vec<&Text> {
        let List::Elements(elements) = self else { return Vec::new() };
        elements
            .iter()
            .map(|element| match element {
                Element::Text(text) | Element::Split { text, .. } => text,
            })
            .collect()
    }
}

/// Which choice is right.
#[derive(Clone, Debug)]
pub(crate) enum Gold {
    /// Always the same.
    Fixed(usize),
    /// A text that is the number of the choice, from 0.
    Number(Text),
    /// The place of a text in a list.
    Among { text: Text, among: List },
    /// The one that a column of ones and zeros marks.
    Marked(String),
}

impl Gold {
    /// The choice, of so many.
    pub(crate) fn of(&self, row: &Fields, choices: usize) -> Result<usize, String> {
        let found = match self {
            Gold::Fixed(gold) => *gold,
            Gold::Number(text) => {
                let rendered = text.render(row)?;
                rendered.trim().parse().map_err(|_| wrong(text, &rendered, choices))?
            }
            Gold::Among { text, among } => {
                let (wanted, names) = (text.render(row)?, among.of(row)?);
                names.iter().position(|name| *name == wanted).ok_or_else(|| {
                    format!("`{}` is `{}`, which is none of {}", text.source(), shown(&wanted), names.join(", "))
                })?
            }
            Gold::Marked(column) => {
                let marks = flags(row, column)?;
                let marked: Vec<usize> = (0..marks.len()).filter(|index| marks[*index]).collect();
                match marked.as_slice() {
                    [one] => *one,
                    _ => {
                        return Err(format!(
                            "column `{column}` must have exactly one label 1, but has {}",
                            marked.len()
                        ));
                    }
                }
            }
        };
        if found < choices {
            return Ok(found);
        }
        match self {
            Gold::Number(text) => Err(wrong(text, &found.to_string(), choices)),
            _ => Err(format!("choice {found} would be right, but there are only {choices}")),
        }
    }

    /// The column that it names outside of templates.
    pub(crate) fn column(&self) -> Option<&str> {
        match self {
            Gold::Marked(column) => Some(column),
            Gold::Among { among, .. } => among.column(),
            Gold::Fixed(_) | Gold::Number(_) => None,
        }
    }

    pub(crate) fn texts(&self) -> Vec<&Text> {
        match self {
            Gold::Number(text) => vec![text],
            Gold::Among { text, among } => std::iter::once(text).chain(among.texts()).collect(),
            Gold::Fixed(_) | Gold::Marked(_) => Vec::new(),
        }
    }
}

fn wrong(text: &Text, found: &str, choices: usize) -> String {
    format!("`{}` must be a whole number below {choices}, but it is `{}`", text.source(), shown(found))
}

fn shown(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Which choices are true: a column of ones and zeros.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Truths(String);

impl Truths {
    pub(crate) fn column(&self) -> &str {
        &self.0
    }

    pub(crate) fn of(&self, row: &Fields, choices: usize) -> Result<Vec<bool>, String> {
        let found = flags(row, &self.0)?;
        if found.len() == choices {
            return Ok(found);
        }
        let top = at(&self.0).next().unwrap_or_default();
        Err(format!("column `{top}` must have a label for each choice: {} for {choices}", found.len()))
    }
}

/// A prompt in the form in which it stands in a column: messages, or a text to go on from.
#[derive(Clone, Debug, Deserialize)]
#[serde(transparent)]
pub(crate) struct Conversation(String);

impl Conversation {
    pub(crate) fn column(&self) -> &str {
        &self.0
    }

    pub(crate) fn of(&self, row: &Fields) -> Result<Content, String> {
        Content::from_value(&self.0, value(row, &self.0).cloned().unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for List {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a column with a list, or a list of templates and of { split, at }")
    }

    fn visit_str<E: serde::de::Error>(self, column: &str) -> Result<List, E> {
        Ok(List::Column(column.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<List, A::Error> {
        let mut found = Vec::new();
        while let Some(element) = elements.next_element()? {
            found.push(element);
            if found.len() > MOST {
                return Err(A::Error::custom(format!("a list has at most {MOST} elements")));
            }
        }
        Ok(List::Elements(found))
    }
}

impl<'de> Deserialize<'de> for Element {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ElementVisitor)
    }
}

struct ElementVisitor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Split {
    split: Text,
    at: String,
}

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Element;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a template, or { split = TEMPLATE, at = SEPARATOR }")
    }

    fn visit_str<E: serde::de::Error>(self, source: &str) -> Result<Element, E> {
        Text::new(source).map(Element::Text).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Element, A::Error> {
        let Split { split, at } = Split::deserialize(MapAccessDeserializer::new(map))?;
        if at.is_empty() {
            return Err(A::Error::custom("`at` is empty: nothing would be split"));
        }
        Ok(Element::Split { text: split, at })
    }
}

impl<'de> Deserialize<'de> for Gold {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(GoldVisitor)
    }
}

struct GoldVisitor;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GoldTable {
    text: Option<Text>,
    among: Option<List>,
    marked: Option<String>,
}

impl<'de> Visitor<'de> for GoldVisitor {
    type Value = Gold;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, true or false, a template of a number, { text, among } or { marked }")
    }

    fn visit_bool<E: serde::de::Error>(self, holds: bool) -> Result<Gold, E> {
        Ok(Gold::Fixed(usize::from(holds)))
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Gold, E> {
        usize::try_from(number).map(Gold::Fixed).map_err(|_| E::custom("a choice has a number from 0"))
    }

    fn visit_str<E: serde::de::Error>(self, source: &str) -> Result<Gold, E> {
        Text::new(source).map(Gold::Number).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Gold, A::Error> {
        match GoldTable::deserialize(MapAccessDeserializer::new(map))? {
            GoldTable { text: Some(text), among: Some(among), marked: None } => Ok(Gold::Among { text, among }),
            GoldTable { text: None, among: None, marked: Some(column) } => Ok(Gold::Marked(column)),
            _ => Err(A::Error::custom("either `text` and `among` are needed, or `marked`")),
        }
    }
}
