//! A template at work.

use std::collections::BTreeSet;

use jiff::civil::DateTime;
use serde_json::{Map, Value};

use crate::built_in::BUILT_IN;
use crate::engine::Engine;
use crate::error::{Result, TemplateError};
use crate::marks::{Marks, Used};
use crate::message::Message;
use crate::options::Options;
use crate::rendered::Rendered;

/// Longest template that is read.
pub const MAX_TEMPLATE_BYTES: usize = 64 << 10;

/// A chat template, ready to render.
#[derive(Debug)]
pub struct Template {
    source: String,
    engine: Engine,
    now: DateTime,
}

impl Template {
    /// Reads a template. What it shows of the date (`strftime_now`) is today, at midnight, so that nothing depends on the
    /// hour; see [`Template::pinned`].
    ///
    /// # Errors
    /// Where it is too long, is not Jinja, or uses what chat templates have no need of (other templates, blocks).
    pub fn new(source: impl Into<String>) -> Result<Self> {
        let source = source.into();
        if source.len() > MAX_TEMPLATE_BYTES {
            return Err(TemplateError::TooLong { bytes: source.len(), limit: MAX_TEMPLATE_BYTES });
        }
        let engine = Engine::new(&source)?;
        let now = jiff::Zoned::now().date().to_datetime(jiff::civil::Time::midnight());
        Ok(Self { source, engine, now })
    }

    /// The template with another date to show.
    pub fn pinned(self, now: DateTime) -> Self {
        Self { now, ..self }
    }

    /// One of [`BUILT_IN`], by its id.
    pub fn built_in(id: &str) -> Result<Self> {
        let known = || BUILT_IN.iter().map(|template| template.id).collect::<Vec<_>>().join(", ");
        let found = BUILT_IN.iter().find(|template| template.id == id);
        let found = found.ok_or_else(|| TemplateError::Unknown { name: id.into(), known: known() })?;
        Self::new(found.source)
    }

    /// The template's text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The date that the template can show, where it asks for one.
    pub fn date(&self) -> Option<DateTime> {
        self.engine.prepared.shows_date.then_some(self.now)
    }

    /// All that decides the text of a conversation: the source, and the date where the template can show it.
    pub fn identity(&self) -> String {
        self.date().map_or_else(|| self.source.clone(), |date| format!("{}\n{date}", self.source))
    }

    /// Whether answers are marked with `{% generation %}`.
    pub fn has_generation_marks(&self) -> bool {
        self.engine.prepared.has_marks
    }

    /// The names of the variables that the template reads.
    pub fn variables(&self) -> BTreeSet<String> {
        self.engine.variables()
    }

    /// Renders a conversation; `assistant` has what `{% generation %}` marks, and nothing where the template has no marks.
    ///
    /// # Errors
    /// Where the template refuses the conversation, fails, or goes beyond a limit.
    pub fn render(&self, messages: &[Message], options: &Options) -> Result<Rendered> {
        let mut content = Map::new();
        content.insert("messages".into(), messages.iter().map(Message::to_json).collect());
        content.insert("tools".into(), options.tools.clone().map_or(Value::Null, Value::Array));
        content.insert("documents".into(), options.documents.clone().map_or(Value::Null, Value::Array));
        let marks = self.marks(&content, options)?;
        if !marks.spelled.is_empty() {
            content.values_mut().for_each(|value| marks.hide(value));
        }
        content.insert("add_generation_prompt".into(), Value::from(options.add_generation_prompt));
        for (name, value) in &options.variables {
            content.entry(name.as_str()).or_insert_with(|| value.clone());
        }
        let output = self.engine.render(&content, marks.generation, self.now)?;
        let unmarked = marks.remove(&output)?;
        if self.engine.prepared.captured_marks {
            let plain = Marks { generation: None, ..marks }.remove(&self.engine.render(&content, None, self.now)?)?;
            if plain.text != unmarked.text {
                return Err(TemplateError::Marks { problem: "the text differs without them".into() });
            }
        }
        Ok(unmarked)
    }

    fn marks(&self, content: &Map<String, Value>, options: &Options) -> Result<Marks> {
        let mut used = Used::default();
        used.text(&self.engine.prepared.literals);
        used.fields(content);
        used.fields(&options.variables);
        let generation = if self.engine.prepared.has_marks { Some((used.take()?, used.take()?)) } else { None };
        let mut marks = Marks { generation, ..Marks::default() };
        let occurs = |token: &&String| !token.is_empty() && content.values().any(|value| contains(value, token));
        for token in options.control_tokens.iter().filter(occurs) {
            marks.spelled.insert(used.take()?, token.clone());
        }
        Ok(marks)
    }
}

/// Whether a string in a value contains a text.
fn contains(value: &Value, part: &str) -> bool {
    match value {
        Value::String(text) => text.contains(part),
        Value::Array(items) => items.iter().any(|item| contains(item, part)),
        Value::Object(fields) => fields.values().any(|item| contains(item, part)),
        _ => false,
    }
}
