//! The tokens of expressions and tags.

use crate::error::{Result, TemplateError};
use crate::python::is_space;

/// One token.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// A name or keyword.
    Name(&'a str),
    /// A string, escapes resolved.
    Text(String),
    /// An integer.
    Integer(i64),
    /// A number with a fraction or exponent.
    Float(f64),
    /// An operator or bracket.
    Symbol(&'static str),
}

/// Longest first.
const SYMBOLS: [&str; 26] = [
    "**", "//", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", "+", "-", "*", "/", "%", "~", "<", ">", "=", ".",
    ",", ":", "|", ";",
];

/// Tokens of the inside of a tag that begins on `line`.
pub(crate) fn tokens(inside: &str, line: usize) -> Result<Vec<Token<'_>>> {
    let mut rest = inside.trim_start_matches(is_space);
    let mut found = Vec::new();
    while let Some(first) = rest.chars().next() {
        let after_dot = matches!(found.last(), Some(Token::Symbol(".")));
        let (token, length) = match first {
            'a'..='z' | 'A'..='Z' | '_' => name(rest),
            '0'..='9' => number(rest, after_dot).ok_or_else(|| syntax(line, "a number that cannot be read"))?,
            '"' | '\'' => string(rest).map_err(|problem| syntax(line, problem))?,
            _ => symbol(rest).ok_or_else(|| syntax(line, &format!("unexpected {first:?}")))?,
        };
        found.push(token);
        rest = rest[length..].trim_start_matches(is_space);
    }
    Ok(found)
}

fn syntax(line: usize, problem: &str) -> TemplateError {
    TemplateError::Syntax { line, problem: problem.into() }
}

fn name(rest: &str) -> (Token<'_>, usize) {
    let length = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
    (Token::Name(&rest[..length]), length)
}

fn symbol(rest: &str) -> Option<(Token<'_>, usize)> {
    let symbol = SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol))?;
    Some((Token::Symbol(symbol), symbol.len()))
}

/// A decimal number; one after a dot is an index and has no fraction.
fn number(rest: &str, after_dot: bool) -> Option<(Token<'_>, usize)> {
    let digits = |from: usize| from + rest[from..].bytes().take_while(|b| b.is_ascii_digit() || *b == b'_').count();
    let mut end = digits(0);
    let mut float = false;
    if !after_dot && rest[end..].starts_with('.') && rest[end + 1..].starts_with(|c: char| c.is_ascii_digit()) {
        end = digits(end + 1);
        float = true;
    }
    if !after_dot && rest[end..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        if rest[end + 1 + sign..].starts_with(|c: char| c.is_ascii_digit()) {
            end = digits(end + 1 + sign);
            float = true;
        }
    }
    if rest[end..].starts_with(|c: char| c.is_ascii_alphabetic()) {
        return None;
    }
    let text = rest[..end].replace('_', "");
    let token = if float { Token::Float(text.parse().ok()?) } else { Token::Integer(text.parse().ok()?) };
    Some((token, end))
}

fn string(rest: &str) -> Result<(Token<'_>, usize), &'static str> {
    let quote = rest.as_bytes()[0] as char;
    let mut text = String::new();
    let mut characters = rest.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => escape(&mut characters, &mut text)?,
            _ if character == quote => return Ok((Token::Text(text), at + 1)),
            _ => text.push(character),
        }
    }
    Err("a string is not closed")
}

/// One escape of a Python string.
fn escape(
    characters: &mut (impl Iterator<Item = (usize, char)> + Clone),
    text: &mut String,
) -> Result<(), &'static str> {
    const BAD: &str = "an escape that cannot be read";
    let (_, kind) = characters.next().ok_or(BAD)?;
    let simple = match kind {
        '\n' => return Ok(()),
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'v' => '\x0b',
        '\\' | '\'' | '"' => kind,
        'x' => code_point(characters, 2, 16).ok_or(BAD)?,
        'u' => code_point(characters, 4, 16).ok_or(BAD)?,
        'U' => code_point(characters, 8, 16).ok_or(BAD)?,
        'N' => return Err(BAD),
        '0'..='7' => {
            let mut value = kind.to_digit(8).unwrap_or(0);
            for _ in 0..2 {
                let Some(digit) = characters.clone().next().and_then(|(_, c)| c.to_digit(8)) else { break };
                value = value * 8 + digit;
                characters.next();
            }
            char::from_u32(value).ok_or(BAD)?
        }
        _ => {
            text.push('\\');
            kind
        }
    };
    text.push(simple);
    Ok(())
}

fn code_point(characters: &mut impl Iterator<Item = (usize, char)>, digits: usize, radix: u32) -> Option<char> {
    let mut value = 0_u32;
    for _ in 0..digits {
        let digit = characters.next()?.1.to_digit(radix)?;
        value = value.checked_mul(radix)?.checked_add(digit)?;
    }
    char::from_u32(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_numbers_strings_and_symbols() {
        let found = tokens(" a.b[-1] == 'x\\n\\u00e9\\'' and 1_0.5e1 //2", 1).unwrap();
        let expected = [
            Token::Name("a"),
            Token::Symbol("."),
            Token::Name("b"),
            Token::Symbol("["),
            Token::Symbol("-"),
            Token::Integer(1),
            Token::Symbol("]"),
            Token::Symbol("=="),
            Token::Text("x\né'".into()),
            Token::Name("and"),
            Token::Float(105.0),
            Token::Symbol("//"),
            Token::Integer(2),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn bad_tokens_are_errors() {
        for inside in ["'a", "1a", "a ? b", "'\\ud800'", "99999999999999999999", "'\\x1'", "é"] {
            assert!(tokens(inside, 3).is_err(), "{inside}");
        }
    }
}
