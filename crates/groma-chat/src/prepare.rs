//! What is changed in a template before minijinja gets it.
//!
//! `{% generation %}` becomes a scope between two marks, which [`crate::marks`] takes out of the output again. What `set`
//! assigns passes a filter that keeps values shallow, since fuel bounds neither the depth of a value nor the recursion over
//! it; what `for` walks, one that refuses what Python does not walk. All is found in the tokens of minijinja's own lexer, so
//! that nothing can be a tag for one and text for the other; lines stay as they are.

use std::collections::BTreeSet;

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use crate::error::{Result, TemplateError};
use crate::operators::realised;

/// Most tokens of one tag: each can be a level of the parser's recursion.
const MAX_TAG_TOKENS: usize = 1000;
/// Most `elif` of a template, for the same reason.
const MAX_BRANCHES: usize = 200;

/// A template as minijinja gets it.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    /// The source for minijinja.
    pub(crate) source: String,
    /// It has `generation` blocks.
    pub(crate) has_marks: bool,
    /// Some of them may be inside a macro, a block set, a call or a filter, where text can still change.
    pub(crate) captured_marks: bool,
    /// It may show the date.
    pub(crate) shows_date: bool,
    /// Variables with an index or slice, which minijinja's list of what a template reads leaves out in part.
    pub(crate) indexed: BTreeSet<String>,
    /// Names that the template gives values to.
    pub(crate) assigned: BTreeSet<String>,
    /// All strings of the template, escapes resolved, and its text: characters that it can write by itself.
    pub(crate) literals: String,
}

struct Preparation<'a> {
    source: &'a str,
    out: Prepared,
    /// Up to where the source is copied.
    copied: usize,
    captures: bool,
    branches: usize,
}

/// Prepares a template; line breaks become `\n`, and a single one at the end goes, as in Jinja.
pub(crate) fn prepare(source: &str, syntax: &SyntaxConfig) -> Result<Prepared> {
    let mut text = source.replace("\r\n", "\n").replace('\r', "\n");
    if text.ends_with('\n') {
        text.pop();
    }
    let out = Prepared::default();
    let mut preparation = Preparation { source: &text, out, copied: 0, captures: false, branches: 0 };
    let mut tag: Vec<(Token<'_>, Span)> = Vec::new();
    for token in tokenize(&text, false, syntax.clone()) {
        let (token, span) = token.map_err(|error| TemplateError::of_syntax(&error))?;
        match token {
            Token::BlockStart | Token::VariableStart => tag.clear(),
            Token::BlockEnd => preparation.statement(&tag)?,
            Token::TemplateData(text) => preparation.out.literals.push_str(text),
            Token::VariableEnd => {}
            token => {
                preparation.check(&token, span, &tag)?;
                tag.push((token, span));
            }
        }
    }
    preparation.copy_to(text.len());
    preparation.out.captured_marks = preparation.captures && preparation.out.has_marks;
    preparation.out.source = realised(&preparation.out.source, syntax)?;
    Ok(preparation.out)
}

impl Preparation<'_> {
    /// Limits, and names that no template has a need of.
    fn check(&mut self, token: &Token<'_>, span: Span, before: &[(Token<'_>, Span)]) -> Result<()> {
        if before.len() >= MAX_TAG_TOKENS {
            return Err(TemplateError::Limit { what: "tokens in one tag", limit: MAX_TAG_TOKENS });
        }
        match token {
            Token::Str(text) => self.out.literals.push_str(text),
            Token::String(text) => self.out.literals.push_str(text),
            Token::BracketOpen => self.out.indexed.extend(indexed(before).into_iter().map(str::to_owned)),
            Token::Ident("strftime_now") => self.out.shows_date = true,
            Token::Ident(name) if name.starts_with("__") && !matches!(before.last(), Some((Token::Dot, _))) => {
                let line = usize::from(span.start_line);
                return Err(TemplateError::Unsupported { line, feature: format!("the name `{name}`") });
            }
            _ => {}
        }
        Ok(())
    }

    fn statement(&mut self, tag: &[(Token<'_>, Span)]) -> Result<()> {
        let Some(((Token::Ident(name), place), rest)) = tag.split_first() else { return Ok(()) };
        if matches!(*name, "set" | "for" | "with" | "macro" | "call") {
            let ends = |(token, _): &(Token<'_>, Span)| match token {
                Token::Ident("in") => true,
                Token::Assign => *name == "set",
                _ => false,
            };
            let targets = &rest[..rest.iter().position(ends).unwrap_or(rest.len())];
            self.out.assigned.extend(targets.iter().filter_map(|(token, _)| match token {
                Token::Ident(name) => Some((*name).to_owned()),
                _ => None,
            }));
        }
        match *name {
            "generation" if rest.is_empty() => {
                self.out.has_marks = true;
                self.replace(*place, "with %}{{ __open }}{% with");
            }
            "endgeneration" if rest.is_empty() => self.replace(*place, "endwith %}{{ __close }}{% endwith"),
            "set" => self.set(rest),
            "for" => self.iterated(rest),
            "macro" | "call" | "filter" => self.captures = true,
            "elif" => {
                self.branches += 1;
                if self.branches > MAX_BRANCHES {
                    return Err(TemplateError::Limit { what: "branches of `if`", limit: MAX_BRANCHES });
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// `for a in b` becomes `for a in(b)|__walked`.
    fn iterated(&mut self, rest: &[(Token<'_>, Span)]) {
        let Some(at) = rest.iter().position(|(token, _)| matches!(token, Token::Ident("in"))) else { return };
        let mut depth = 0_usize;
        let ends = |(token, _): &(Token<'_>, Span)| {
            match token {
                Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
                Token::ParenClose | Token::BracketClose | Token::BraceClose => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && matches!(token, Token::Ident("if" | "recursive"))
        };
        let iterated = &rest[at + 1..];
        let iterated = &iterated[..iterated.iter().position(ends).unwrap_or(iterated.len())];
        self.pass(rest[at].1, iterated, "__walked");
    }

    /// `set a = b` becomes `set a =(b)|__keep`; in a namespace, which could hold itself, `__keep_in` it is.
    fn set(&mut self, rest: &[(Token<'_>, Span)]) {
        let assigned = rest.iter().position(|(token, _)| matches!(token, Token::Assign | Token::Pipe));
        let Some((at, (Token::Assign, place))) = assigned.map(|at| (at, &rest[at])) else {
            self.captures = true;
            return;
        };
        let dotted = rest[..at].iter().any(|(token, _)| matches!(token, Token::Dot));
        self.pass(*place, &rest[at + 1..], if dotted { "__keep_in" } else { "__keep" });
    }

    /// Passes the expression that stands after a token through a filter.
    fn pass(&mut self, after: Span, expression: &[(Token<'_>, Span)], filter: &str) {
        let Some((_, last)) = expression.last() else { return };
        self.copy_to(after.end_offset as usize);
        self.out.source.push('(');
        self.copy_to(last.end_offset as usize);
        self.out.source.push_str(&format!(")|{filter}"));
    }

    fn replace(&mut self, place: Span, text: &str) {
        self.copy_to(place.start_offset as usize);
        self.out.source.push_str(text);
        self.copied = place.end_offset as usize;
    }

    fn copy_to(&mut self, end: usize) {
        self.out.source.push_str(&self.source[self.copied..end]);
        self.copied = end;
    }
}

/// Words that are no variables.
const WORDS: [&str; 21] = [
    "in", "not", "and", "or", "if", "elif", "else", "is", "set", "for", "with", "call", "filter", "macro", "true",
    "True", "false", "False", "none", "None", "loop",
];

/// The variables of a tag before a bracket that takes an item or a slice of something.
fn indexed<'a>(before: &[(Token<'a>, Span)]) -> Vec<&'a str> {
    let of_something = matches!(before.last(), Some((Token::Ident(_) | Token::ParenClose | Token::BracketClose, _)));
    let follows = |at: usize| at.checked_sub(1).map(|at| &before[at].0);
    let variable = |(at, (token, _)): (usize, &(Token<'a>, Span))| match (token, follows(at)) {
        (_, Some(Token::Dot | Token::Pipe | Token::Ident("is"))) => None,
        (Token::Ident(name), _) => Some(*name).filter(|name| !WORDS.contains(name)),
        _ => None,
    };
    before.iter().enumerate().filter(|_| of_something).filter_map(variable).collect()
}
