//! How an answer is read: where it ends, which part of it is the answer, and what does not matter when it is compared.

use regex::Regex;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

use crate::suggest::closest;

/// Most ways of reading, stops and patterns.
const MOST: usize = 32;
/// Memory that one pattern may take.
const PATTERN_BYTES: usize = 1 << 20;

/// How answers are read.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// Where an answer ends, beside where the subject ends it.
    #[serde(default)]
    stop: Vec<String>,
    /// What goes from an answer, and from accepted ones, before they are compared.
    #[serde(default)]
    ignore: Vec<Pattern>,
    /// Whether case does not matter.
    #[serde(default)]
    ignore_case: bool,
    /// The ways of reading, by the names of the scores that they give.
    scores: BTreeMap<String, Extractor>,
}

/// Which part of a text is the answer.
#[derive(Clone, Debug, PartialEq)]
enum Extractor {
    /// All of it, without white space around it.
    Whole,
    /// A match of a pattern: its first group that matched, or all of it.
    Match { pattern: Pattern, last: bool },
}

/// Extractors that have names.
const NAMED: [(&str, &str, bool); 3] = [
    ("last-number", r"-?[0-9][0-9.,]*|-?[.][0-9]+", true),
    ("first-letter", r"(?:^|[^A-Za-z])([A-Z])(?:[^A-Za-z]|$)", false),
    ("first-line", r"(?m)^\s*(\S.*?)\s*$", false),
];
/// The extractor that takes all.
const WHOLE: &str = "whole";

/// A regular expression of a task file.
#[derive(Clone, Debug)]
pub(crate) struct Pattern(Regex);

impl Pattern {
    /// The first group of each match in a text.
    pub(crate) fn groups<'a>(&self, text: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.captures_iter(text).filter_map(|found| Some(found.get(1)?.as_str()))
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Reading {
    /// What each way of reading finds in a text, normalised; `None` where it finds nothing.
    pub(crate) fn read(&self, text: &str) -> BTreeMap<String, Option<String>> {
        let end = self.stop.iter().filter_map(|stop| text.find(stop)).min().unwrap_or(text.len());
        let text = &text[..end];
        let read = |extractor: &Extractor| Some(self.normalised(extractor.of(text)?)).filter(|read| !read.is_empty());
        self.scores.iter().map(|(name, extractor)| (name.clone(), read(extractor))).collect()
    }

    /// A text without what does not matter.
    pub(crate) fn normalised(&self, text: &str) -> String {
        let kept =
            self.ignore.iter().fold(text.to_owned(), |text, Pattern(regex)| regex.replace_all(&text, "").into_owned());
        let kept = kept.trim();
        if self.ignore_case { kept.to_lowercase() } else { kept.to_owned() }
    }

    /// Checks the numbers of its parts.
    pub(crate) fn check(&self) -> Result<(), String> {
        if self.scores.is_empty() {
            return Err("`scores` names no way of reading".to_owned());
        }
        if self.scores.len().max(self.stop.len()).max(self.ignore.len()) > MOST
            || self.stop.iter().any(String::is_empty)
        {
            return Err(format!("there are at most {MOST} scores, stops and patterns, and no stop is empty"));
        }
        Ok(())
    }
}

impl Extractor {
    fn of<'a>(&self, text: &'a str) -> Option<&'a str> {
        let (pattern, last) = match self {
            Extractor::Whole => return Some(text.trim()).filter(|text| !text.is_empty()),
            Extractor::Match { pattern, last } => (pattern, *last),
        };
        let mut matches = pattern.0.captures_iter(text);
        let found = if last { matches.last() } else { matches.next() }?;
        let group = found.iter().skip(1).flatten().find(|group| !group.is_empty());
        Some(group.or(found.get(0))?.as_str().trim())
    }
}

fn pattern(source: &str) -> Result<Pattern, String> {
    let built = regex::RegexBuilder::new(source).size_limit(PATTERN_BYTES).build();
    built.map(Pattern).map_err(|error| format!("the pattern is not valid: {}", error.to_string().trim()))
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        pattern(&String::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Name(String),
    First { first: String },
    Last { last: String },
}

impl<'de> Deserialize<'de> for Extractor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Written::deserialize(deserializer)
            .map_err(|_| D::Error::custom("an extractor is a name, { first = PATTERN } or { last = PATTERN }"))?;
        let (source, last) = match &written {
            Written::Name(name) if name == WHOLE => return Ok(Extractor::Whole),
            Written::Name(name) => {
                let names = NAMED.iter().map(|(name, ..)| *name).chain([WHOLE]);
                let named = NAMED.iter().find(|(known, ..)| known == name);
                let unknown = || D::Error::custom(format!("there is no extractor `{name}`{}", closest(name, names)));
                named.map(|(_, source, last)| (*source, *last)).ok_or_else(unknown)?
            }
            Written::First { first } => (first.as_str(), false),
            Written::Last { last } => (last.as_str(), true),
        };
        Ok(Extractor::Match { pattern: pattern(source).map_err(D::Error::custom)?, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(source: &str) -> Reading {
        let reading: Reading = toml::from_str(source).unwrap();
        reading.check().unwrap();
        reading
    }

    #[test]
    fn named_extractors() {
        let reading = reading("scores = { n = 'last-number', l = 'first-letter', f = 'first-line', w = 'whole' }");
        let read = |text: &str, name: &str| reading.read(text)[name].clone().unwrap_or_default();
        assert_eq!(read("12 eggs and -3.5 hens", "n"), "-3.5");
        assert_eq!(read("no number", "n"), "");
        assert_eq!(read("(B) is right, not C", "l"), "B");
        assert_eq!(read("A", "l"), "A");
        assert_eq!(read("Because", "l"), "");
        assert_eq!(read(" \n one \ntwo", "f"), "one");
        assert_eq!(read("  a b ", "w"), "a b");
    }

    /// The filters of lm-evaluation-harness's gsm8k.
    #[test]
    fn gsm8k_is_read_as_in_the_harness() {
        let source = r##"
            stop = ["Question:"]
            ignore = [",", '\$', '(?s).*#### ', '\.$']
            scores = { strict = { first = '#### (\-?[0-9\.\,]+)' }, flexible = { last = '(-?[$0-9.,]{2,})|(-?[0-9]+)' } }
        "##;
        let reading = reading(source);
        let read = |text: &str| {
            let found = reading.read(text);
            (found["strict"].clone(), found["flexible"].clone())
        };
        assert_eq!(read("5 + 5 = 10\n#### 1,010"), (Some("1010".into()), Some("1010".into())));
        assert_eq!(read("so $18. Question: 20"), (None, Some("18".into())));
        assert_eq!(read("it is 7"), (None, Some("7".into())));
        assert_eq!(reading.normalised("long\nway <<1+1=2>>\n#### 2,125"), "2125");
    }

    #[test]
    fn wrong_extractors_are_refused() {
        let error = |source: &str| toml::from_str::<Reading>(source).unwrap_err().to_string();
        assert!(error("scores = { x = 'last-numbr' }").contains("did you mean `last-number`?"));
        assert!(error("scores = { x = { first = '(' } }").contains("not valid"));
        assert!(error("scores = { x = { first = '(a{1000}){1000}' } }").contains("not valid"));
        assert!(toml::from_str::<Reading>("scores = {}").unwrap().check().is_err());
    }
}
