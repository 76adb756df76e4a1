//! A hyperparameter as data: from it come the checks of a config, `--help`, `groma methods` and the test matrix.

use serde::Serialize;
use serde_json::Value;

/// What a parameter's value may be. `null` is allowed where it is the default.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A finite number.
    Float,
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// One or several of these words.
    Choices(&'static [&'static str]),
    /// Numbers.
    Floats,
    /// One or several words of the user's.
    Words,
}

impl Kind {
    /// In words, for messages and help.
    pub fn describe(self) -> String {
        match self {
            Kind::Float => "a number".into(),
            Kind::Integer => "a whole number".into(),
            Kind::Boolean => "true or false".into(),
            Kind::Choice(words) => format!("one of {}", words.join(", ")),
            Kind::Choices(words) => format!("one or several of {}", words.join(", ")),
            Kind::Floats => "a list of numbers".into(),
            Kind::Words => "a word or a list of words".into(),
        }
    }
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

impl Parameter {
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
            Kind::Boolean => value.is_boolean(),
            Kind::Choice(words) => value.as_str().is_some_and(|word| words.contains(&word)),
            Kind::Choices(words) => all_words(value, |word| words.contains(&word)),
            Kind::Floats => value.as_array().is_some_and(|list| list.iter().all(Value::is_number)),
            Kind::Words => all_words(value, |word| !word.is_empty()),
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
