//! Runs templates in minijinja, under a budget.
//!
//! minijinja counts instructions and every byte and item that a template makes or walks, and stops where its fuel is used
//! up, so that the outcome does not depend on the speed of the machine, as it would with a clock. What its filters and
//! functions do otherwise than those of transformers is in [`crate::python`].

use std::collections::BTreeSet;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Error, ErrorKind, Value};
use serde_json::Map;

use crate::error::{Result, TemplateError, failure};
use crate::prepare::{Prepared, prepare};
use crate::python;

/// Fuel that any rendering may take: one pays for an instruction, or for 64 bytes; a message takes one or two hundred.
const BASE_FUEL: u64 = 600_000;
/// Further fuel for each byte of input: some templates walk over characters.
const FUEL_FOR_EACH_INPUT_BYTE: u64 = 32;
/// Frames of loops, scopes and macros.
const MAX_FRAMES: usize = 300;
const NAME: &str = "chat template";
/// What is given to each rendering beside its variables.
const FOR_EACH_RENDERING: [&str; 3] = ["__open", "__close", "strftime_now"];

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Engine {
    environment: Environment<'static>,
    pub(crate) prepared: Prepared,
}

impl Engine {
    /// Compiles.
    pub(crate) fn new(source: &str) -> Result<Self> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
        let syntax = syntax.map_err(|error| TemplateError::of_syntax(&error))?;
        environment.set_syntax(syntax.clone());
        environment.set_recursion_limit(MAX_FRAMES);
        python::install(&mut environment);
        let prepared = prepare(source, &syntax)?;
        environment
            .add_template_owned(NAME, prepared.source.clone())
            .map_err(|error| TemplateError::of_syntax(&error))?;
        Ok(Self { environment, prepared })
    }

    /// The names that the template looks up outside itself, functions aside.
    pub(crate) fn variables(&self) -> BTreeSet<String> {
        let template = self.environment.get_template(NAME);
        let names = template.map(|template| template.undeclared_variables(false)).unwrap_or_default();
        let functions: BTreeSet<&str> = self.environment.globals().map(|(name, _)| name).collect();
        let indexed = self.prepared.indexed.difference(&self.prepared.assigned).cloned();
        let is_variable = |name: &String| !functions.contains(name.as_str()) && !FOR_EACH_RENDERING.contains(&&**name);
        names.into_iter().chain(indexed).filter(is_variable).collect()
    }

    /// Renders.
    pub(crate) fn render(
        &self,
        variables: &Map<String, serde_json::Value>,
        marks: Option<(char, char)>,
        now: jiff::civil::DateTime,
    ) -> Result<String> {
        let input_bytes = variables.iter().map(|(name, value)| name.len() + text_bytes(value)).sum::<usize>();
        let fuel = (input_bytes as u64).saturating_mul(FUEL_FOR_EACH_INPUT_BYTE).saturating_add(BASE_FUEL);
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        let mark = |mark: Option<char>| mark.map(String::from).unwrap_or_default();
        environment.add_global(FOR_EACH_RENDERING[0], mark(marks.map(|marks| marks.0)));
        environment.add_global(FOR_EACH_RENDERING[1], mark(marks.map(|marks| marks.1)));
        environment.add_function(FOR_EACH_RENDERING[2], move |format: &str| {
            jiff::fmt::strtime::format(format, now).map_err(|error| failure(format!("`strftime_now`: {error}")))
        });
        let template = environment.get_template(NAME).map_err(|error| TemplateError::of_rendering(&error, fuel))?;
        template.render(Value::from(Serde(variables))).map_err(|error| TemplateError::of_rendering(&error, fuel))
    }
}

fn text_bytes(value: &serde_json::Value) -> usize {
    match value {
        serde_json::Value::String(text) => text.len(),
        serde_json::Value::Array(items) => items.iter().map(text_bytes).sum::<usize>() + items.len(),
        serde_json::Value::Object(fields) => fields.iter().map(|(key, value)| key.len() + text_bytes(value)).sum(),
        _ => 1,
    }
}

impl TemplateError {
    /// Of what the parser says.
    pub(crate) fn of_syntax(error: &Error) -> Self {
        let problem = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        TemplateError::Syntax { line: error.line().unwrap_or(1), problem }
    }

    /// The error of ours inside one of minijinja's, or its message.
    fn of_rendering(error: &Error, fuel: u64) -> Self {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
        let mut innermost = error;
        while let Some(current) = source {
            if let Some(ours) = current.downcast_ref::<TemplateError>() {
                return ours.clone();
            }
            innermost = current.downcast_ref::<Error>().unwrap_or(innermost);
            source = current.source();
        }
        if innermost.kind() == ErrorKind::OutOfFuel {
            let limit = usize::try_from(fuel).unwrap_or(usize::MAX);
            return TemplateError::Limit { what: "instructions and parts of 64 bytes", limit };
        }
        let problem = innermost.detail().map_or_else(|| innermost.kind().to_string(), str::to_owned);
        let line = innermost.line().map(|line| format!("line {line}: ")).unwrap_or_default();
        TemplateError::Failed { problem: format!("{line}{problem}") }
    }
}
