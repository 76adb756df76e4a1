//! A crate's modules, and what each says of others, read from the tokens of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;
use std::path::{Path, PathBuf};

use proc_macro2::token_stream::IntoIter;
use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

use crate::circles::Use;

/// Words that an item's name follows.
const ITEMS: [&str; 9] = ["struct", "enum", "union", "fn", "trait", "type", "const", "static", "macro_rules"];

/// A path in the source, as its names; the first of `crate::a::B` is `crate`.
type Names = Vec<String>;

/// A name that a module brings into its scope.
struct Import {
    name: String,
    path: Names,
    line: usize,
    is_reexport: bool,
}

/// What a module says.
#[derive(Default)]
pub(crate) struct Module {
    file: PathBuf,
    items: BTreeSet<String>,
    imports: Vec<Import>,
    /// Paths whose items are all imported.
    globs: Vec<Names>,
    /// Paths in its code, and the first line of each.
    said: BTreeMap<Names, usize>,
}

/// The modules of a crate by their paths; the root's is empty.
#[derive(Default)]
pub(crate) struct Crate {
    pub(crate) modules: BTreeMap<Names, Module>,
}

impl Crate {
    /// Reads the crate whose root lies in a directory.
    pub(crate) fn read(source: &Path) -> Crate {
        let mut read = Crate::default();
        let root = ["lib.rs", "main.rs"].map(|name| source.join(name)).into_iter().find(|path| path.is_file());
        read.file(Vec::new(), &root.unwrap(), source);
        read
    }

    /// Reads the module in a file, whose children lie below a directory.
    fn file(&mut self, module: Names, file: &Path, below: &Path) {
        let text = std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let tokens = text.parse().unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        self.module(module, tokens, file, below);
    }

    fn module(&mut self, module: Names, tokens: TokenStream, file: &Path, below: &Path) {
        let mut reading =
            Reading { module: Module { file: file.to_owned(), ..Module::default() }, children: Vec::new() };
        reading.walk(tokens, true);
        self.modules.insert(module.clone(), reading.module);
        for (name, body) in reading.children {
            let child = [&module[..], std::slice::from_ref(&name)].concat();
            let below = below.join(&name);
            match body {
                Some(body) => self.module(child, body, file, &below),
                None => self.file(child, &below.with_extension("rs"), &below),
            }
        }
    }

    /// Who uses whose items, and where it says so.
    pub(crate) fn uses(&self) -> Vec<Use> {
        let mut uses = Vec::new();
        for (from, module) in &self.modules {
            let imported = module.imports.iter().filter(|import| !import.is_reexport);
            let imported = imported.map(|import| (&import.path, import.line));
            let globs = module.globs.iter().map(|path| (path, 0));
            let said = module.said.iter().filter(|(path, _)| path.len() > 1 || module.reexports(&path[0]));
            let said = said.map(|(path, line)| (path, *line));
            for (path, line) in imported.chain(globs).chain(said) {
                let Some(to) = self.resolve(from, path, 0).filter(|to| to != from) else { continue };
                let at = format!("{}:{line}: {}", module.file.display(), path.join("::"));
                uses.push(Use { from: name(from), to: name(&to), at });
            }
        }
        uses
    }

    /// The module that defines what a path says in a module, where that is of this crate.
    fn resolve(&self, from: &[String], path: &[String], depth: usize) -> Option<Names> {
        let mut at = from.to_vec();
        let mut path = path;
        while let [first, rest @ ..] = path {
            match first.as_str() {
                "crate" => at.clear(),
                "super" => drop(at.pop()?),
                "self" => {}
                _ => break,
            }
            path = rest;
        }
        self.below(at, path, depth)
    }

    /// The same for a path that begins in a module.
    fn below(&self, at: Names, path: &[String], depth: usize) -> Option<Names> {
        // Imports can go round, as `use self::a::*` in `a` does.
        if depth > 8 {
            return None;
        }
        let Some((first, rest)) = path.split_first() else { return Some(at) };
        let module = self.modules.get(&at)?;
        let child = [&at[..], std::slice::from_ref(first)].concat();
        let is_child = self.modules.contains_key(&child);
        // A function may be called as a module is; what goes on leads through the module.
        if module.items.contains(first) && (!is_child || rest.is_empty()) {
            return Some(at);
        }
        if is_child {
            return self.below(child, rest, depth);
        }
        if let Some(import) =
            module.imports.iter().find(|import| import.name == *first && import.path != [first.clone()])
        {
            return self.resolve(&at, &[&import.path[..], rest].concat(), depth + 1);
        }
        let globs = module.globs.iter().filter_map(|glob| self.resolve(&at, glob, depth + 1));
        globs.filter(|glob| *glob != at).find_map(|glob| self.below(glob, path, depth + 1))
    }
}

impl Module {
    fn reexports(&self, name: &str) -> bool {
        self.imports.iter().any(|import| import.is_reexport && import.name == name)
    }
}

/// How a module is called.
fn name(module: &[String]) -> String {
    if module.is_empty() { "the root".to_owned() } else { module.join("::") }
}

/// A module while its tokens are read.
struct Reading {
    module: Module,
    /// Its children, with their tokens where they stand in it.
    children: Vec<(String, Option<TokenStream>)>,
}

impl Reading {
    /// Reads tokens; `is_top` says that items among them are the module's own.
    fn walk(&mut self, tokens: TokenStream, is_top: bool) {
        let mut tokens = tokens.into_iter().peekable();
        let (mut is_public, mut after_dot) = (false, false);
        while let Some(token) = tokens.next() {
            let (was_public, was_after_dot) = (is_public, after_dot);
            (is_public, after_dot) = (false, false);
            match token {
                TokenTree::Punct(mark) if mark.as_char() == '#' => match tokens.next() {
                    Some(TokenTree::Group(attribute)) if is_of_tests(&attribute.stream()) => skip_item(&mut tokens),
                    Some(TokenTree::Group(attribute)) => self.walk(attribute.stream(), false),
                    _ => {}
                },
                token if begins_colons(&token) => {
                    // A path that begins with `::` is another crate's, or goes on behind `<...>`.
                    tokens.next();
                    tokens.next_if(|token| matches!(token, TokenTree::Ident(_)));
                    names(&mut tokens);
                }
                TokenTree::Punct(mark) => after_dot = mark.as_char() == '.',
                TokenTree::Group(group) => {
                    is_public = was_public && group.delimiter() == Delimiter::Parenthesis;
                    self.walk(group.stream(), false);
                }
                TokenTree::Ident(word) if was_after_dot && word != "pub" => {}
                TokenTree::Ident(word) => match word.to_string().as_str() {
                    "pub" => is_public = true,
                    "use" => self.import(&mut tokens, Vec::new(), was_public),
                    "mod" if is_top => self.child(&mut tokens),
                    item if is_top && ITEMS.contains(&item) => self.item(&mut tokens),
                    first => {
                        let line = word.span().start().line;
                        let path = [vec![first.to_owned()], names(&mut tokens)].concat();
                        self.module.said.entry(path).or_insert(line);
                    }
                },
                TokenTree::Literal(_) => {}
            }
        }
    }

    /// What follows `mod`.
    fn child(&mut self, tokens: &mut Peekable<IntoIter>) {
        let Some(TokenTree::Ident(name)) = tokens.next() else { return };
        let body = match tokens.next() {
            Some(TokenTree::Group(body)) => Some(body.stream()),
            _ => None,
        };
        self.children.push((name.to_string(), body));
    }

    /// The name of an item, which follows its kind.
    fn item(&mut self, tokens: &mut Peekable<IntoIter>) {
        tokens.next_if(|token| matches!(token, TokenTree::Punct(mark) if mark.as_char() == '!'));
        // `const fn` says its kind in the next word.
        let word = |token: &TokenTree| matches!(token, TokenTree::Ident(word) if word != "fn" && word != "unsafe");
        if let Some(TokenTree::Ident(name)) = tokens.next_if(word) {
            self.module.items.insert(name.to_string());
        }
    }

    /// One branch of what follows `use`, up to `,` or `;`.
    fn import(&mut self, tokens: &mut Peekable<IntoIter>, mut path: Names, is_reexport: bool) {
        let (mut line, mut renamed, mut is_foreign) = (0, None, false);
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(word) if word == "as" => renamed = tokens.next().map(|name| name.to_string()),
                TokenTree::Ident(word) => {
                    line = word.span().start().line;
                    path.push(word.to_string());
                }
                TokenTree::Group(branches) => {
                    let mut branches = branches.stream().into_iter().peekable();
                    while branches.peek().is_some() {
                        self.import(&mut branches, path.clone(), is_reexport);
                    }
                    path.clear();
                }
                TokenTree::Punct(mark) if mark.as_char() == '*' => self.module.globs.push(std::mem::take(&mut path)),
                TokenTree::Punct(mark) if mark.as_char() == ':' => is_foreign |= path.is_empty(),
                _ => break,
            }
        }
        if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
            path.pop();
        }
        if let (Some(last), false) = (path.last(), is_foreign) {
            let name = renamed.unwrap_or_else(|| last.clone());
            self.module.imports.push(Import { name, path, line, is_reexport });
        }
    }
}

/// The names that follow the first of a path.
fn names(tokens: &mut Peekable<IntoIter>) -> Names {
    let mut found = Vec::new();
    while tokens.next_if(begins_colons).is_some() {
        tokens.next();
        match tokens.next_if(|token| matches!(token, TokenTree::Ident(_))) {
            Some(name) => found.push(name.to_string()),
            None => break,
        }
    }
    found
}

/// Whether it is the first half of `::`.
fn begins_colons(token: &TokenTree) -> bool {
    matches!(token, TokenTree::Punct(mark) if mark.as_char() == ':' && mark.spacing() == Spacing::Joint)
}

/// Whether an attribute says that what follows is compiled for tests alone.
fn is_of_tests(attribute: &TokenStream) -> bool {
    let attribute = attribute.to_string().replace(' ', "");
    attribute.starts_with("cfg(test") || attribute.starts_with("cfg(all(test")
}

/// Goes past the item, arm or statement that follows an attribute.
fn skip_item(tokens: &mut Peekable<IntoIter>) {
    let ends = |token: &TokenTree| matches!(token, TokenTree::Punct(mark) if [';', ','].contains(&mark.as_char()));
    while let Some(token) = tokens.next() {
        if ends(&token) {
            return;
        }
        if matches!(&token, TokenTree::Group(body) if body.delimiter() == Delimiter::Brace) {
            tokens.next_if(ends);
            return;
        }
    }
}
