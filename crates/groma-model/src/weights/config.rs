//! A Hugging Face configuration (`config.json`, `adapter_config.json`) read field by field.
//!
//! Every field is accounted for: read, known to be without influence, or reported. So a field that changes what a model
//! computes cannot be passed over in silence.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// Largest configuration that is read, in bytes.
pub const CONFIG_BYTES_LIMIT: u64 = 4 << 20;

/// Deepest nesting of a configuration.
const DEPTH_LIMIT: usize = 32;

/// Largest value of any size in a configuration (products of two fit 64 bits).
const SIZE_LIMIT: u64 = 1 << 28;

/// The JSON object in a configuration file.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    path: PathBuf,
    map: Map<String, Value>,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// Where it is missing, larger than [`CONFIG_BYTES_LIMIT`], not a JSON object, or nested absurdly.
    pub fn read(path: &Path) -> Result<Config> {
        let bytes = read_limited(path, "a configuration", CONFIG_BYTES_LIMIT)?;
        Config::parse(path, &bytes)
    }

    /// Parses the contents of `path`.
    ///
    /// # Errors
    /// As [`Config::read`].
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Config> {
        let value: Value = serde_json::from_slice(bytes).map_err(|source| Error::Json { path: path.into(), source })?;
        let whole = |problem: &str| Error::Field { path: path.into(), field: ".".into(), problem: problem.into() };
        if depth_exceeds(&value, DEPTH_LIMIT) {
            return Err(whole("is nested too deeply"));
        }
        match value {
            Value::Object(map) => Ok(Config { path: path.into(), map }),
            _ => Err(whole("must be an object")),
        }
    }

    /// A configuration made in memory, to be written to `path`.
    pub fn new(path: &Path, map: Map<String, Value>) -> Config {
        Config { path: path.into(), map }
    }

    /// Where it was read.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of it.
    pub fn map(&self) -> &Map<String, Value> {
        &self.map
    }

    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields { path: &self.path, prefix: String::new(), map: &self.map, used: RefCell::default() }
    }
}

/// Reads a whole file of at most `limit` bytes.
pub(crate) fn read_limited(path: &Path, what: &'static str, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a file that grows or has no length (a pipe) is caught too.
    file.take(limit + 1).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit {
        let bytes = std::fs::metadata(path).map_or(bytes.len() as u64, |metadata| metadata.len());
        return Err(Error::TooLarge { path: path.into(), what, bytes, limit });
    }
    Ok(bytes)
}

fn depth_exceeds(value: &Value, limit: usize) -> bool {
    let below = |inner: &Value| limit == 0 || depth_exceeds(inner, limit - 1);
    match value {
        Value::Array(items) => items.iter().any(below),
        Value::Object(map) => map.values().any(below),
        _ => false,
    }
}

/// Typed access to an object that remembers which fields were asked for. Null counts as absent.
pub(crate) struct Fields<'a> {
    path: &'a Path,
    prefix: String,
    map: &'a Map<String, Value>,
    used: RefCell<BTreeSet<String>>,
}

impl<'a> Fields<'a> {
    /// Whether the field is there, be it null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.contains_key(name)
    }

    /// The first of several spellings that is there, else the first; all count as read.
    pub(crate) fn spelling<'n>(&self, names: &[&'n str]) -> &'n str {
        self.accept(names);
        names.iter().copied().find(|name| self.has(name)).unwrap_or(names[0])
    }

    /// Marks fields as known and without influence.
    pub(crate) fn accept(&self, names: &[&str]) {
        self.used.borrow_mut().extend(names.iter().map(|name| name.to_string()));
    }

    /// An error about a field.
    pub(crate) fn error(&self, name: &str, problem: impl Into<String>) -> Error {
        Error::Field { path: self.path.into(), field: format!("{}{name}", self.prefix), problem: problem.into() }
    }

    fn wrong(&self, name: &str, expected: &str, found: &Value) -> Error {
        self.error(name, format!("must be {expected}, found {}", shorten(found)))
    }

    pub(crate) fn missing(&self, name: &str) -> Error {
        self.error(name, "is missing")
    }

    /// The value itself.
    pub(crate) fn value(&self, name: &str) -> Option<&'a Value> {
        self.accept(&[name]);
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// A size of at least 1.
    pub(crate) fn optional_size(&self, name: &str) -> Result<Option<usize>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match value.as_u64() {
            Some(size @ 1..=SIZE_LIMIT) => Ok(Some(size as usize)),
            _ => Err(self.wrong(name, &format!("a whole number from 1 to {SIZE_LIMIT}"), value)),
        }
    }

    pub(crate) fn size(&self, name: &str) -> Result<usize> {
        self.optional_size(name)?.ok_or_else(|| self.missing(name))
    }

    pub(crate) fn size_or(&self, name: &str, default: usize) -> Result<usize> {
        Ok(self.optional_size(name)?.unwrap_or(default))
    }

    /// A whole number, 0 included.
    pub(crate) fn count_or(&self, name: &str, default: usize) -> Result<usize> {
        let Some(value) = self.value(name) else { return Ok(default) };
        match value.as_u64() {
            Some(count @ 0..=SIZE_LIMIT) => Ok(count as usize),
            _ => Err(self.wrong(name, &format!("a whole number from 0 to {SIZE_LIMIT}"), value)),
        }
    }

    /// A positive number.
    pub(crate) fn optional_positive(&self, name: &str) -> Result<Option<f64>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match value.as_f64() {
            Some(number) if number > 0.0 && number.is_finite() => Ok(Some(number)),
            _ => Err(self.wrong(name, "a positive number", value)),
        }
    }

    pub(crate) fn positive_or(&self, name: &str, default: f64) -> Result<f64> {
        Ok(self.optional_positive(name)?.unwrap_or(default))
    }

    pub(crate) fn positive(&self, name: &str) -> Result<f64> {
        self.optional_positive(name)?.ok_or_else(|| self.missing(name))
    }

    pub(crate) fn flag_or(&self, name: &str, default: bool) -> Result<bool> {
        match self.value(name) {
            None => Ok(default),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => Err(self.wrong(name, "true or false", other)),
        }
    }

    pub(crate) fn text(&self, name: &str) -> Result<Option<&'a str>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(self.wrong(name, "a string", other)),
        }
    }

    pub(crate) fn list(&self, name: &str) -> Result<Option<&'a [Value]>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Array(items)) => Ok(Some(items)),
            Some(other) => Err(self.wrong(name, "a list", other)),
        }
    }

    pub(crate) fn texts(&self, name: &str) -> Result<Option<Vec<&'a str>>> {
        let Some(items) = self.list(name)? else { return Ok(None) };
        items
            .iter()
            .map(|item| item.as_str().ok_or_else(|| self.wrong(name, "a list of strings", item)))
            .collect::<Result<_>>()
            .map(Some)
    }

    /// Exactly `count` positive numbers.
    pub(crate) fn positives(&self, name: &str, count: usize) -> Result<Vec<f64>> {
        let items = self.list(name)?.ok_or_else(|| self.missing(name))?;
        if items.len() != count {
            return Err(self.error(name, format!("must have {count} numbers, found {}", items.len())));
        }
        let positive = |item: &Value| item.as_f64().filter(|number| *number > 0.0 && number.is_finite());
        items
            .iter()
            .map(|item| positive(item).ok_or_else(|| self.wrong(name, "a list of positive numbers", item)))
            .collect()
    }

    /// An object below this one; its fields are accounted for by its own [`Fields::finish`].
    pub(crate) fn object(&self, name: &str) -> Result<Option<Fields<'a>>> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields {
                path: self.path,
                prefix: format!("{}{name}.", self.prefix),
                map,
                used: RefCell::default(),
            })),
            Some(other) => Err(self.wrong(name, "an object", other)),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// An error unless the field is absent or has the value that changes nothing.
    pub(crate) fn require_neutral(&self, name: &str, neutral: &Value, why: &str) -> Result<()> {
        match self.value(name) {
            Some(value) if value != neutral => {
                Err(self.error(name, format!("is {}, which is not supported: {why}", shorten(value))))
            }
            _ => Ok(()),
        }
    }

    /// An error that names all fields that nobody read and that are not neutral by their value (null, false, empty).
    pub(crate) fn finish(self, inert: &[&[&str]]) -> Result<()> {
        let used = self.used.borrow();
        let is_inert = |name: &str| name.starts_with('_') || inert.iter().any(|names| names.contains(&name));
        let unread = |name: &str| !used.contains(name) && !is_inert(name);
        let fields: Vec<String> = self
            .map
            .iter()
            .filter(|(name, value)| unread(name) && !is_empty_value(value))
            .map(|(name, value)| describe_unknown(&self.prefix, name, value, &used))
            .collect();
        if fields.is_empty() { Ok(()) } else { Err(Error::UnknownFields { path: self.path.into(), fields }) }
    }
}

fn is_empty_value(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(true) | Value::Number(_) => false,
    }
}

fn describe_unknown(prefix: &str, name: &str, value: &Value, known: &BTreeSet<String>) -> String {
    let nearest = known
        .iter()
        .map(|candidate| (strsim::jaro_winkler(candidate, name), candidate))
        .filter(|(similarity, _)| *similarity > 0.9)
        .max_by(|left, right| left.0.total_cmp(&right.0));
    let meant = nearest.map(|(_, candidate)| format!(" (is `{candidate}` meant?)")).unwrap_or_default();
    format!("`{prefix}{name}` = {}{meant}", shorten(value))
}

/// The value as JSON, cut to what fits a line.
fn shorten(value: &Value) -> String {
    const SHOWN: usize = 60;
    let text = value.to_string();
    if text.chars().count() <= SHOWN {
        return text;
    }
    text.chars().take(SHOWN).chain("...".chars()).collect()
}
