//! Lists that operators make are made at once.
//!
//! In minijinja `a + b` and `a * n` of lists are promises, which no fuel is paid for until something walks them, and not even
//! by all that does: a few doublings make one that is longer than any patience. So their results pass a filter that makes
//! them lists, for fuel. Operators are found in the tokens of minijinja's own lexer; where a string stands beside one, the
//! result is a string, and nothing is changed.

use minijinja::machinery::{Span, Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use crate::error::{Result, TemplateError};

/// The filter that makes a list of a promise of one.
pub(crate) const REAL: &str = "__real";

type Tag<'a> = [(Token<'a>, Span)];

/// A template whose sums and products pass [`REAL`]; lines stay as they are.
pub(crate) fn realised(source: &str, syntax: &SyntaxConfig) -> Result<String> {
    let mut passed: Vec<(usize, usize)> = Vec::new();
    let mut tag: Vec<(Token<'_>, Span)> = Vec::new();
    for token in tokenize(source, false, syntax.clone()) {
        let (token, span) = token.map_err(|error| TemplateError::of_syntax(&error))?;
        match token {
            Token::BlockStart | Token::VariableStart => tag.clear(),
            Token::BlockEnd => operations(&tag, 1, &mut passed),
            Token::VariableEnd => operations(&tag, 0, &mut passed),
            Token::TemplateData(_) => {}
            token => tag.push((token, span)),
        }
    }
    Ok(insert(source, &passed))
}

/// The bytes of each sum and product of a tag, whose first `words` tokens are no expression.
fn operations(tag: &Tag<'_>, words: usize, passed: &mut Vec<(usize, usize)>) {
    for (at, (token, _)) in tag.iter().enumerate().skip(words + 1) {
        let is_sum = match token {
            Token::Plus => true,
            Token::Mul => false,
            _ => continue,
        };
        if !ends_operand(&tag[at - 1].0) || is_string(tag, at) {
            continue;
        }
        let (start, end) = (left(tag, words, at, is_sum), right(tag, at, is_sum));
        if start < at && at + 1 < end {
            passed.push((tag[start].1.start_offset as usize, tag[end - 1].1.end_offset as usize));
        }
    }
}

fn ends_operand(token: &Token<'_>) -> bool {
    match token {
        Token::Ident(word) => !matches!(*word, "in" | "not" | "and" | "or" | "if" | "else" | "is"),
        Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_) => true,
        Token::ParenClose | Token::BracketClose | Token::BraceClose => true,
        _ => false,
    }
}

/// Whether a string literal is an operand, and nothing is made of it first.
fn is_string(tag: &Tag<'_>, at: usize) -> bool {
    let string = |at: usize| matches!(tag.get(at), Some((Token::Str(_) | Token::String(_), _)));
    let goes_on = |at: usize| {
        let next = tag.get(at).map(|(token, _)| token);
        matches!(next, Some(Token::Dot | Token::Pipe | Token::BracketOpen | Token::ParenOpen | Token::Ident("is")))
    };
    string(at - 1) || (string(at + 1) && !goes_on(at + 2))
}

/// Whether an operation ends where this token stands outside of all brackets.
fn is_border(tag: &Tag<'_>, at: usize, is_sum: bool) -> bool {
    match &tag[at].0 {
        Token::Comma | Token::Colon | Token::Assign => true,
        Token::Eq | Token::Ne | Token::Gt | Token::Gte | Token::Lt | Token::Lte => true,
        Token::Ident("not") => at == 0 || !matches!(tag[at - 1].0, Token::Ident("is")),
        Token::Ident(word) => matches!(*word, "in" | "and" | "or" | "if" | "else" | "recursive"),
        Token::Tilde => !is_sum,
        Token::Plus | Token::Minus => !is_sum && at > 0 && ends_operand(&tag[at - 1].0),
        _ => false,
    }
}

fn opens(token: &Token<'_>) -> bool {
    matches!(token, Token::ParenOpen | Token::BracketOpen | Token::BraceOpen)
}

fn closes(token: &Token<'_>) -> bool {
    matches!(token, Token::ParenClose | Token::BracketClose | Token::BraceClose)
}

/// Where the left operand begins: as operators group to the left, with all of the same rank before.
fn left(tag: &Tag<'_>, words: usize, operator: usize, is_sum: bool) -> usize {
    let mut depth = 0_usize;
    for at in (words..operator).rev() {
        match &tag[at].0 {
            token if closes(token) => depth += 1,
            token if opens(token) && depth == 0 => return at + 1,
            token if opens(token) => depth -= 1,
            _ if depth == 0 && is_border(tag, at, is_sum) => return at + 1,
            _ => {}
        }
    }
    words
}

/// Where the right operand ends, exclusively: before the next operator of the same rank or a lower one.
fn right(tag: &Tag<'_>, operator: usize, is_sum: bool) -> usize {
    let mut depth = 0_usize;
    for at in operator + 1..tag.len() {
        let follows = at > operator + 1 && ends_operand(&tag[at - 1].0);
        let same_rank = match &tag[at].0 {
            Token::Plus | Token::Minus => follows,
            Token::Mul | Token::Div | Token::FloorDiv | Token::Mod => !is_sum,
            _ => false,
        };
        match &tag[at].0 {
            token if opens(token) => depth += 1,
            token if closes(token) && depth == 0 => return at,
            token if closes(token) => depth -= 1,
            _ if depth == 0 && (same_rank || is_border(tag, at, is_sum)) => return at,
            _ => {}
        }
    }
    tag.len()
}

/// The source with parentheses around each part, and the filter after them.
fn insert(source: &str, passed: &[(usize, usize)]) -> String {
    let close = format!(")|{REAL}");
    let starts = passed.iter().map(|(start, _)| (*start, false));
    let mut places: Vec<(usize, bool)> = starts.chain(passed.iter().map(|(_, end)| (*end, true))).collect();
    // What ends at a byte ends before anything begins there.
    places.sort_by_key(|(place, ends)| (*place, !ends));
    let (mut out, mut copied) = (String::with_capacity(source.len()), 0);
    for (place, ends) in places {
        out.push_str(&source[copied..place]);
        out.push_str(if ends { &close } else { "(" });
        copied = place;
    }
    out.push_str(&source[copied..]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_and_products_are_found_with_all_that_they_are_made_of() {
        let cases = [
            ("{{ a + b }}", "{{ (a + b)|__real }}"),
            ("{{ a + b + c }}", "{{ ((a + b)|__real + c)|__real }}"),
            ("{{ a + b * c }}", "{{ (a + (b * c)|__real)|__real }}"),
            ("{{ a * b + c }}", "{{ ((a * b)|__real + c)|__real }}"),
            ("{{ a * b ** c / d }}", "{{ (a * b ** c)|__real / d }}"),
            ("{{ -a * -b - c }}", "{{ (-a * -b)|__real - c }}"),
            ("{{ a - b + c ~ d }}", "{{ (a - b + c ~ d)|__real }}"),
            ("{{ a ~ b * c }}", "{{ a ~ (b * c)|__real }}"),
            ("{{ x in a + b and c * d == e }}", "{{ x in (a + b)|__real and (c * d)|__real == e }}"),
            ("{{ f(a + b, c=d * 2)[e + 1:] }}", "{{ f((a + b)|__real, c=(d * 2)|__real)[(e + 1)|__real:] }}"),
            (
                "{{ [a + b, {'k': c * d}] | first + e }}",
                "{{ ([(a + b)|__real, {'k': (c * d)|__real}] | first + e)|__real }}",
            ),
            (
                "{% if a + b %}{% elif not a * b %}{% endif %}",
                "{% if (a + b)|__real %}{% elif not (a * b)|__real %}{% endif %}",
            ),
            (
                "{% for i in a + b if c * d %}{% endfor %}",
                "{% for i in (a + b)|__real if (c * d)|__real %}{% endfor %}",
            ),
            ("{% with a = b + b, c = d %}{% endwith %}", "{% with a = (b + b)|__real, c = d %}{% endwith %}"),
            ("{{ a + b if c + d else e + f }}", "{{ (a + b)|__real if (c + d)|__real else (e + f)|__real }}"),
            ("{{ 'x' + a + b }} and 1 + 1", "{{ ('x' + a + b)|__real }} and 1 + 1"),
            ("{{ 'x' + a }}{{ a + 'x' }}{{ '-' * n }}", "{{ 'x' + a }}{{ a + 'x' }}{{ '-' * n }}"),
            ("{{ a + 'x y'.split() }}", "{{ (a + 'x y'.split())|__real }}"),
            ("{{ f(*a) }}{{ f(b, **c) }}", "{{ f(*a) }}{{ f(b, **c) }}"),
            ("{{ a is defined + b }}", "{{ (a is defined + b)|__real }}"),
        ];
        let syntax = SyntaxConfig::default();
        for (source, expected) in cases {
            assert_eq!(realised(source, &syntax).unwrap(), expected, "{source}");
        }
    }
}
