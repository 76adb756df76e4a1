//! Jinja's filters, with limits.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use crate::arguments::Arguments;
use crate::budget::{Budget, failure};
use crate::operators::{self, Number};
use crate::value::{as_dict, as_list, check_plain, list, weight};
use crate::{json, predicates, python};

const KNOWN: [&str; 40] = [
    "abs",
    "attr",
    "batch",
    "capitalize",
    "count",
    "d",
    "default",
    "dictsort",
    "first",
    "float",
    "indent",
    "int",
    "items",
    "join",
    "last",
    "length",
    "list",
    "lower",
    "map",
    "max",
    "min",
    "reject",
    "rejectattr",
    "replace",
    "reverse",
    "round",
    "safe",
    "select",
    "selectattr",
    "sort",
    "string",
    "sum",
    "title",
    "tojson",
    "trim",
    "unique",
    "upper",
    "wordcount",
    "escape",
    "e",
];

/// Whether there is a filter of this name.
pub(crate) fn is_known(name: &str) -> bool {
    KNOWN.contains(&name)
}

/// Applies a filter.
pub(crate) fn apply(budget: &Budget, name: &str, value: &Value, values: &[Value]) -> Result<Value, Error> {
    budget.charge(weight(value))?;
    let call = Call { budget, name, value, arguments: Arguments::new(name, values)? };
    match name {
        "default" | "d" => call.default(),
        "string" | "safe" | "lower" | "upper" | "capitalize" | "title" | "trim" | "replace" | "indent"
        | "wordcount" | "escape" | "e" => call.of_text(),
        "tojson" => call.tojson(),
        "int" | "float" | "abs" | "round" => call.of_number(),
        "map" | "select" | "reject" | "selectattr" | "rejectattr" => call.of_each(),
        "items" | "dictsort" => call.of_mapping(),
        _ => call.of_sequence(),
    }
}

struct Call<'a> {
    budget: &'a Budget,
    name: &'a str,
    value: &'a Value,
    arguments: Arguments<'a>,
}

/// The items that a loop over a value sees.
pub(crate) fn items(budget: &Budget, value: &Value) -> Result<Vec<Value>, Error> {
    budget.charge(weight(value))?;
    if let Some(list) = as_list(value) {
        return Ok(list.items.clone());
    }
    if let Some(dict) = as_dict(value) {
        return Ok(dict.entries.iter().map(|(key, _)| key.clone()).collect());
    }
    match value.as_str() {
        Some(text) => {
            budget.charge(text.len().saturating_mul(size_of::<Value>()))?;
            Ok(text.chars().map(|character| Value::from(character.to_string())).collect())
        }
        None if value.is_undefined() => Ok(Vec::new()),
        None => Err(failure(format!("{} cannot be walked", value.kind()))),
    }
}

/// `attribute` as filters read it: names and indices with dots between.
fn attribute(budget: &Budget, value: &Value, path: &str) -> Result<Value, Error> {
    let mut value = value.clone();
    for part in path.split('.') {
        let key = part.parse::<i64>().map_or_else(|_| Value::from(part), Value::from);
        value = operators::item(budget, &value, &key)?;
    }
    Ok(value)
}

impl Call<'_> {
    fn text(&self) -> Result<String, Error> {
        python::text(self.budget, self.value)
    }

    fn made(&self, text: String) -> Result<Value, Error> {
        self.budget.charge(text.len())?;
        Ok(Value::from(text))
    }

    fn list(&self, items: Vec<Value>) -> Result<Value, Error> {
        list(self.budget, items, false)
    }

    fn items(&self) -> Result<Vec<Value>, Error> {
        items(self.budget, self.value)
    }

    fn default(&self) -> Result<Value, Error> {
        self.arguments.finish(2, &["default_value", "boolean"])?;
        let replaced = self.value.is_undefined() || (self.arguments.flag(1, "boolean") && !self.value.is_true());
        let other = || self.arguments.get(0, "default_value").unwrap_or_else(|| Value::from(""));
        Ok(if replaced { other() } else { self.value.clone() })
    }

    fn of_text(&self) -> Result<Value, Error> {
        let text = self.text()?;
        match self.name {
            "string" | "safe" => self.made(text),
            "lower" => self.made(text.to_lowercase()),
            "upper" => self.made(text.to_uppercase()),
            "capitalize" => self.made(python::capitalise(&text)),
            "title" => self.made(title(&text)),
            "trim" => {
                let characters = self.arguments.text(0, "chars")?;
                self.made(python::strip(&text, characters.as_deref(), true, true).to_owned())
            }
            "wordcount" => Ok(Value::from(
                text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).count(),
            )),
            "replace" => {
                let (old, new) = (self.arguments.required_text(0, "old")?, self.arguments.required_text(1, "new")?);
                let count = self.arguments.integer(2, "count")?;
                replaced(self.budget, &text, &old, &new, count).map(Value::from)
            }
            "indent" => self.indent(&text),
            _ => self.made(escaped(&text)),
        }
    }

    fn indent(&self, text: &str) -> Result<Value, Error> {
        let margin = match self.arguments.get(0, "width") {
            Some(value) if value.as_str().is_some() => value.as_str().unwrap_or_default().to_owned(),
            _ => {
                let width = self.arguments.integer(0, "width")?.unwrap_or(4).max(0);
                let width = usize::try_from(width).unwrap_or(usize::MAX);
                self.budget.charge(width)?;
                " ".repeat(width)
            }
        };
        // Jinja adds a line break first, so that a last one is kept.
        let ended = format!("{text}\n");
        let most = ended.chars().filter(|character| character.is_whitespace()).count();
        self.budget.charge(margin.len().saturating_add(size_of::<&str>()).saturating_mul(most))?;
        let lines = python::lines(&ended, false);
        let (first, blank) = (self.arguments.flag(1, "first"), self.arguments.flag(2, "blank"));
        let mut out = String::new();
        for (place, line) in lines.iter().enumerate() {
            let indented = if place == 0 { first } else { blank || !line.is_empty() };
            out.push_str(if place > 0 { "\n" } else { "" });
            out.push_str(if indented { &margin } else { "" });
            out.push_str(line);
        }
        self.made(out)
    }

    fn tojson(&self) -> Result<Value, Error> {
        const NAMES: [&str; 4] = ["ensure_ascii", "indent", "separators", "sort_keys"];
        self.arguments.finish(4, &NAMES)?;
        let indent = match self.arguments.get(1, "indent") {
            Some(value) if value.as_str().is_some() => value.as_str().map(str::to_owned),
            _ => match self.arguments.integer(1, "indent")? {
                None => None,
                Some(width) => {
                    let width = usize::try_from(width).unwrap_or(0);
                    self.budget.charge(width)?;
                    Some(" ".repeat(width))
                }
            },
        };
        let mut style = json::Style::new(indent);
        if let Some(separators) = self.arguments.get(2, "separators").filter(|value| !value.is_none()) {
            let pair = as_list(&separators).map(|list| list.items.as_slice());
            let Some([item, key]) = pair else { return Err(failure("`separators` must be two strings")) };
            style.item_separator = python::text(self.budget, item)?;
            style.key_separator = python::text(self.budget, key)?;
        }
        style.ensure_ascii = self.arguments.flag(0, "ensure_ascii");
        style.sort_keys = self.arguments.flag(3, "sort_keys");
        self.made(json::dumps(self.budget, self.value, &style)?)
    }

    fn of_number(&self) -> Result<Value, Error> {
        let parsed = Number::of(self.value).or_else(|| parse(self.value.as_str()?));
        match (self.name, parsed) {
            ("int", Some(Number::Float(value))) if value.is_finite() => {
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "truncation is what `int` means; the cast saturates"
                )]
                let whole = value.trunc() as i128;
                Number::Integer(whole).into_value()
            }
            ("int", Some(Number::Integer(value))) => Number::Integer(value).into_value(),
            ("int", _) => Ok(self.arguments.get(0, "default").unwrap_or_else(|| Value::from(0))),
            ("float", Some(value)) => Ok(Value::from(value.as_f64())),
            ("float", None) => Ok(self.arguments.get(0, "default").unwrap_or_else(|| Value::from(0.0))),
            ("abs", Some(Number::Integer(value))) => Number::Integer(value.abs()).into_value(),
            ("abs", Some(Number::Float(value))) => Ok(Value::from(value.abs())),
            ("round", Some(value)) => self.round(value),
            _ => Err(failure(format!("`{}` of {}", self.name, self.value.kind()))),
        }
    }

    fn round(&self, value: Number) -> Result<Value, Error> {
        let precision = self.arguments.integer(0, "precision")?.unwrap_or(0).clamp(0, 300);
        let method = self.arguments.text(1, "method")?.unwrap_or_else(|| "common".into());
        let digits = usize::try_from(precision).unwrap_or(0);
        let Number::Float(number) = value else { return value.into_value() };
        let scale = 10_f64.powi(i32::try_from(precision).unwrap_or(0));
        Ok(Value::from(match method.as_str() {
            "ceil" => (number * scale).ceil() / scale,
            "floor" => (number * scale).floor() / scale,
            // Formatting rounds the exact decimal value half to even, as Python does.
            "common" => format!("{number:.digits$}").parse().unwrap_or(number),
            _ => return Err(failure("`method` must be common, ceil or floor")),
        }))
    }

    fn of_each(&self) -> Result<Value, Error> {
        let items = self.items()?;
        if self.name == "map" {
            let mapped = items.iter().map(|item| self.mapped(item)).collect::<Result<_, _>>()?;
            return self.list(mapped);
        }
        let of_attribute = self.name.ends_with("attr");
        let path = if of_attribute { Some(self.arguments.required_text(0, "attribute")?) } else { None };
        let rest = &self.arguments.positional()[usize::from(of_attribute).min(self.arguments.positional().len())..];
        let wanted = self.name.starts_with("select");
        let mut chosen = Vec::new();
        for item in items {
            let tested = match &path {
                Some(path) => attribute(self.budget, &item, path)?,
                None => item.clone(),
            };
            if self.test(&tested, rest)? == wanted {
                chosen.push(item);
            }
        }
        self.list(chosen)
    }

    fn mapped(&self, item: &Value) -> Result<Value, Error> {
        if let Some(path) = self.arguments.keyword("attribute") {
            let path = python::text(self.budget, &path)?;
            let found = attribute(self.budget, item, &path)?;
            let default = self.arguments.keyword("default").filter(|_| found.is_undefined());
            return Ok(default.unwrap_or(found));
        }
        let name = self.arguments.required_text(0, "filter")?;
        if !is_known(&name) || name == "map" {
            return Err(failure(format!("`map` with `{name}`")));
        }
        apply(self.budget, &name, item, &self.arguments.positional()[1..])
    }

    fn test(&self, value: &Value, test: &[Value]) -> Result<bool, Error> {
        let Some((name, arguments)) = test.split_first() else { return Ok(value.is_true()) };
        let name = name.as_str().filter(|name| predicates::is_known(name)).ok_or_else(|| failure("an unknown test"))?;
        predicates::holds(self.budget, name, value, arguments)
    }

    fn of_mapping(&self) -> Result<Value, Error> {
        if self.name == "items" && self.value.is_undefined() {
            return self.list(Vec::new());
        }
        let dict = as_dict(self.value).ok_or_else(|| failure(format!("`{}` of {}", self.name, self.value.kind())))?;
        let mut entries = dict.entries.clone();
        if self.name == "dictsort" {
            self.arguments.finish(3, &["case_sensitive", "by", "reverse"])?;
            let by_value = self.arguments.text(1, "by")?.is_some_and(|by| by == "value");
            let key = |entry: &(Value, Value)| if by_value { entry.1.clone() } else { entry.0.clone() };
            entries = self.sorted(entries, key, self.arguments.flag(0, "case_sensitive"))?;
            if self.arguments.flag(2, "reverse") {
                entries.reverse();
            }
        }
        pairs(self.budget, entries)
    }

    /// A stable sort that can fail; letters are compared in lower case unless asked otherwise.
    fn sorted<T>(&self, items: Vec<T>, key: impl Fn(&T) -> Value, case_sensitive: bool) -> Result<Vec<T>, Error> {
        let fold = |value: Value| match value.as_str() {
            Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
            _ => value,
        };
        let mut keyed: Vec<(Value, T)> = items.into_iter().map(|item| (fold(key(&item)), item)).collect();
        let mut failed = None;
        keyed.sort_by(|a, b| {
            operators::order(self.budget, &a.0, &b.0).unwrap_or_else(|error| {
                failed.get_or_insert(error);
                std::cmp::Ordering::Equal
            })
        });
        match failed {
            Some(error) => Err(error),
            None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
        }
    }

    fn of_sequence(&self) -> Result<Value, Error> {
        match self.name {
            "length" | "count" => self.length(),
            "first" => Ok(self.items()?.into_iter().next().unwrap_or(Value::UNDEFINED)),
            "last" => Ok(self.items()?.pop().unwrap_or(Value::UNDEFINED)),
            "list" => self.list(self.items()?),
            "join" => self.join(),
            "reverse" => match self.value.as_str() {
                Some(text) => self.made(text.chars().rev().collect()),
                None => self.list(self.items()?.into_iter().rev().collect()),
            },
            "sort" => self.sort(),
            "unique" => self.unique(),
            "sum" => self.sum(),
            "min" | "max" => self.extreme(),
            "batch" => self.batch(),
            _ => attribute(self.budget, self.value, &self.arguments.required_text(0, "name")?),
        }
    }

    fn length(&self) -> Result<Value, Error> {
        let length = match (self.value.as_str(), as_list(self.value), as_dict(self.value)) {
            (Some(text), _, _) => text.chars().count(),
            (_, Some(list), _) => list.items.len(),
            (_, _, Some(dict)) => dict.entries.len(),
            _ if self.value.is_undefined() => 0,
            _ => return Err(failure(format!("{} has no length", self.value.kind()))),
        };
        Ok(Value::from(length))
    }

    fn join(&self) -> Result<Value, Error> {
        let separator = match self.arguments.get(0, "d") {
            Some(value) => python::text(self.budget, &value)?,
            None => String::new(),
        };
        let path = self.arguments.text(1, "attribute")?;
        let mut parts = Vec::new();
        for item in self.items()? {
            let item = match &path {
                Some(path) => attribute(self.budget, &item, path)?,
                None => item,
            };
            self.budget.charge(separator.len())?;
            parts.push(python::text(self.budget, &item)?);
        }
        self.made(parts.join(&separator))
    }

    fn sort(&self) -> Result<Value, Error> {
        let path = self.arguments.text(2, "attribute")?;
        let key = |item: &Value| match &path {
            Some(path) => attribute(self.budget, item, path).unwrap_or(Value::UNDEFINED),
            None => item.clone(),
        };
        let mut items = self.sorted(self.items()?, key, self.arguments.flag(1, "case_sensitive"))?;
        if self.arguments.flag(0, "reverse") {
            items.reverse();
        }
        self.list(items)
    }

    fn unique(&self) -> Result<Value, Error> {
        let case_sensitive = self.arguments.flag(0, "case_sensitive");
        let fold = |value: &Value| match value.as_str() {
            Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
            _ => value.clone(),
        };
        let mut kept: Vec<(Value, Value)> = Vec::new();
        for item in self.items()? {
            let folded = fold(&item);
            let mut seen = false;
            for (other, _) in &kept {
                seen = seen || operators::equal(self.budget, other, &folded)?;
            }
            if !seen {
                kept.push((folded, item));
            }
        }
        self.list(kept.into_iter().map(|(_, item)| item).collect())
    }

    fn sum(&self) -> Result<Value, Error> {
        let path = self.arguments.text(0, "attribute")?;
        let mut total = self.arguments.get(1, "start").unwrap_or_else(|| Value::from(0));
        for item in self.items()? {
            let item = match &path {
                Some(path) => attribute(self.budget, &item, path)?,
                None => item,
            };
            total = operators::arithmetic(self.budget, &[total, Value::from("+"), item])?;
        }
        Ok(total)
    }

    fn extreme(&self) -> Result<Value, Error> {
        let sorted = self.sorted(self.items()?, Value::clone, self.arguments.flag(0, "case_sensitive"))?;
        let found = if self.name == "min" { sorted.into_iter().next() } else { sorted.into_iter().next_back() };
        Ok(found.unwrap_or(Value::UNDEFINED))
    }

    fn batch(&self) -> Result<Value, Error> {
        let size = self
            .arguments
            .integer(0, "linecount")?
            .and_then(|size| usize::try_from(size).ok())
            .filter(|size| *size > 0);
        let size = size.ok_or_else(|| failure("`batch` needs a positive size"))?;
        let fill = self.arguments.get(1, "fill_with");
        let mut rows = Vec::new();
        for row in self.items()?.chunks(size) {
            let mut row = row.to_vec();
            if let Some(fill) = &fill {
                self.budget.charge(size.saturating_mul(size_of::<Value>()))?;
                row.resize(size, fill.clone());
            }
            rows.push(list(self.budget, row, false)?);
        }
        self.list(rows)
    }
}

/// A list of pairs.
pub(crate) fn pairs(budget: &Budget, entries: Vec<(Value, Value)>) -> Result<Value, Error> {
    let pair = |(key, value)| list(budget, vec![key, value], true);
    let pairs = entries.into_iter().map(pair).collect::<Result<_, _>>()?;
    list(budget, pairs, false)
}

/// What a replacement costs beside its text: finding many takes longer than copying.
const REPLACEMENT_BYTES: usize = 24;

/// `str.replace`; a negative count means all.
pub(crate) fn replaced(budget: &Budget, text: &str, old: &str, new: &str, count: Option<i64>) -> Result<String, Error> {
    let most = count.and_then(|count| usize::try_from(count).ok()).unwrap_or(usize::MAX);
    budget.charge(text.len())?;
    let found = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).count() };
    let each = new.len().saturating_add(REPLACEMENT_BYTES);
    budget.charge(text.len().saturating_add(found.min(most).saturating_mul(each)))?;
    Ok(text.replacen(old, new, most))
}

fn parse(text: &str) -> Option<Number> {
    let text = text.trim_matches(python::is_space).replace('_', "");
    text.parse().ok().map(Number::Integer).or_else(|| text.parse().ok().map(Number::Float))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&#39;").replace('"', "&#34;")
}

/// Jinja's `title`: a capital at the start and after white space, a hyphen or an opening bracket.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for character in text.chars() {
        if start {
            out.extend(character.to_uppercase());
        } else {
            out.extend(character.to_lowercase());
        }
        start = python::is_space(character) || matches!(character, '-' | '(' | '{' | '[' | '<');
    }
    out
}

/// A value that may be kept in a namespace.
pub(crate) fn kept(value: &Value) -> Result<Value, Error> {
    check_plain(value)?;
    if value.kind() == ValueKind::Invalid { Err(failure("an invalid value")) } else { Ok(value.clone()) }
}
