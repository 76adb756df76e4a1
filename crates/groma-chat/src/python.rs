//! Filters, methods and functions where minijinja's differ from those that transformers gives to templates.

use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, State, Value, escape_formatter};
use minijinja_contrib::pycompat;

use crate::error::{TemplateError, failure};
use crate::json::{Style, dumps, float};
use crate::operators::REAL;

/// Deepest nesting of lists and mappings that is kept.
const MAX_DEPTH: usize = 64;
/// Values that are walked for one unit of fuel.
const VALUES_FOR_FUEL: usize = 4;

/// Puts them into an environment.
pub(crate) fn install(environment: &mut Environment<'static>) {
    environment.add_filter("__keep", |state: &State<'_, '_>, value: Value| keep(state, value, false, 0));
    environment.add_filter("__keep_in", |state: &State<'_, '_>, value: Value| keep(state, value, true, 0));
    environment.add_filter(REAL, real);
    environment.add_filter("__walked", |value: Value| match value.is_none() {
        true => Err(failure("none cannot be walked")),
        false => Ok(value),
    });
    environment.add_filter("indent", indent);
    environment.add_filter("int", int);
    environment.add_filter("tojson", tojson);
    environment.add_filter("trim", |value: Value, characters: Option<&str>| match value.as_str() {
        Some(text) => strip(text, characters, true, true).to_owned(),
        None => strip(&value.to_string(), characters, true, true).to_owned(),
    });
    environment.add_test("iterable", |value: Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: Value| !value.is_undefined() && value.len().is_some());
    environment.remove_global("debug");
    environment.set_formatter(|output, state, value| match float(value) {
        Some(number) => output.write_str(&number).map_err(|_| failure("the output cannot be written")),
        None => escape_formatter(output, state, value),
    });
    environment.add_function("raise_exception", |message: Value| {
        let error = TemplateError::Raised { message: message.to_string() };
        Err::<Value, _>(failure(error.to_string()).with_source(error))
    });
    environment.set_unknown_method_callback(method);
}

/// A list in place of a promise of one, for fuel; any other value as it is.
fn real(state: &State<'_, '_>, value: Value) -> Result<Value, Error> {
    let is_made = value
        .as_object()
        .is_none_or(|object| object.downcast_ref::<Vec<Value>>().is_some() || object.downcast_ref::<Tuple>().is_some());
    if is_made || !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Ok(value);
    }
    let mut items = Vec::new();
    for item in value.try_iter()?.checked() {
        state.consume_fuel(1)?;
        items.push(item?);
    }
    Ok(Value::from(items))
}

/// A value that may be kept: nested no deeper than is safe to walk, what is lazy made into a list; in a namespace, nothing
/// that could hold the namespace.
fn keep(state: &State<'_, '_>, value: Value, in_namespace: bool, depth: usize) -> Result<Value, Error> {
    let Some(object) = value.as_object() else { return Ok(value) };
    if depth >= MAX_DEPTH {
        let error = TemplateError::Limit { what: "nested lists and mappings", limit: MAX_DEPTH };
        return Err(failure(error.to_string()).with_source(error));
    }
    let check = |values: &mut dyn Iterator<Item = Value>| {
        values.enumerate().try_for_each(|(at, value)| {
            state.consume_fuel(u64::from(at.is_multiple_of(VALUES_FOR_FUEL)))?;
            keep(state, value, in_namespace, depth + 1).map(drop)
        })
    };
    if let Some(items) = object.downcast_ref::<Vec<Value>>() {
        check(&mut items.iter().cloned())?;
    } else if let Some(items) = object.downcast_ref::<Tuple>() {
        check(&mut items.iter().cloned())?;
    } else if matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        let mut items = Vec::new();
        for item in value.try_iter()?.checked() {
            state.consume_fuel(1)?;
            items.push(keep(state, item?, in_namespace, depth + 1)?);
        }
        return Ok(Value::from(items));
    } else if value.kind() == ValueKind::Map && !object.type_name().ends_with("Namespace") {
        check(&mut object.try_iter_pairs().into_iter().flatten().flat_map(|(key, value)| [key, value]))?;
    } else if in_namespace || depth > 0 {
        return Err(failure("only plain values can be kept in a list, a mapping or a namespace"));
    }
    Ok(value)
}

/// `tojson` as transformers defines it: Python's `json.dumps` without HTML escapes.
fn tojson(state: &State<'_, '_>, value: &Value, options: Kwargs) -> Result<String, Error> {
    let indent = match options.get::<Option<Value>>("indent")?.filter(|indent| !indent.is_none()) {
        Some(indent) => Some(match indent.as_str() {
            Some(text) => text.to_owned(),
            None => {
                let width = usize::try_from(indent)?;
                state.consume_fuel(width as u64)?;
                " ".repeat(width)
            }
        }),
        None => None,
    };
    let (item, key) = match options.get::<Option<Value>>("separators")?.filter(|pair| !pair.is_none()) {
        Some(pair) => (pair.get_item_by_index(0)?.to_string(), pair.get_item_by_index(1)?.to_string()),
        None => (if indent.is_some() { "," } else { ", " }.into(), ": ".into()),
    };
    let flag = |name| Ok::<_, Error>(options.get::<Option<Value>>(name)?.is_some_and(|value| value.is_true()));
    let style = Style { indent, item, key, ensure_ascii: flag("ensure_ascii")?, sort_keys: flag("sort_keys")? };
    options.assert_all_used()?;
    dumps(state, value, &style)
}

/// `int`, which is 0 of what is no number.
fn int(state: &State<'_, '_>, value: &Value, default: Option<Value>, options: Kwargs) -> Result<Value, Error> {
    let default = default.map_or_else(|| options.get::<Option<Value>>("default"), |default| Ok(Some(default)))?;
    minijinja::filters::int(state, value, default.or(Some(Value::from(0))), None, options)
}

/// `indent`, which keeps a line break at the end.
fn indent(state: &State<'_, '_>, arguments: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let arguments = arguments.into_values();
    let (text, width, first, blank, options): (&str, Option<usize>, Option<bool>, Option<bool>, Kwargs) =
        from_args(&arguments)?;
    let width = width.map_or_else(|| options.get::<Option<usize>>("width"), |width| Ok(Some(width)))?.unwrap_or(4);
    let flag = |given: Option<bool>, name| given.map_or_else(|| options.get::<Option<bool>>(name), |on| Ok(Some(on)));
    let (first, blank) = (flag(first, "first")?.unwrap_or(false), flag(blank, "blank")?.unwrap_or(false));
    options.assert_all_used()?;
    let lines = text.matches('\n').count() + 1;
    state.consume_fuel((width.saturating_mul(lines) / 64) as u64)?;
    let margin = " ".repeat(width);
    let mut out = String::new();
    for (place, line) in text.split('\n').enumerate() {
        let indented = if place == 0 { first } else { blank || !line.is_empty() };
        out.push_str(if place > 0 { "\n" } else { "" });
        out.push_str(if indented { &margin } else { "" });
        out.push_str(line);
    }
    Ok(out)
}

/// What Python's `str` takes for white space.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

fn strip<'a>(text: &'a str, characters: Option<&str>, start: bool, end: bool) -> &'a str {
    let taken = |character: char| characters.map_or_else(|| is_space(character), |all| all.contains(character));
    let text = if start { text.trim_start_matches(taken) } else { text };
    if end { text.trim_end_matches(taken) } else { text }
}

/// `str.splitlines`.
fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let ends_line =
        |c: char| matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(end) = rest.find(ends_line) {
        let length =
            if rest[end..].starts_with("\r\n") { 2 } else { rest[end..].chars().next().map_or(0, char::len_utf8) };
        parts.push(&rest[..if keep_ends { end + length } else { end }]);
        rest = &rest[end + length..];
    }
    parts.extend(Some(rest).filter(|rest| !rest.is_empty()));
    parts
}

/// `str.split` without a separator.
fn words(text: &str, most: usize) -> Vec<&str> {
    let mut rest = text.trim_start_matches(is_space);
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let Some(end) = rest.find(is_space).filter(|_| parts.len() < most) else {
            parts.push(rest);
            break;
        };
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    parts
}

fn split(text: &str, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (separator, most, options): (Option<&str>, Option<i64>, Kwargs) = from_args(arguments)?;
    let separator = separator.map_or_else(|| options.get::<Option<&str>>("sep"), |given| Ok(Some(given)))?;
    let most = most.map_or_else(|| options.get::<Option<i64>>("maxsplit"), |given| Ok(Some(given)))?;
    options.assert_all_used()?;
    let most = most.and_then(|most| usize::try_from(most).ok()).unwrap_or(usize::MAX);
    let mut parts: Vec<&str> = match (separator, name) {
        (Some(""), _) => return Err(failure("an empty separator")),
        (Some(separator), "split") => text.splitn(most.saturating_add(1), separator).collect(),
        (Some(separator), _) => text.rsplitn(most.saturating_add(1), separator).collect(),
        (None, "split") => words(text, most),
        (None, _) => return Err(failure("`rsplit` without a separator")),
    };
    if name == "rsplit" {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect())
}

fn partition(text: &str, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let (separator,): (&str,) = from_args(arguments)?;
    let from_right = name == "rpartition";
    let cut = if from_right { text.rsplit_once(separator) } else { text.split_once(separator) };
    let parts = match cut {
        Some((before, after)) => [before, separator, after],
        None if from_right => ["", "", text],
        None => [text, "", ""],
    };
    Ok(Value::from(Tuple::from(parts.map(Value::from))))
}

/// `str.title`: a capital after everything that is no letter.
fn title(text: &str) -> String {
    let mut after_letter = false;
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match std::mem::replace(&mut after_letter, character.is_alphabetic()) {
            true => out.extend(character.to_lowercase()),
            false => out.extend(character.to_uppercase()),
        }
    }
    out
}

/// Formats may repeat what they are given, and widths make text of nothing.
fn check_format(state: &State<'_, '_>, format: &str, arguments: &[Value]) -> Result<(), Error> {
    let fields: Vec<&str> = format.split('{').skip(1).filter_map(|rest| rest.split('}').next()).collect();
    if fields.iter().any(|field| field.contains([':', '!', '.', '['])) {
        return Err(failure("`format` with more than the names and places of its fields"));
    }
    let mut bytes = 0_usize;
    for argument in arguments {
        let named = argument.as_object().filter(|_| argument.is_kwargs()).and_then(|all| all.try_iter_pairs());
        let values = named.map_or_else(|| vec![argument.clone()], |pairs| pairs.map(|(_, value)| value).collect());
        if values.iter().any(|value| value.as_object().is_some()) {
            return Err(failure("`format` of a list or mapping"));
        }
        bytes += values.iter().filter_map(Value::as_str).map(str::len).sum::<usize>();
    }
    state.consume_fuel((bytes.saturating_mul(fields.len()) / 64) as u64)
}

/// Methods that minijinja does not have, and those of strings where its own differ.
fn method(state: &mut State<'_, '_>, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let Some(text) = value.as_str() else {
        return pycompat::unknown_method_callback(state, value, name, arguments);
    };
    // A part of a text takes several times the memory of its bytes.
    let work = if name.contains("split") { text.len() / 2 } else { text.len() / 64 };
    state.consume_fuel(work as u64)?;
    match name {
        "strip" | "lstrip" | "rstrip" => {
            let (characters,): (Option<&str>,) = from_args(arguments)?;
            Ok(Value::from(strip(text, characters, name != "rstrip", name != "lstrip")))
        }
        "title" => Ok(Value::from(title(text))),
        "casefold" => Ok(Value::from(text.to_lowercase())),
        "split" | "rsplit" => split(text, name, arguments),
        "splitlines" => {
            let (keep_ends,): (Option<bool>,) = from_args(arguments)?;
            Ok(lines(text, keep_ends.unwrap_or(false)).into_iter().map(Value::from).collect())
        }
        "partition" | "rpartition" => partition(text, name, arguments),
        "removeprefix" | "removesuffix" => {
            let (affix,): (&str,) = from_args(arguments)?;
            let rest = if name == "removeprefix" { text.strip_prefix(affix) } else { text.strip_suffix(affix) };
            Ok(Value::from(rest.unwrap_or(text)))
        }
        "format" => {
            check_format(state, text, arguments)?;
            pycompat::unknown_method_callback(state, value, name, arguments)
        }
        _ => pycompat::unknown_method_callback(state, value, name, arguments),
    }
}
