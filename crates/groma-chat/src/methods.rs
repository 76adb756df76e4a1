//! Python's methods of strings, lists and mappings, with limits. Methods that change their object are not there.

use minijinja::{Error, ErrorKind, Value};

use crate::arguments::Arguments;
use crate::budget::{Budget, failure};
use crate::filters::{self, items, pairs, replaced};
use crate::operators;
use crate::python;
use crate::value::{Dict, Key, List, as_dict, as_list, list, weight};

/// What a part of a cut text takes beside its characters.
const PART_BYTES: usize = 96;

/// Calls `value.name(values...)`.
pub(crate) fn call(budget: &Budget, value: &Value, name: &str, values: &[Value]) -> Result<Value, Error> {
    budget.charge(weight(value))?;
    let arguments = Arguments::new(name, values)?;
    let unknown = || Error::new(ErrorKind::UnknownMethod, format!("{} has no method `{name}`", value.kind()));
    if value.is_undefined() {
        return Err(Error::new(ErrorKind::UndefinedError, format!("`{name}` of an undefined value")));
    }
    let result = if let Some(text) = value.as_str() {
        TextCall { budget, text, arguments }.call(name)?
    } else if let Some(list) = as_list(value) {
        of_list(budget, list, name, &arguments)?
    } else if let Some(dict) = as_dict(value) {
        of_dict(budget, dict, name, &arguments)?
    } else {
        None
    };
    result.ok_or_else(unknown)
}

fn of_list(budget: &Budget, list: &List, name: &str, arguments: &Arguments<'_>) -> Result<Option<Value>, Error> {
    if !matches!(name, "index" | "count") {
        return Ok(None);
    }
    let wanted = arguments.required(0, "value")?;
    let mut places = Vec::new();
    for (place, item) in list.items.iter().enumerate() {
        if operators::equal(budget, item, &wanted)? {
            places.push(place);
        }
    }
    if name == "count" {
        return Ok(Some(Value::from(places.len())));
    }
    places.first().map(|place| Some(Value::from(*place))).ok_or_else(|| failure("`index` of an item that is not there"))
}

fn of_dict(budget: &Budget, dict: &Dict, name: &str, arguments: &Arguments<'_>) -> Result<Option<Value>, Error> {
    let entries = dict.entries.iter();
    Ok(Some(match name {
        "get" => {
            let key = arguments.required(0, "key")?;
            budget.charge(weight(&key))?;
            let found = Key::of(&key).and_then(|key| dict.get(&key)).cloned();
            found.or_else(|| arguments.get(1, "default")).unwrap_or_else(|| Value::from(()))
        }
        "keys" => list(budget, entries.map(|(key, _)| key.clone()).collect(), false)?,
        "values" => list(budget, entries.map(|(_, value)| value.clone()).collect(), false)?,
        "items" => pairs(budget, dict.entries.clone())?,
        "copy" => crate::value::dict(budget, dict.entries.clone())?,
        _ => return Ok(None),
    }))
}

struct TextCall<'a> {
    budget: &'a Budget,
    text: &'a str,
    arguments: Arguments<'a>,
}

impl TextCall<'_> {
    fn call(&self, name: &str) -> Result<Option<Value>, Error> {
        let text = self.text;
        Ok(Some(match name {
            "strip" | "lstrip" | "rstrip" => {
                let characters = self.arguments.text(0, "chars")?;
                let (start, end) = (name != "rstrip", name != "lstrip");
                Value::from(python::strip(text, characters.as_deref(), start, end))
            }
            "upper" => Value::from(text.to_uppercase()),
            "lower" | "casefold" => Value::from(text.to_lowercase()),
            "title" => Value::from(python::title(text)),
            "capitalize" => Value::from(python::capitalise(text)),
            "split" | "rsplit" | "splitlines" | "partition" | "rpartition" => self.parts(name)?,
            "replace" => {
                let (old, new) = (self.arguments.required_text(0, "old")?, self.arguments.required_text(1, "new")?);
                Value::from(replaced(self.budget, text, &old, &new, self.arguments.integer(2, "count")?)?)
            }
            "startswith" | "endswith" => self.affix(name == "startswith")?,
            "removeprefix" => {
                let affix = self.arguments.required_text(0, "prefix")?;
                Value::from(text.strip_prefix(affix.as_str()).unwrap_or(text))
            }
            "removesuffix" => {
                let affix = self.arguments.required_text(0, "suffix")?;
                Value::from(text.strip_suffix(affix.as_str()).unwrap_or(text))
            }
            "find" | "rfind" | "index" | "rindex" => self.find(name)?,
            "count" => Value::from(self.count(&self.arguments.required_text(0, "sub")?)),
            "join" => self.join()?,
            "format" => self.format()?,
            "ljust" | "rjust" | "center" | "zfill" => self.justified(name)?,
            _ => match self.character_class(name) {
                Some(holds) => Value::from(holds),
                None => return Ok(None),
            },
        }))
    }

    fn character_class(&self, name: &str) -> Option<bool> {
        let all = |holds: fn(char) -> bool| !self.text.is_empty() && self.text.chars().all(holds);
        let any = |holds: fn(char) -> bool| self.text.chars().any(holds);
        Some(match name {
            "isdigit" | "isdecimal" | "isnumeric" => all(char::is_numeric),
            "isalpha" => all(char::is_alphabetic),
            "isalnum" => all(char::is_alphanumeric),
            "isspace" => all(python::is_space),
            "isascii" => self.text.is_ascii(),
            "islower" => any(char::is_lowercase) && !any(char::is_uppercase),
            "isupper" => any(char::is_uppercase) && !any(char::is_lowercase),
            _ => return None,
        })
    }

    fn parts(&self, name: &str) -> Result<Value, Error> {
        let own =
            |parts: Vec<String>, is_tuple| list(self.budget, parts.into_iter().map(Value::from).collect(), is_tuple);
        if name == "splitlines" {
            self.charge_parts(self.text.chars().filter(|character| character.is_whitespace()).count())?;
            let lines = python::lines(self.text, self.arguments.flag(0, "keepends"));
            return own(lines.into_iter().map(str::to_owned).collect(), false);
        }
        let separator = self.arguments.text(0, "sep")?;
        if separator.as_ref().is_some_and(String::is_empty) {
            return Err(failure("an empty separator"));
        }
        let from_right = name.starts_with('r');
        if name.ends_with("partition") {
            let separator = separator.ok_or_else(|| failure("`partition` needs `sep`"))?;
            let cut = if from_right { self.text.rsplit_once(&separator) } else { self.text.split_once(&separator) };
            let parts = match cut {
                Some((before, after)) => [before.to_owned(), separator, after.to_owned()],
                None if from_right => [String::new(), String::new(), self.text.to_owned()],
                None => [self.text.to_owned(), String::new(), String::new()],
            };
            return own(parts.to_vec(), true);
        }
        let most = self.arguments.integer(1, "maxsplit")?.and_then(|most| usize::try_from(most).ok());
        let cuts = match &separator {
            Some(separator) => self.text.matches(separator.as_str()).count(),
            None => self.text.chars().filter(|character| python::is_space(*character)).count(),
        };
        self.charge_parts(cuts.min(most.unwrap_or(usize::MAX)))?;
        own(python::split(self.text, separator.as_deref(), most, from_right), false)
    }

    /// What so many cuts of the text cost.
    fn charge_parts(&self, cuts: usize) -> Result<(), Error> {
        self.budget.charge(cuts.saturating_mul(PART_BYTES).saturating_add(self.text.len()))
    }

    fn affix(&self, start: bool) -> Result<Value, Error> {
        let wanted = self.arguments.required(0, "prefix")?;
        let affixes = match (wanted.as_str(), as_list(&wanted)) {
            (Some(_), _) => vec![wanted.clone()],
            (_, Some(list)) if list.is_tuple => list.items.clone(),
            _ => return Err(failure("`startswith` and `endswith` need a string or a tuple of strings")),
        };
        let from = self.arguments.integer(1, "start")?.unwrap_or(0);
        let skipped = usize::try_from(from).unwrap_or(0);
        let text = match self.text.char_indices().nth(skipped) {
            Some((at, _)) => &self.text[at..],
            None => "",
        };
        self.budget.charge(affixes.len())?;
        let fits = |affix: &Value| {
            affix.as_str().is_some_and(|affix| if start { text.starts_with(affix) } else { text.ends_with(affix) })
        };
        Ok(Value::from(affixes.iter().any(fits)))
    }

    fn find(&self, name: &str) -> Result<Value, Error> {
        let wanted = self.arguments.required_text(0, "sub")?;
        let found = if name.starts_with('r') { self.text.rfind(&wanted) } else { self.text.find(&wanted) };
        match found {
            Some(at) => Ok(Value::from(self.text[..at].chars().count())),
            None if name.ends_with("find") => Ok(Value::from(-1)),
            None => Err(failure("`index` of a string that is not there")),
        }
    }

    fn count(&self, wanted: &str) -> usize {
        if wanted.is_empty() { self.text.chars().count() + 1 } else { self.text.matches(wanted).count() }
    }

    fn join(&self) -> Result<Value, Error> {
        let mut parts = Vec::new();
        for item in items(self.budget, &self.arguments.required(0, "iterable")?)? {
            self.budget.charge(self.text.len())?;
            let part = item.as_str().ok_or_else(|| failure(format!("`join` of {}", item.kind())))?;
            parts.push(part.to_owned());
        }
        self.budget.charge(parts.iter().map(String::len).sum())?;
        Ok(Value::from(parts.join(self.text)))
    }

    /// `{}`, `{0}` and `{name}`; widths and conversions are not there.
    fn format(&self) -> Result<Value, Error> {
        let mut out = String::new();
        let mut next = 0;
        let mut rest = self.text;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let doubled = rest[at..].starts_with("{{") || rest[at..].starts_with("}}");
            if doubled {
                out.push_str(&rest[at..=at]);
                rest = &rest[at + 2..];
                continue;
            }
            let inside = rest[at..].strip_prefix('{').and_then(|field| field.split_once('}'));
            let (field, after) = inside.ok_or_else(|| failure("a format with a single bracket"))?;
            let value = match field.parse::<usize>() {
                Ok(place) => self.arguments.positional().get(place).cloned(),
                Err(_) if field.is_empty() => {
                    next += 1;
                    self.arguments.positional().get(next - 1).cloned()
                }
                Err(_) => self.arguments.keyword(field),
            };
            let value = value.ok_or_else(|| failure(format!("a format field `{field}` that cannot be filled")))?;
            out.push_str(&python::text(self.budget, &value)?);
            rest = after;
        }
        out.push_str(rest);
        self.budget.charge(out.len())?;
        Ok(Value::from(out))
    }

    fn justified(&self, name: &str) -> Result<Value, Error> {
        let width = self.arguments.integer(0, "width")?.and_then(|width| usize::try_from(width).ok()).unwrap_or(0);
        let filler = if name == "zfill" { Some("0".into()) } else { self.arguments.text(1, "fillchar")? };
        let filler = filler.unwrap_or_else(|| " ".to_owned());
        if filler.chars().count() != 1 {
            return Err(failure("`fillchar` must be one character"));
        }
        let missing = width.saturating_sub(self.text.chars().count());
        self.budget.charge(missing.saturating_mul(filler.len()).saturating_add(self.text.len()))?;
        let before = match name {
            "ljust" => 0,
            // Python puts the odd one before, unless the width is even.
            "center" => missing / 2 + (missing & width & 1),
            _ => missing,
        };
        let signed = name == "zfill" && self.text.starts_with(['+', '-']);
        let (sign, digits) = self.text.split_at(usize::from(signed));
        Ok(Value::from(format!("{sign}{}{digits}{}", filler.repeat(before), filler.repeat(missing - before))))
    }
}

/// Whether a value can be walked without a call; used by the loop guard.
pub(crate) fn iterable(budget: &Budget, value: &Value) -> Result<Value, Error> {
    if as_list(value).is_some() {
        budget.charge(0)?;
        return Ok(value.clone());
    }
    list(budget, filters::items(budget, value)?, false)
}
