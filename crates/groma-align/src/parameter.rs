//! A hyperparameter as data: from it come the checks of a config, `--help`, `groma methods` and the test matrix.

use crate::nearest::nearest;
use serde::Serialize;
use serde_json::{Map, Value};

/// What a parameter's value may be. `null` is allowed where it is the default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A finite number.
    Float,
    /// A whole number.
    Integer,
    /// A whole number, or `null` where that is not the default either.
    IntegerOrNull,
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One of the variants that the method lists for it.
    Variant(&'static [Variant]),
    /// One or several of them.
    Variants(&'static [Variant]),
    /// Numbers.
    Floats,
    /// One or several words of the user's.
    Words,
    /// A text of the user's.
    Text,
}

impl Kind {
    /// In words, for messages and help.
    pub fn describe(self) -> String {
        match self {
            Kind::Float => "a number".into(),
            Kind::Integer => "a whole number".into(),
            Kind::IntegerOrNull => "a whole number or null".into(),
            Kind::Boolean => "true or false".into(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::Variant(variants) => format!("one of {}", ids(variants).join(", ")),
            Kind::Variants(variants) => format!("one or several of {}", ids(variants).join(", ")),
            Kind::Floats => "a list of numbers".into(),
            Kind::Words => "a word or a list of words".into(),
            Kind::Text => "a text".into(),
        }
    }
}

/// One of the things that a setting chooses among (a loss, a reward), with hyperparameters that exist for it alone.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Variant {
    /// Its name in the setting.
    pub id: &'static str,
    /// In words.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// Its formula, or what it does.
    pub doc: &'static str,
    /// Hyperparameters of its own.
    pub parameters: &'static [Parameter],
}

impl Variant {
    /// To fill arrays with.
    pub(crate) const NONE: Variant = Variant { id: "", title: "", paper: "", doc: "", parameters: &[] };
}

/// The names of variants.
pub(crate) fn ids(variants: &[Variant]) -> Vec<&'static str> {
    variants.iter().map(|variant| variant.id).collect()
}

/// An interval of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Range {
    /// Smallest value.
    pub min: f64,
    /// Whether `min` itself is outside.
    pub min_excluded: bool,
    /// Largest value; infinity for none.
    pub max: f64,
    /// Whether `max` itself is outside.
    pub max_excluded: bool,
}

impl Range {
    /// `[min, max]`.
    pub const fn closed(min: f64, max: f64) -> Self {
        Range { min, min_excluded: false, max, max_excluded: false }
    }

    /// `[min, max)`.
    pub const fn half_open(min: f64, max: f64) -> Self {
        Range { min, min_excluded: false, max, max_excluded: true }
    }

    /// Above `min`.
    pub const fn above(min: f64) -> Self {
        Range { min, min_excluded: true, max: f64::INFINITY, max_excluded: true }
    }

    /// `min` or more.
    pub const fn at_least(min: f64) -> Self {
        Range::half_open(min, f64::INFINITY)
    }

    /// Whether `x` lies inside. NaN does not.
    pub fn contains(&self, x: f64) -> bool {
        let low = if self.min_excluded { x > self.min } else { x >= self.min };
        let high = if self.max_excluded { x < self.max } else { x <= self.max };
        low && high
    }

    /// In the notation of intervals.
    pub fn describe(&self) -> String {
        if self.max.is_infinite() {
            return format!("{} {}", if self.min_excluded { "above" } else { "at least" }, self.min);
        }
        let (open, close) = (if self.min_excluded { '(' } else { '[' }, if self.max_excluded { ')' } else { ']' });
        format!("in {open}{}, {}{close}", self.min, self.max)
    }
}

/// One hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Parameter {
    /// Its key in a config; a dot leads into a table.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// Its default, as JSON.
    pub default: &'static str,
    /// Bounds of its number or numbers.
    pub range: Option<Range>,
    /// One sentence on what it does.
    pub doc: &'static str,
}

/// A hyperparameter, for tables of many.
pub(crate) const fn parameter(
    name: &'static str,
    kind: Kind,
    default: &'static str,
    range: Option<Range>,
    doc: &'static str,
) -> Parameter {
    Parameter { name, kind, default, range, doc }
}

impl Parameter {
    /// What the setting chooses among, where it chooses.
    pub fn variants(&self) -> &'static [Variant] {
        match self.kind {
            Kind::Variant(variants) | Kind::Variants(variants) => variants,
            _ => &[],
        }
    }

    /// Those of its variants that a value names.
    pub fn chosen(&self, value: &Value) -> impl Iterator<Item = &'static Variant> {
        let words = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).to_vec();
        self.variants().iter().filter(move |variant| words.iter().any(|word| word == variant.id))
    }

    /// The default as a value.
    pub fn default_value(&self) -> Value {
        serde_json::from_str(self.default).unwrap_or(Value::Null)
    }

    /// What is wrong with `value` for this parameter; `None` if it may be used.
    pub fn problem(&self, value: &Value) -> Option<String> {
        if value.is_null() && self.default == "null" {
            return None;
        }
        let fits = match self.kind {
            Kind::Float => value.as_f64().is_some_and(f64::is_finite),
            Kind::Integer => value.as_i64().is_some(),
            Kind::IntegerOrNull => value.is_null() || value.as_i64().is_some(),
            Kind::Boolean => value.is_boolean(),
            Kind::Choice(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Kind::Variant(variants) => value.as_str().is_some_and(|word| ids(variants).contains(&word)),
            Kind::Variants(variants) => all_words(value, |word| ids(variants).contains(&word)),
            Kind::Floats => value.as_array().is_some_and(|list| list.iter().all(Value::is_number)),
            Kind::Words => all_words(value, |word| !word.is_empty()),
            Kind::Text => value.as_str().is_some_and(|text| !text.is_empty()),
        };
        if !fits {
            return Some(format!("must be {}", self.kind.describe()));
        }
        let range = self.range?;
        let one = value.as_f64().into_iter();
        let mut numbers = one.chain(value.as_array().into_iter().flatten().filter_map(Value::as_f64));
        numbers.any(|x| !range.contains(x)).then(|| format!("must be {}", range.describe()))
    }
}

fn all_words(value: &Value, allowed: impl Fn(&str) -> bool) -> bool {
    match value {
        Value::String(word) => allowed(word),
        Value::Array(list) => !list.is_empty() && list.iter().all(|item| item.as_str().is_some_and(&allowed)),
        _ => false,
    }
}

/// The first word that is there twice.
pub(crate) fn said_twice(words: &[String]) -> Option<&String> {
    words.iter().enumerate().find_map(|(at, word)| words[..at].contains(word).then_some(word))
}

/// What to say beside a complaint about a word that looks as if it were several.
pub(crate) fn as_list(word: &str) -> String {
    let parts: Vec<&str> = word.split(',').map(str::trim).collect();
    if parts.len() < 2 { String::new() } else { format!("; several are given as a list, {parts:?}") }
}

/// The values of all `parameters`: what was given, and defaults for the rest.
///
/// # Errors
/// In words: a name that is none of theirs, with the nearest; a value that one may not have.
pub fn settle(parameters: &[Parameter], given: &Map<String, Value>) -> Result<Map<String, Value>, String> {
    let names: Vec<&str> = parameters.iter().map(|parameter| parameter.name).collect();
    if let Some(unknown) = given.keys().find(|name| !names.contains(&name.as_str())) {
        let near = nearest(unknown, &names).map_or(String::new(), |near| format!("; did you mean {near}?"));
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(format!("there is no setting `{unknown}`{near} (there are: {known})"));
    }
    let settled = parameters.iter().map(|parameter| {
        let value = given.get(parameter.name).cloned().unwrap_or_else(|| parameter.default_value());
        match parameter.problem(&value) {
            Some(problem) => Err(format!("the setting `{}` {problem}; found {value}", parameter.name)),
            None => Ok((parameter.name.to_owned(), value)),
        }
    });
    settled.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_given_has_its_default_and_what_does_not_fit_is_told() {
        const ALL: &[Parameter] = &[parameter("size", Kind::Integer, "3", Some(Range::at_least(1.0)), "How many.")];
        let settled = |text: &str| settle(ALL, &serde_json::from_str(text).unwrap());
        assert_eq!(
            (settled("{}").unwrap()["size"].clone(), settled(r#"{"size": 5}"#).unwrap()["size"].clone()),
            (3.into(), 5.into())
        );
        assert!(settled(r#"{"sise": 5}"#).unwrap_err().contains("did you mean size?"));
        assert!(settled(r#"{"size": 0}"#).unwrap_err().contains("at least 1"));
    }
}
