//! Compiles and runs a rewritten template in minijinja.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, Value};
use serde_json::Map;

use crate::budget::Budget;
use crate::error::{Result, TemplateError};
use crate::expression::is_reserved;
use crate::guards::{self, Context, Variables};
use crate::rewrite::Rewritten;
use crate::time::Moment;
use crate::value::from_json;

/// Instructions that any rendering may take; a message takes one or two hundred.
const BASE_FUEL: u64 = 500_000;
/// Further instructions for each byte of input: some templates walk over characters.
const FUEL_FOR_EACH_INPUT_BYTE: u64 = 32;
/// Frames of loops, scopes and macros.
const MAX_FRAMES: usize = 300;
const NAME: &str = "chat template";

/// A compiled template.
#[derive(Debug)]
pub(crate) struct Engine {
    environment: Environment<'static>,
}

impl Engine {
    /// Compiles. The environment is empty but for the formatter: no filters, tests, functions or other templates.
    pub(crate) fn new(rewritten: &Rewritten) -> Result<Self> {
        let mut environment = Environment::empty();
        environment.set_recursion_limit(MAX_FRAMES);
        environment.set_formatter(guards::format);
        environment.add_template_owned(NAME, rewritten.source.clone()).map_err(|error| typed(error, 0))?;
        Ok(Self { environment })
    }

    /// The names that the template looks up outside itself, guarded functions aside.
    pub(super) fn variables(&self) -> BTreeSet<String> {
        let template = self.environment.get_template(NAME);
        let names = template.map(|template| template.undeclared_variables(false)).unwrap_or_default();
        names.into_iter().filter(|name| !is_reserved(name) && !guards::is_function(name)).collect()
    }

    /// Renders.
    pub(crate) fn render(
        &self,
        variables: &Map<String, serde_json::Value>,
        marks: Option<(char, char)>,
        now: Option<Moment>,
    ) -> Result<String> {
        let input_bytes = variables.iter().map(|(name, value)| name.len() + text_bytes(value)).sum();
        let fuel = (input_bytes as u64).saturating_mul(FUEL_FOR_EACH_INPUT_BYTE).saturating_add(BASE_FUEL);
        let typed = |error| typed(error, fuel);
        let budget = Budget::new(input_bytes);
        let context = Arc::new(Context { budget, now });
        let mut values = BTreeMap::new();
        for (name, value) in variables {
            if is_reserved(name) {
                return Err(TemplateError::Input { name: name.clone(), problem: "the name is reserved".into() });
            }
            let value = from_json(&context.budget, value).map_err(typed)?;
            values.insert(name.clone(), value);
        }
        let mark = |mark: Option<char>| Value::from(mark.map(String::from).unwrap_or_default());
        values.insert("__open".into(), mark(marks.map(|marks| marks.0)));
        values.insert("__close".into(), mark(marks.map(|marks| marks.1)));
        let variables = Value::from_object(Variables::new(&context, values));
        let mut environment = self.environment.clone();
        environment.set_fuel(Some(fuel));
        let template = environment.get_template(NAME).map_err(typed)?;
        template.render(variables).map_err(typed)
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

/// The error of ours inside one of minijinja's, or its message.
fn typed(error: Error, fuel: u64) -> TemplateError {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    let mut innermost = None;
    while let Some(current) = source {
        if let Some(ours) = current.downcast_ref::<TemplateError>() {
            return ours.clone();
        }
        innermost = current.downcast_ref::<Error>().or(innermost);
        source = current.source();
    }
    let error = innermost.unwrap_or(&error);
    match error.kind() {
        ErrorKind::OutOfFuel => {
            TemplateError::Limit { what: "instructions", limit: usize::try_from(fuel).unwrap_or(usize::MAX) }
        }
        kind => {
            let problem = error.detail().map_or_else(|| kind.to_string(), str::to_owned);
            let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
            TemplateError::Failed { problem: format!("{line}{problem}") }
        }
    }
}
