//! Expressions rewritten so that every operation that can grow or walk a value is a call of a guarded function.
//!
//! minijinja counts instructions, but one instruction may double a string, compare two nested lists or repeat a text a
//! million times, and constant operands are even folded before any count. So an expression is parsed by Jinja's grammar and
//! written out again with `__math(a, "+", b)` for `a + b`, `__filter("trim", x)` for `x | trim`, and so on (the functions
//! are in [`crate::guards`]); what stays as it is costs constant time: names, attributes, literals, `and`, `or`, `not`,
//! conditional expressions, and calls of macros and functions.

use crate::error::{Result, TemplateError};
use crate::tokens::Token;
use crate::{filters, predicates};

/// Deepest nesting of brackets and operators that is read.
pub(crate) const MAX_EXPRESSION_DEPTH: usize = 40;

/// Reads the tokens of one tag.
pub(crate) struct Parser<'a, 's> {
    tokens: &'s [Token<'a>],
    at: usize,
    depth: usize,
    line: usize,
}

const COMPARISONS: [&str; 6] = ["==", "!=", "<=", ">=", "<", ">"];
const KEYWORDS: [&str; 8] = ["if", "else", "and", "or", "not", "in", "is", "recursive"];

/// Names that would reach the guarded functions themselves.
pub(crate) fn is_reserved(name: &str) -> bool {
    name.starts_with("__")
}

impl<'a, 's> Parser<'a, 's> {
    pub(crate) fn new(tokens: &'s [Token<'a>], line: usize) -> Self {
        Self { tokens, at: 0, depth: 0, line }
    }

    pub(crate) fn peek(&self) -> Option<&'s Token<'a>> {
        self.tokens.get(self.at)
    }

    pub(crate) fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Some(Token::Symbol(found)) if *found == symbol)
    }

    pub(crate) fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Token::Name(found)) if *found == name)
    }

    pub(crate) fn skip_symbol(&mut self, symbol: &str) -> bool {
        let found = self.is_symbol(symbol);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        self.at += usize::from(found);
        found
    }

    pub(crate) fn expect_symbol(&mut self, symbol: &str) -> Result<()> {
        if self.skip_symbol(symbol) { Ok(()) } else { Err(self.unexpected(&format!("`{symbol}`"))) }
    }

    pub(crate) fn finish(&self) -> Result<()> {
        if self.at == self.tokens.len() { Ok(()) } else { Err(self.unexpected("the end of the tag")) }
    }

    pub(crate) fn syntax(&self, problem: impl Into<String>) -> TemplateError {
        TemplateError::Syntax { line: self.line, problem: problem.into() }
    }

    pub(crate) fn unsupported(&self, feature: impl Into<String>) -> TemplateError {
        TemplateError::Unsupported { line: self.line, feature: feature.into() }
    }

    fn unexpected(&self, expected: &str) -> TemplateError {
        let found = match self.peek() {
            None => "the end of the tag".to_owned(),
            Some(Token::Name(name)) => format!("`{name}`"),
            Some(Token::Symbol(symbol)) => format!("`{symbol}`"),
            Some(Token::Text(_)) => "a string".to_owned(),
            Some(Token::Integer(_) | Token::Float(_)) => "a number".to_owned(),
        };
        self.syntax(format!("{found} where {expected} should be"))
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_EXPRESSION_DEPTH {
            return Err(TemplateError::Limit { what: "nested expressions", limit: MAX_EXPRESSION_DEPTH });
        }
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    /// A name that the template may read or set.
    pub(crate) fn name(&mut self) -> Result<&'a str> {
        match self.peek() {
            Some(Token::Name(name)) if !KEYWORDS.contains(name) => {
                if is_reserved(name) {
                    return Err(self.unsupported(format!("the name `{name}`")));
                }
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected("a name")),
        }
    }

    /// An expression, conditional ones included.
    pub(crate) fn expression(&mut self) -> Result<String> {
        self.nested(Self::conditional)
    }

    /// An expression or several with commas between, which make a tuple.
    pub(crate) fn expression_list(&mut self) -> Result<String> {
        let first = self.expression()?;
        if !self.is_symbol(",") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_symbol(",") && self.peek().is_some() {
            items.push(self.expression()?);
        }
        Ok(format!("__tuple({})", items.join(", ")))
    }

    fn conditional(&mut self) -> Result<String> {
        let mut value = self.disjunction()?;
        while self.skip_name("if") {
            let condition = self.disjunction()?;
            value = if self.skip_name("else") {
                let other = self.nested(Self::conditional)?;
                format!("({value} if {condition} else {other})")
            } else {
                format!("({value} if {condition})")
            };
            if value.len() > crate::MAX_TEMPLATE_BYTES * 8 {
                return Err(TemplateError::Limit { what: "nested conditions", limit: MAX_EXPRESSION_DEPTH });
            }
        }
        Ok(value)
    }

    /// Without a condition at its end, as `for x in y if z` needs it.
    pub(crate) fn disjunction(&mut self) -> Result<String> {
        self.junction("or", Self::conjunction)
    }

    fn conjunction(&mut self) -> Result<String> {
        self.junction("and", Self::negation)
    }

    fn junction(&mut self, keyword: &str, operand: fn(&mut Self) -> Result<String>) -> Result<String> {
        let mut operands = vec![operand(self)?];
        while self.skip_name(keyword) {
            operands.push(operand(self)?);
        }
        Ok(match operands.as_slice() {
            [one] => one.clone(),
            _ => format!("({})", operands.join(&format!(" {keyword} "))),
        })
    }

    fn negation(&mut self) -> Result<String> {
        if self.skip_name("not") {
            let operand = self.nested(Self::negation)?;
            return Ok(format!("(not {operand})"));
        }
        self.comparison()
    }

    fn comparison(&mut self) -> Result<String> {
        let mut terms = self.sum()?;
        let mut compared = false;
        while let Some(operator) = self.comparison_operator()? {
            let operand = self.sum()?;
            terms.push_str(&format!(", \"{operator}\", {operand}"));
            compared = true;
        }
        Ok(if compared { format!("__cmp({terms})") } else { terms })
    }

    fn comparison_operator(&mut self) -> Result<Option<&'static str>> {
        if let Some(operator) = COMPARISONS.into_iter().find(|symbol| self.is_symbol(symbol)) {
            self.at += 1;
            return Ok(Some(operator));
        }
        if self.skip_name("in") {
            return Ok(Some("in"));
        }
        if self.skip_name("not") {
            return if self.skip_name("in") { Ok(Some("not in")) } else { Err(self.unexpected("`in`")) };
        }
        Ok(None)
    }

    fn sum(&mut self) -> Result<String> {
        self.arithmetic(&["+", "-"], Self::concatenation)
    }

    fn concatenation(&mut self) -> Result<String> {
        let mut operands = vec![self.product()?];
        while self.skip_symbol("~") {
            operands.push(self.product()?);
        }
        Ok(match operands.as_slice() {
            [one] => one.clone(),
            _ => format!("__cat({})", operands.join(", ")),
        })
    }

    fn product(&mut self) -> Result<String> {
        self.arithmetic(&["*", "/", "//", "%"], Self::power)
    }

    fn power(&mut self) -> Result<String> {
        self.arithmetic(&["**"], Self::unary)
    }

    /// Operators of one precedence, from left to right: `a + b - c` is `__math(a, "+", b, "-", c)`.
    fn arithmetic(&mut self, operators: &[&str], operand: fn(&mut Self) -> Result<String>) -> Result<String> {
        let mut terms = operand(self)?;
        let mut several = false;
        while let Some(operator) = operators.iter().find(|symbol| self.is_symbol(symbol)) {
            self.at += 1;
            let next = operand(self)?;
            terms.push_str(&format!(", \"{operator}\", {next}"));
            several = true;
        }
        Ok(if several { format!("__math({terms})") } else { terms })
    }

    fn unary(&mut self) -> Result<String> {
        let value = self.unfiltered()?;
        self.filtered(value)
    }

    fn unfiltered(&mut self) -> Result<String> {
        if self.skip_symbol("-") {
            let operand = self.nested(Self::unfiltered)?;
            return Ok(format!("__neg({operand})"));
        }
        if self.skip_symbol("+") {
            return self.nested(Self::unfiltered);
        }
        let value = self.primary()?;
        self.postfix(value)
    }

    fn primary(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Name(name)) => {
                let constant = match *name {
                    "true" | "True" => "true",
                    "false" | "False" => "false",
                    "none" | "None" => "none",
                    _ => return self.name().map(str::to_owned),
                };
                self.at += 1;
                Ok(constant.into())
            }
            Some(Token::Text(_)) => Ok(self.strings()),
            Some(Token::Integer(value)) => {
                self.at += 1;
                Ok(value.to_string())
            }
            Some(Token::Float(value)) => {
                self.at += 1;
                Ok(format!("{value:?}"))
            }
            Some(Token::Symbol("(")) => self.nested(Self::parenthesised),
            Some(Token::Symbol("[")) => self.nested(|parser| parser.items("[", "]", "__list")),
            Some(Token::Symbol("{")) => self.nested(Self::mapping),
            _ => Err(self.unexpected("an expression")),
        }
    }

    /// Strings side by side are one.
    fn strings(&mut self) -> String {
        let mut all = String::new();
        while let Some(Token::Text(text)) = self.peek() {
            all.push_str(text);
            self.at += 1;
        }
        quoted(&all)
    }

    fn parenthesised(&mut self) -> Result<String> {
        self.expect_symbol("(")?;
        if self.skip_symbol(")") {
            return Ok("__tuple()".into());
        }
        let first = self.expression()?;
        if self.skip_symbol(")") {
            return Ok(first);
        }
        let mut items = vec![first];
        while self.skip_symbol(",") && !self.is_symbol(")") {
            items.push(self.expression()?);
        }
        self.expect_symbol(")")?;
        Ok(format!("__tuple({})", items.join(", ")))
    }

    fn items(&mut self, open: &str, close: &str, function: &str) -> Result<String> {
        self.expect_symbol(open)?;
        let mut items = Vec::new();
        while !self.is_symbol(close) {
            items.push(self.expression()?);
            if !self.skip_symbol(",") {
                break;
            }
        }
        self.expect_symbol(close)?;
        Ok(format!("{function}({})", items.join(", ")))
    }

    fn mapping(&mut self) -> Result<String> {
        self.expect_symbol("{")?;
        let mut items = Vec::new();
        while !self.is_symbol("}") {
            items.push(self.expression()?);
            self.expect_symbol(":")?;
            items.push(self.expression()?);
            if !self.skip_symbol(",") {
                break;
            }
        }
        self.expect_symbol("}")?;
        Ok(format!("__dict({})", items.join(", ")))
    }

    fn postfix(&mut self, mut value: String) -> Result<String> {
        loop {
            if self.skip_symbol(".") {
                value = self.attribute(value)?;
            } else if self.is_symbol("[") {
                value = self.nested(|parser| parser.subscript(&value))?;
            } else if self.is_symbol("(") {
                let callable = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                if !callable || matches!(value.as_str(), "loop" | "super" | "self" | "true" | "false" | "none") {
                    return Err(self.unsupported("a call of anything but a named function, macro or method"));
                }
                let arguments = self.arguments()?;
                value = format!("{value}({})", arguments.join(", "));
            } else {
                return Ok(value);
            }
        }
    }

    fn attribute(&mut self, value: String) -> Result<String> {
        match self.peek() {
            Some(Token::Integer(index)) => {
                self.at += 1;
                Ok(format!("__item({value}, {index})"))
            }
            Some(Token::Name(name)) => {
                if name.starts_with('_') {
                    return Err(self.unsupported(format!("the attribute `{name}`")));
                }
                self.at += 1;
                if !self.is_symbol("(") {
                    return Ok(format!("{value}.{name}"));
                }
                let mut arguments = vec![value, quoted(name)];
                arguments.extend(self.arguments()?);
                Ok(format!("__method({})", arguments.join(", ")))
            }
            _ => Err(self.unexpected("an attribute")),
        }
    }

    fn subscript(&mut self, value: &str) -> Result<String> {
        self.expect_symbol("[")?;
        let mut parts = Vec::new();
        let mut colons = 0;
        let mut part = None;
        while !self.is_symbol("]") {
            if self.skip_symbol(":") {
                colons += 1;
                parts.push(part.take());
            } else if part.is_none() {
                part = Some(self.expression()?);
            } else {
                return Err(self.unexpected("`]`"));
            }
        }
        parts.push(part);
        self.expect_symbol("]")?;
        if colons > 2 {
            return Err(self.syntax("a slice has at most three parts"));
        }
        if colons == 0 {
            let index = parts.pop().flatten().ok_or_else(|| self.syntax("an empty subscript"))?;
            return Ok(format!("__item({value}, {index})"));
        }
        parts.resize(3, None);
        let parts: Vec<String> = parts.into_iter().map(|part| part.unwrap_or_else(|| "none".into())).collect();
        Ok(format!("__slice({value}, {})", parts.join(", ")))
    }

    /// The arguments of a call, keyword arguments as `name=value`.
    pub(crate) fn arguments(&mut self) -> Result<Vec<String>> {
        self.nested(|parser| {
            parser.expect_symbol("(")?;
            let mut arguments = Vec::new();
            while !parser.is_symbol(")") {
                arguments.push(parser.argument()?);
                if !parser.skip_symbol(",") {
                    break;
                }
            }
            parser.expect_symbol(")")?;
            Ok(arguments)
        })
    }

    fn argument(&mut self) -> Result<String> {
        if self.is_symbol("*") || self.is_symbol("**") {
            return Err(self.unsupported("`*` in the arguments of a call"));
        }
        let keyword = matches!(self.tokens.get(self.at + 1), Some(Token::Symbol("=")));
        if keyword && matches!(self.peek(), Some(Token::Name(_))) {
            let name = self.name()?;
            self.expect_symbol("=")?;
            return Ok(format!("{name}={}", self.expression()?));
        }
        self.expression()
    }

    fn filtered(&mut self, mut value: String) -> Result<String> {
        loop {
            if self.skip_symbol("|") {
                value = self.filter(&value)?;
            } else if self.skip_name("is") {
                value = self.predicate(value)?;
            } else {
                return Ok(value);
            }
        }
    }

    /// What follows a `|`, applied to a value.
    pub(crate) fn filter(&mut self, value: &str) -> Result<String> {
        let name = self.name()?;
        if !filters::is_known(name) {
            return Err(self.syntax(format!("there is no filter `{name}`")));
        }
        let mut arguments = vec![quoted(name), value.to_owned()];
        if self.is_symbol("(") {
            arguments.extend(self.arguments()?);
        }
        Ok(format!("__filter({})", arguments.join(", ")))
    }

    fn predicate(&mut self, value: String) -> Result<String> {
        let negated = self.skip_name("not");
        let name = match self.peek() {
            // `in` is a test as well as an operator.
            Some(Token::Name(name)) => *name,
            _ => return Err(self.unexpected("the name of a test")),
        };
        if !predicates::is_known(name) {
            return Err(self.syntax(format!("there is no test `{name}`")));
        }
        self.at += 1;
        let mut arguments = vec![quoted(name), value];
        if self.is_symbol("(") {
            arguments.extend(self.arguments()?);
        } else if self.argument_without_brackets() {
            let argument = self.nested(Self::unfiltered)?;
            arguments.push(argument);
        }
        let call = format!("__test({})", arguments.join(", "));
        Ok(if negated { format!("(not {call})") } else { call })
    }

    fn argument_without_brackets(&self) -> bool {
        match self.peek() {
            Some(Token::Name(name)) => {
                !matches!(*name, "else" | "or" | "and" | "is" | "if" | "in" | "not" | "recursive")
            }
            Some(Token::Text(_) | Token::Integer(_) | Token::Float(_)) => true,
            Some(Token::Symbol(symbol)) => matches!(*symbol, "[" | "{"),
            None => false,
        }
    }
}

/// A string as a literal that minijinja reads back to the same characters.
pub(crate) fn quoted(text: &str) -> String {
    let mut literal = String::with_capacity(text.len() + 2);
    literal.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            literal.push('\\');
        }
        literal.push(character);
    }
    literal.push('"');
    literal
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::tokens;

    fn rewritten(inside: &str) -> Result<String> {
        let tokens = tokens(inside, 1)?;
        let mut parser = Parser::new(&tokens, 1);
        let value = parser.expression()?;
        parser.finish()?;
        Ok(value)
    }

    #[test]
    fn operations_become_guarded_calls() {
        let cases = [
            ("a + b * c - d", r#"__math(a, "+", __math(b, "*", c), "-", d)"#),
            ("a ~ b ~ 'x'", r#"__cat(a, b, "x")"#),
            ("not a == b and c", r#"((not __cmp(a, "==", b)) and c)"#),
            ("1 < x <= 3", r#"__cmp(1, "<", x, "<=", 3)"#),
            ("a not in [1, 2]", r#"__cmp(a, "not in", __list(1, 2))"#),
            ("m['k'].x[1:]", r#"__slice(__item(m, "k").x, 1, none, none)"#),
            ("m[::-1]", "__slice(m, none, none, __neg(1))"),
            ("x | trim | default('y', true)", r#"__filter("default", __filter("trim", x), "y", true)"#),
            ("-x | abs", r#"__filter("abs", __neg(x))"#),
            ("x.split('a')[-1]", r#"__item(__method(x, "split", "a"), __neg(1))"#),
            ("x is not none", r#"(not __test("none", x))"#),
            ("x is divisibleby 3", r#"__test("divisibleby", x, 3)"#),
            ("a if b else c if d", "(a if b else (c if d))"),
            ("f(a, b=1)", "f(a, b=1)"),
            ("{'a': 1, }", r#"__dict("a", 1)"#),
            ("('a', 'b')", r#"__tuple("a", "b")"#),
        ];
        for (from, to) in cases {
            assert_eq!(rewritten(from).unwrap(), to, "{from}");
        }
    }

    #[test]
    fn what_is_not_read_is_an_error() {
        for inside in [
            "a +",
            "a b",
            "__math(1)",
            "a.__class__",
            "a|nonsense",
            "a is nonsense",
            "f(*a)",
            "loop(a)",
            "a['b']()",
            "(a",
            "a[1:2:3:4]",
            "'a'()",
            "a ? b",
        ] {
            assert!(rewritten(inside).is_err(), "{inside}");
        }
        let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
        assert!(matches!(rewritten(&deep), Err(TemplateError::Limit { .. })));
        let deep = format!("{}a", "not ".repeat(100));
        assert!(matches!(rewritten(&deep), Err(TemplateError::Limit { .. })));
    }
}
