//! A template cut into text and tags, with white space removed by Jinja's rules.
//!
//! Follows the lexer of Jinja 3.1 with `trim_blocks` and `lstrip_blocks` on and `keep_trailing_newline` off, as
//! transformers sets it up: `-` strips towards the text, `+` keeps, a line break after a block tag or comment goes, and so
//! does white space between the start of a line and a block tag or comment.

use crate::error::{Result, TemplateError};
use crate::python::is_space;

/// A piece of a template.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Piece<'a> {
    /// Line on which it begins, from 1.
    pub(crate) line: usize,
    /// What it is.
    pub(crate) kind: PieceKind<'a>,
}

/// The kinds of pieces; comments are gone.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PieceKind<'a> {
    /// Text to copy.
    Text(&'a str),
    /// The inside of `{{ }}`.
    Expression(&'a str),
    /// The inside of `{% %}`.
    Tag(&'a str),
}

/// Line breaks as `\n`, and no single one at the end.
pub(crate) fn normalise(source: &str) -> String {
    let mut text = source.replace("\r\n", "\n").replace('\r', "\n");
    if text.ends_with('\n') {
        text.pop();
    }
    text
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Strip {
    Default,
    Keep,
    Remove,
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    /// What came before ended a line (or is the beginning).
    line_start: bool,
    pieces: Vec<Piece<'a>>,
}

/// Cuts a normalised template into pieces.
pub(crate) fn pieces(source: &str) -> Result<Vec<Piece<'_>>> {
    let mut lexer = Lexer { source, at: 0, line_start: true, pieces: Vec::new() };
    while lexer.at < source.len() {
        lexer.step()?;
    }
    Ok(lexer.pieces)
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn line_at(&self, offset: usize) -> usize {
        1 + self.source[..offset].matches('\n').count()
    }

    fn syntax(&self, offset: usize, problem: &str) -> TemplateError {
        TemplateError::Syntax { line: self.line_at(offset), problem: problem.into() }
    }

    fn push(&mut self, offset: usize, kind: PieceKind<'a>) {
        self.pieces.push(Piece { line: self.line_at(offset), kind });
    }

    fn push_text(&mut self, text: &'a str) {
        if !text.is_empty() {
            self.push(self.at, PieceKind::Text(text));
        }
    }

    fn step(&mut self) -> Result<()> {
        let rest = self.rest();
        let Some(start) = find_tag(rest) else {
            self.push_text(rest);
            self.at = self.source.len();
            return Ok(());
        };
        let opening = rest.as_bytes()[start + 1];
        let strip = sign(rest.as_bytes().get(start + 2));
        let text = self.before_tag(&rest[..start], strip, opening != b'{');
        self.push_text(text);
        let tag = self.at + start;
        self.at = tag + 2 + usize::from(strip != Strip::Default);
        match opening {
            b'#' => self.comment(tag),
            b'{' => self.expression(tag),
            _ => self.block(tag),
        }
    }

    /// The text before a tag, less the white space that the tag removes.
    fn before_tag(&self, text: &'a str, strip: Strip, block: bool) -> &'a str {
        match strip {
            Strip::Remove => text.trim_end_matches(is_space),
            Strip::Default if block => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                let whole_line = line > 0 || self.line_start;
                if whole_line && text[line..].chars().all(is_space) { &text[..line] } else { text }
            }
            _ => text,
        }
    }

    fn comment(&mut self, tag: usize) -> Result<()> {
        let rest = self.rest();
        let end = rest.find("#}").ok_or_else(|| self.syntax(tag, "a comment is not closed"))?;
        let strip = if end > 0 { sign(rest.as_bytes().get(end - 1)) } else { Strip::Default };
        self.at += end + 2;
        self.after_block(strip);
        Ok(())
    }

    fn expression(&mut self, tag: usize) -> Result<()> {
        let (inside, strip) = self.inside(tag, "}}")?;
        self.push(tag, PieceKind::Expression(inside));
        if strip == Strip::Remove {
            self.skip_space();
        }
        self.line_start = self.source[..self.at].ends_with('\n');
        Ok(())
    }

    fn block(&mut self, tag: usize) -> Result<()> {
        let (inside, strip) = self.inside(tag, "%}")?;
        if inside.trim_matches(is_space) == "raw" {
            if strip == Strip::Remove {
                self.skip_space();
            }
            return self.raw(tag);
        }
        self.push(tag, PieceKind::Tag(inside));
        self.after_block(strip);
        Ok(())
    }

    /// Text up to `{% endraw %}`, copied.
    fn raw(&mut self, tag: usize) -> Result<()> {
        let rest = self.rest();
        let mut from = 0;
        loop {
            let start = from + rest[from..].find("{%").ok_or_else(|| self.syntax(tag, "`raw` is not closed"))?;
            let opening = sign(rest.as_bytes().get(start + 2));
            let name = &rest[start + 2 + usize::from(opening != Strip::Default)..];
            let after =
                name.trim_start_matches(is_space).strip_prefix("endraw").map(|end| end.trim_start_matches(is_space));
            let closing = after.map_or(Strip::Default, |end| sign(end.as_bytes().first()));
            let end = after.map(|end| &end[usize::from(closing != Strip::Default)..]);
            if let Some(end) = end.and_then(|end| end.strip_prefix("%}")) {
                let text = match opening {
                    Strip::Remove => rest[..start].trim_end_matches(is_space),
                    _ => &rest[..start],
                };
                self.push_text(text);
                self.at = self.source.len() - end.len();
                self.after_block(closing);
                return Ok(());
            }
            from = start + 2;
        }
    }

    /// The inside of a tag, up to its end outside of strings and brackets, and the sign before that end.
    fn inside(&mut self, tag: usize, close: &str) -> Result<(&'a str, Strip)> {
        let rest = self.rest();
        let bytes = rest.as_bytes();
        let mut depth = 0_usize;
        let mut at = 0;
        while at < bytes.len() {
            match bytes[at] {
                quote @ (b'"' | b'\'') => {
                    at = string_end(bytes, at, quote).ok_or_else(|| self.syntax(tag, "a string is not closed"))?
                }
                // `}}` ends an expression only where no bracket is open: `{{ {"a": {}} }}`.
                _ if depth == 0 && bytes[at..].starts_with(close.as_bytes()) => {
                    let strip = if at > 0 { sign(bytes.get(at - 1)) } else { Strip::Default };
                    // A `+` before `}}` is an operator without an operand, not a sign.
                    let signed = strip == Strip::Remove || (strip == Strip::Keep && close == "%}");
                    self.at += at + 2;
                    return Ok((&rest[..at - usize::from(signed)], if signed { strip } else { Strip::Default }));
                }
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            at += 1;
        }
        Err(self.syntax(tag, "a tag is not closed"))
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches(is_space).len();
    }

    fn after_block(&mut self, strip: Strip) {
        match strip {
            Strip::Remove => self.skip_space(),
            Strip::Default if self.rest().starts_with('\n') => self.at += 1,
            _ => {}
        }
        self.line_start = self.source[..self.at].ends_with('\n');
    }
}

fn find_tag(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    bytes.windows(2).position(|pair| pair[0] == b'{' && matches!(pair[1], b'{' | b'%' | b'#'))
}

fn sign(byte: Option<&u8>) -> Strip {
    match byte {
        Some(b'-') => Strip::Remove,
        Some(b'+') => Strip::Keep,
        _ => Strip::Default,
    }
}

/// Index of the closing quote of the string that opens at `start`.
fn string_end(bytes: &[u8], start: usize, quote: u8) -> Option<usize> {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            byte if byte == quote => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(source: &str) -> String {
        let source = normalise(source);
        pieces(&source)
            .unwrap()
            .iter()
            .map(|piece| match piece.kind {
                PieceKind::Text(text) => text.to_owned(),
                PieceKind::Expression(inside) => format!("<{}>", inside.trim()),
                PieceKind::Tag(inside) => format!("[{}]", inside.trim()),
            })
            .collect()
    }

    #[test]
    fn white_space_goes_as_in_jinja() {
        assert_eq!(text_of("a\n  {% if x %}\n  b\n  {% endif %}\nc\n"), "a\n[if x]  b\n[endif]c");
        assert_eq!(text_of("a {%- if x -%} \n b {%+ endif +%}\nc"), "a[if x]b [endif]\nc");
        assert_eq!(text_of("x {{- y -}} z"), "x<y>z");
        assert_eq!(text_of("x {# c #}\ny {#- c -#} z"), "x yz");
        assert_eq!(text_of("{{ a }}  {% b %}"), "<a>  [b]");
        assert_eq!(text_of("a\r\nb\n\n"), "a\nb\n");
    }

    #[test]
    fn raw_and_strings_hide_tags() {
        assert_eq!(text_of("{% raw %}{{ x }}{% endraw %}y"), "{{ x }}y");
        assert_eq!(text_of("{{ '}}' }}{{ {'a': {'b': 1}} }}"), "<'}}'><{'a': {'b': 1}}>");
    }

    #[test]
    fn open_tags_are_errors() {
        for source in ["{{ a", "{% a", "{# a", "{% raw %} x", "{{ 'a }}"] {
            assert!(matches!(pieces(source), Err(TemplateError::Syntax { line: 1, .. })), "{source}");
        }
    }
}
