//! Compiles and runs a rewritten template in minijinja.

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, Value};
use serde_json::Map;

use super::budget::Budget;
use super::error::{Result, TemplateError};
use super::expression::is_reserved;
use super::guards::{self, Context, Variables};
use super::rewrite::Rewritten;
use super::time::Moment;
use super::value::from_json;

/// Instructions that one rendering may take; a message takes one or two hundred.
const FUEL: u64 = 600_000;
/// Frames of loops, scopes and macros.
const MAX_FRAMES: usize = 300;
const NAME: &str = "chat template";

/// A compiled template.
#[derive(Debug)]
pub(super) struct Engine {
    environment: Environment<'static>,
}

impl Engine {
    /// Compiles. The environment is empty but for the formatter: no filters, tests, functions or other templates.
    pub(super) fn new(rewritten: &Rewritten) -> Result<Self> {
        let mut environment = Environment::empty();
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(MAX_FRAMES);
        environment.set_formatter(guards::format);
        environment.add_template_owned(NAME, rewritten.source.clone()).map_err(typed)?;
        Ok(Self { environment })
    }

    /// Renders.
    pub(super) fn render(
        &self,
        variables: &Map<String, serde_json::Value>,
        marks: Option<(char, char)>,
        now: Option<Moment>,
    ) -> Result<String> {
        let budget = Budget::new(variables.iter().map(|(name, value)| name.len() + text_bytes(value)).sum());
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
        let template = self.environment.get_template(NAME).map_err(typed)?;
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
fn typed(error: Error) -> TemplateError {
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
            TemplateError::Limit { what: "instructions", limit: usize::try_from(FUEL).unwrap_or(usize::MAX) }
        }
        kind => {
            let problem = error.detail().map_or_else(|| kind.to_string(), str::to_owned);
            let line = error.line().map(|line| format!("line {line}: ")).unwrap_or_default();
            TemplateError::Failed { problem: format!("{line}{problem}") }
        }
    }
}
