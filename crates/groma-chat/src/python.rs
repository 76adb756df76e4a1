//! Python's text forms and string functions, as far as templates show them.

use minijinja::value::ValueKind;
use minijinja::{Error, Value};

use crate::budget::{Budget, failure};
use crate::value::{as_dict, as_list, weight};

/// `str.isspace` of one character: Unicode white space and the separators U+001C to U+001F.
pub(crate) fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\x1c'..='\x1f').contains(&character)
}

/// `str(value)`.
pub(crate) fn text(budget: &Budget, value: &Value) -> Result<String, Error> {
    budget.charge(weight(value))?;
    let mut out = String::new();
    match value.as_str() {
        Some(text) => out.push_str(text),
        None => write_representation(budget, value, &mut out)?,
    }
    Ok(out)
}

/// `repr(value)`, but undefined is empty.
fn write_representation(budget: &Budget, value: &Value, out: &mut String) -> Result<(), Error> {
    match value.kind() {
        ValueKind::Undefined => {}
        ValueKind::None => out.push_str("None"),
        ValueKind::Bool => out.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::Number => out.push_str(&number(value)),
        ValueKind::String => quote(value.as_str().unwrap_or_default(), out),
        _ => return write_container(budget, value, out),
    }
    Ok(())
}

fn write_container(budget: &Budget, value: &Value, out: &mut String) -> Result<(), Error> {
    if let Some(list) = as_list(value) {
        out.push(if list.is_tuple { '(' } else { '[' });
        for (place, item) in list.items.iter().enumerate() {
            out.push_str(if place > 0 { ", " } else { "" });
            write_representation(budget, item, out)?;
        }
        out.push_str(match (list.is_tuple, list.items.len()) {
            (true, 1) => ",)",
            (true, _) => ")",
            (false, _) => "]",
        });
        return Ok(());
    }
    let dict = as_dict(value).ok_or_else(|| failure("a namespace, macro or loop has no text form"))?;
    out.push('{');
    for (place, (key, item)) in dict.entries.iter().enumerate() {
        out.push_str(if place > 0 { ", " } else { "" });
        write_representation(budget, key, out)?;
        out.push_str(": ");
        write_representation(budget, item, out)?;
    }
    out.push('}');
    Ok(())
}

/// An integer, or a float as [`float`] writes it.
pub(crate) fn number(value: &Value) -> String {
    match i128::try_from(value.clone()) {
        Ok(integer) if value.is_integer() => integer.to_string(),
        _ => float(f64::try_from(value.clone()).unwrap_or(f64::NAN)),
    }
}

/// `repr` of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e16.
pub(crate) fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".into();
    }
    if value.is_infinite() {
        return if value > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{value:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{value}");
        return if plain.contains('.') { plain } else { format!("{plain}.0") };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}

/// `repr` of a string.
fn quote(text: &str, out: &mut String) {
    let mark = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(mark);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            _ if character == mark => {
                out.push('\\');
                out.push(character);
            }
            _ if is_printable(character) => out.push(character),
            _ => {
                let code = u32::from(character);
                out.push_str(&match code {
                    0..=0xff => format!("\\x{code:02x}"),
                    0x100..=0xffff => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                });
            }
        }
    }
    out.push(mark);
}

/// `str.isprintable` without the tables: controls, separators other than the space, formatting and private characters are not.
fn is_printable(character: char) -> bool {
    let hidden = matches!(character,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' | '\u{f0000}'..='\u{10ffff}');
    !hidden && !character.is_control() && (character == ' ' || !is_space(character))
}

/// `str.strip`, `lstrip`, `rstrip`: of white space, or of the given characters.
pub(crate) fn strip<'a>(text: &'a str, characters: Option<&str>, start: bool, end: bool) -> &'a str {
    let goes = |character: char| characters.map_or_else(|| is_space(character), |set| set.contains(character));
    let text = if start { text.trim_start_matches(goes) } else { text };
    if end { text.trim_end_matches(goes) } else { text }
}

/// `str.split` and `rsplit`; `most` is the largest number of cuts.
pub(crate) fn split(text: &str, separator: Option<&str>, most: Option<usize>, from_right: bool) -> Vec<String> {
    let most = most.unwrap_or(usize::MAX);
    let own = |parts: Vec<&str>| parts.into_iter().map(str::to_owned).collect::<Vec<_>>();
    match (separator, from_right) {
        (Some(separator), false) => own(text.splitn(most.saturating_add(1), separator).collect()),
        (Some(separator), true) => {
            let mut parts = own(text.rsplitn(most.saturating_add(1), separator).collect());
            parts.reverse();
            parts
        }
        (None, false) => own(words(text, most)),
        (None, true) => {
            let mut parts = own(words_from_right(text, most));
            parts.reverse();
            parts
        }
    }
}

fn words(text: &str, most: usize) -> Vec<&str> {
    let mut rest = text.trim_start_matches(is_space);
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let end = if parts.len() < most { rest.find(is_space) } else { None };
        let Some(end) = end else {
            // What is left keeps its inner white space; at its end it goes only where nothing was left uncut.
            parts.push(if parts.len() < most { rest.trim_end_matches(is_space) } else { rest });
            break;
        };
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    parts
}

fn words_from_right(text: &str, most: usize) -> Vec<&str> {
    let mut rest = text.trim_end_matches(is_space);
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let start = if parts.len() < most { rest.rfind(is_space) } else { None };
        let Some(start) = start else {
            parts.push(rest);
            break;
        };
        let word = rest[start..].trim_start_matches(is_space);
        parts.push(word);
        rest = rest[..start].trim_end_matches(is_space);
    }
    parts
}

/// `str.splitlines`.
pub(crate) fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let ends_line =
        |c: char| matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let Some(end) = rest.find(ends_line) else {
            parts.push(rest);
            break;
        };
        let length =
            if rest[end..].starts_with("\r\n") { 2 } else { rest[end..].chars().next().map_or(0, char::len_utf8) };
        parts.push(&rest[..if keep_ends { end + length } else { end }]);
        rest = &rest[end + length..];
    }
    parts
}

/// `str.capitalize`.
pub(crate) fn capitalise(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        None => String::new(),
        Some(first) => first.to_uppercase().chain(characters.as_str().to_lowercase().chars()).collect(),
    }
}

/// `str.title`: a capital after everything that is no letter.
pub(crate) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut after_letter = false;
    for character in text.chars() {
        if after_letter {
            out.extend(character.to_lowercase());
        } else {
            out.extend(character.to_uppercase());
        }
        after_letter = character.is_alphabetic();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_as_python_writes_them() {
        let cases = [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1.5e-5, "1.5e-05"),
            (1e-4, "0.0001"),
            (-2.5e300, "-2.5e+300"),
            (123_456.789, "123456.789"),
            (0.0, "0.0"),
            (-0.0, "-0.0"),
        ];
        for (value, expected) in cases {
            assert_eq!(float(value), expected);
        }
    }

    #[test]
    fn splits_as_python_does() {
        assert_eq!(split(" a  b c ", None, None, false), ["a", "b", "c"]);
        assert_eq!(split(" a  b c ", None, Some(1), false), ["a", "b c "]);
        assert_eq!(split(" a  b c ", None, Some(1), true), [" a  b", "c"]);
        assert_eq!(split("a,b,,c", Some(","), Some(2), false), ["a", "b", ",c"]);
        assert_eq!(split("a,b,,c", Some(","), Some(2), true), ["a,b", "", "c"]);
        assert_eq!(split("", Some(","), None, false), [""]);
        assert_eq!(split("", None, None, false), Vec::<String>::new());
        assert_eq!(lines("a\r\nb\n\nc\u{2028}", false), ["a", "b", "", "c"]);
        assert_eq!(lines("a\r\nb", true), ["a\r\n", "b"]);
    }

    #[test]
    fn strings_are_quoted_as_python_does() {
        let mut out = String::new();
        for text in ["it's", "a\"b'c", "é\n\u{200b}\u{1}"] {
            quote(text, &mut out);
        }
        assert_eq!(out, "\"it's\"'a\"b\\'c''é\\n\\u200b\\x01'");
        assert_eq!(title("they're bill's"), "They'Re Bill'S");
        assert_eq!(capitalise("hELLO wORLD"), "Hello world");
    }
}
