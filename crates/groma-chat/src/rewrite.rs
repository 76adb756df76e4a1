//! A whole template rewritten for minijinja: guarded expressions, no bare text, marks for `generation`.
//!
//! Text becomes `{{ "text" }}`, so that it passes the formatter, which counts it, and so that white space is ours alone.
//! `{% generation %}` becomes a scope between two marks, which [`crate::marks`] takes out of the output again.

use crate::error::{Result, TemplateError};
use crate::expression::{Parser, quoted};
use crate::lexer::{self, PieceKind};
use crate::tokens::{Token, tokens};

/// Most branches of one `if`: each is a level of the engine's recursion.
const MAX_BRANCHES: usize = 200;
/// Deepest nesting of blocks.
const MAX_BLOCK_DEPTH: usize = 64;

/// A template as minijinja gets it.
#[derive(Debug)]
pub(crate) struct Rewritten {
    /// The source for minijinja.
    pub(crate) source: String,
    /// It has `generation` blocks.
    pub(crate) has_marks: bool,
    /// Some of them are inside a macro, a block set, a call or a filter, where text can still change.
    pub(crate) captured_marks: bool,
    /// All strings of the template, escapes resolved, and its text: characters that it can write by itself.
    pub(crate) literals: String,
}

/// An open block.
struct Block {
    name: &'static str,
    /// What closes it in the rewritten source.
    ending: String,
    branches: usize,
    line: usize,
}

/// Statements with an end; true where their output is captured.
const BLOCKS: [(&str, &str, bool); 8] = [
    ("for", "endfor", false),
    ("if", "endif", false),
    ("with", "endwith", false),
    ("generation", "endgeneration", false),
    ("macro", "endmacro", true),
    ("call", "endcall", true),
    ("filter", "endfilter", true),
    ("set", "endset", true),
];

struct Rewriter {
    out: Rewritten,
    open: Vec<Block>,
    /// Line of the piece at hand, from 1.
    line: usize,
    /// Lines of the output so far.
    written_lines: usize,
}

/// Rewrites a template.
pub(crate) fn rewrite(source: &str) -> Result<Rewritten> {
    let source = lexer::normalise(source);
    let out = Rewritten { source: String::new(), has_marks: false, captured_marks: false, literals: String::new() };
    let mut rewriter = Rewriter { out, open: Vec::new(), line: 1, written_lines: 1 };
    for piece in lexer::pieces(&source)? {
        rewriter.line = piece.line;
        match piece.kind {
            PieceKind::Text(text) => rewriter.text(text),
            PieceKind::Expression(inside) => rewriter.output(inside)?,
            PieceKind::Tag(inside) => rewriter.tag(inside)?,
        }
    }
    if let Some(block) = rewriter.open.last() {
        let problem = format!("`{}` is not closed", block.name);
        return Err(TemplateError::Syntax { line: block.line, problem });
    }
    Ok(rewriter.out)
}

impl Rewriter {
    fn syntax(&self, problem: impl Into<String>) -> TemplateError {
        TemplateError::Syntax { line: self.line, problem: problem.into() }
    }

    /// Adds code that begins with a tag, on the line on which it is in the template, so that errors name that line.
    fn emit(&mut self, code: &str) {
        let missing = self.line.saturating_sub(self.written_lines);
        let (opening, rest) = code.split_at(2.min(code.len()));
        self.out.source.push_str(opening);
        self.out.source.extend(std::iter::repeat_n('\n', missing));
        self.out.source.push_str(rest);
        self.written_lines += missing + code.matches('\n').count();
    }

    fn text(&mut self, text: &str) {
        self.out.literals.push_str(text);
        self.emit(&format!("{{{{ {} }}}}", quoted(text)));
    }

    fn tokens<'a>(&mut self, inside: &'a str) -> Result<Vec<Token<'a>>> {
        let tokens = tokens(inside, self.line)?;
        for token in &tokens {
            if let Token::Text(text) = token {
                self.out.literals.push_str(text);
            }
        }
        Ok(tokens)
    }

    fn output(&mut self, inside: &str) -> Result<()> {
        let tokens = self.tokens(inside)?;
        let mut parser = Parser::new(&tokens, self.line);
        let value = parser.expression_list()?;
        parser.finish()?;
        self.emit(&format!("{{{{ {value} }}}}"));
        Ok(())
    }

    fn tag(&mut self, inside: &str) -> Result<()> {
        let tokens = self.tokens(inside)?;
        let Some((Token::Name(name), rest)) = tokens.split_first() else {
            return Err(self.syntax("a tag without a statement"));
        };
        let mut parser = Parser::new(rest, self.line);
        if let Some((start, end, _)) = BLOCKS.into_iter().find(|(_, end, _)| end == name) {
            return self.close(start, end);
        }
        match *name {
            "if" => {
                let condition = parser.expression()?;
                self.open("if", &parser, &format!("{{% if {condition} %}}"), "{% endif %}")
            }
            "elif" => {
                let condition = parser.expression()?;
                self.branch(&parser, &format!("{{% elif {condition} %}}"), &["if"])
            }
            "else" => self.branch(&parser, "{% else %}", &["if", "for"]),
            "for" => self.for_loop(&mut parser),
            "set" => self.set(&mut parser),
            "with" => self.with(&mut parser),
            "macro" => self.macro_block(&mut parser),
            "call" => self.call_block(&mut parser),
            "filter" => self.filter_block(&mut parser),
            "generation" => self.generation(&parser),
            "break" | "continue" => {
                parser.finish()?;
                self.emit(&format!("{{% {name} %}}"));
                Ok(())
            }
            other => Err(TemplateError::Unsupported { line: self.line, feature: format!("the statement `{other}`") }),
        }
    }

    fn open(&mut self, name: &'static str, parser: &Parser<'_, '_>, code: &str, ending: &str) -> Result<()> {
        parser.finish()?;
        if self.open.len() >= MAX_BLOCK_DEPTH {
            return Err(TemplateError::Limit { what: "nested blocks", limit: MAX_BLOCK_DEPTH });
        }
        self.open.push(Block { name, ending: ending.into(), branches: 0, line: self.line });
        self.emit(code);
        Ok(())
    }

    fn close(&mut self, name: &str, end: &str) -> Result<()> {
        match self.open.pop() {
            Some(block) if block.name == name => {
                self.emit(&block.ending);
                Ok(())
            }
            Some(block) => Err(self.syntax(format!("`{end}` inside `{}` of line {}", block.name, block.line))),
            None => Err(self.syntax(format!("`{end}` without `{name}`"))),
        }
    }

    fn branch(&mut self, parser: &Parser<'_, '_>, code: &str, of: &[&str]) -> Result<()> {
        parser.finish()?;
        let problem = self.syntax("a branch outside of its block");
        let block = self.open.last_mut().filter(|block| of.contains(&block.name)).ok_or(problem)?;
        block.branches += 1;
        if block.branches > MAX_BRANCHES {
            return Err(TemplateError::Limit { what: "branches of one `if`", limit: MAX_BRANCHES });
        }
        self.emit(code);
        Ok(())
    }

    fn for_loop(&mut self, parser: &mut Parser<'_, '_>) -> Result<()> {
        let target = targets(parser)?;
        if !parser.skip_name("in") {
            return Err(self.syntax("`in` is missing"));
        }
        let mut items = vec![parser.disjunction()?];
        while parser.skip_symbol(",") {
            items.push(parser.disjunction()?);
        }
        let iterated = match items.as_slice() {
            [one] => one.clone(),
            _ => format!("__tuple({})", items.join(", ")),
        };
        let condition = if parser.skip_name("if") { format!(" if {}", parser.expression()?) } else { String::new() };
        if parser.is_name("recursive") {
            return Err(parser.unsupported("a recursive loop"));
        }
        self.open("for", parser, &format!("{{% for {target} in __iter({iterated}){condition} %}}"), "{% endfor %}")
    }

    fn set(&mut self, parser: &mut Parser<'_, '_>) -> Result<()> {
        let target = assigned(parser)?;
        if parser.skip_symbol("=") {
            let value = parser.expression_list()?;
            parser.finish()?;
            let value = if target.contains('.') { format!("__keep({value})") } else { value };
            self.emit(&format!("{{% set {target} = {value} %}}"));
            return Ok(());
        }
        let mut ending = "{% endset %}".to_owned();
        if parser.skip_symbol("|") {
            let filtered = filter_chain(parser, &target)?;
            ending.push_str(&format!("{{% set {target} = {filtered} %}}"));
        }
        self.open("set", parser, &format!("{{% set {target} %}}"), &ending)
    }

    fn with(&mut self, parser: &mut Parser<'_, '_>) -> Result<()> {
        let mut assignments = Vec::new();
        while parser.peek().is_some() {
            let target = targets(parser)?;
            parser.expect_symbol("=")?;
            assignments.push(format!("{target} = {}", parser.expression()?));
            if !parser.skip_symbol(",") {
                break;
            }
        }
        self.open("with", parser, &format!("{{% with {} %}}", assignments.join(", ")), "{% endwith %}")
    }

    fn macro_block(&mut self, parser: &mut Parser<'_, '_>) -> Result<()> {
        let name = parser.name()?;
        let parameters = parameters(parser)?;
        self.open("macro", parser, &format!("{{% macro {name}({parameters}) %}}"), "{% endmacro %}")
    }

    fn call_block(&mut self, parser: &mut Parser<'_, '_>) -> Result<()> {
        let parameters = if parser.is_symbol("(") { format!("({})", parameters(parser)?) } else { String::new() };
        let name = parser.name()?;
        let arguments = parser.arguments()?.join(", ");
        self.open("call", parser, &format!("{{% call{parameters} {name}({arguments}) %}}"), "{% endcall %}")
    }

    fn filter_block(&mut self, parser: &mut Parser<'_, '_>) -> Result<()> {
        let filtered = filter_chain(parser, "__captured")?;
        let ending = format!("{{% endset %}}{{{{ {filtered} }}}}{{% endwith %}}");
        self.open("filter", parser, "{% with %}{% set __captured %}", &ending)
    }

    fn generation(&mut self, parser: &Parser<'_, '_>) -> Result<()> {
        if self.open.iter().any(|block| block.name == "generation") {
            return Err(self.syntax("`generation` inside `generation`"));
        }
        self.out.has_marks = true;
        let captures = |block: &Block| BLOCKS.iter().any(|(name, _, captures)| *captures && *name == block.name);
        self.out.captured_marks |= self.open.iter().any(captures);
        // A scope, since in transformers the block is a call: what is set inside stays inside.
        self.open("generation", parser, "{{ __open }}{% with %}", "{% endwith %}{{ __close }}")
    }
}

/// What is assigned: `a`, `a.b`, or several names.
fn assigned(parser: &mut Parser<'_, '_>) -> Result<String> {
    let mut target = targets(parser)?;
    while parser.skip_symbol(".") {
        let name = parser.name()?;
        if name.starts_with('_') {
            return Err(parser.unsupported(format!("the attribute `{name}`")));
        }
        target = format!("{target}.{name}");
    }
    Ok(target)
}

/// Names, with commas between and brackets around some of them.
fn targets(parser: &mut Parser<'_, '_>) -> Result<String> {
    let mut names = Vec::new();
    loop {
        if parser.skip_symbol("(") {
            let inner = targets(parser)?;
            parser.expect_symbol(")")?;
            names.push(format!("({inner})"));
        } else {
            names.push(parser.name()?.to_owned());
        }
        if names.len() > MAX_BRANCHES {
            return Err(TemplateError::Limit { what: "names in one assignment", limit: MAX_BRANCHES });
        }
        if !parser.skip_symbol(",") {
            return Ok(names.join(", "));
        }
    }
}

/// The parameters of a macro.
fn parameters(parser: &mut Parser<'_, '_>) -> Result<String> {
    parser.expect_symbol("(")?;
    let mut parameters = Vec::new();
    while !parser.is_symbol(")") {
        let name = parser.name()?;
        let default = if parser.skip_symbol("=") { format!("={}", parser.expression()?) } else { String::new() };
        parameters.push(format!("{name}{default}"));
        if !parser.skip_symbol(",") {
            break;
        }
    }
    parser.expect_symbol(")")?;
    Ok(parameters.join(", "))
}

/// `upper | replace("a", "b")`, applied to a variable.
fn filter_chain(parser: &mut Parser<'_, '_>, value: &str) -> Result<String> {
    let mut value = parser.filter(value)?;
    while parser.skip_symbol("|") {
        value = parser.filter(&value)?;
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_keep_their_form() {
        let rewritten = rewrite(
            "{% for m in messages if m.role == 'user' %}{% set ns.x = m.content ~ \"a\" %}{% endfor %}\n\
             {%- generation %}{{ x|trim }}{% endgeneration %}",
        )
        .unwrap();
        assert_eq!(
            rewritten.source,
            "{% for m in __iter(messages) if __cmp(m.role, \"==\", \"user\") %}\
             {% set ns.x = __keep(__cat(m.content, \"a\")) %}{% endfor %}\
             {{\n __open }}{% with %}{{ __filter(\"trim\", x) }}{% endwith %}{{ __close }}"
        );
        assert!(rewritten.has_marks && !rewritten.captured_marks);
    }

    #[test]
    fn filter_blocks_use_guarded_filters() {
        let rewritten = rewrite("{% filter upper %}a{% endfilter %}{% set x | trim %} b {% endset %}").unwrap();
        assert_eq!(
            rewritten.source,
            "{% with %}{% set __captured %}{{ \"a\" }}{% endset %}{{ __filter(\"upper\", __captured) }}{% endwith %}\
             {% set x %}{{ \" b \" }}{% endset %}{% set x = __filter(\"trim\", x) %}"
        );
    }

    #[test]
    fn statements_that_reach_outside_are_refused() {
        for source in [
            "{% include 'x' %}",
            "{% import 'x' as y %}",
            "{% from 'x' import y %}",
            "{% extends 'x' %}",
            "{% block x %}{% endblock %}",
            "{% do x %}",
            "{% autoescape true %}{% endautoescape %}",
            "{% for x in y recursive %}{% endfor %}",
        ] {
            assert!(matches!(rewrite(source), Err(TemplateError::Unsupported { .. })), "{source}");
        }
        for source in ["{% if x %}", "{% endif %}", "{% else %}", "{% for x in y %}{% endif %}", "{% %}", "{% set %}"] {
            assert!(matches!(rewrite(source), Err(TemplateError::Syntax { .. })), "{source}");
        }
    }
}
