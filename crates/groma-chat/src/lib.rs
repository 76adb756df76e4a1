//! Chat templates: Jinja that turns a conversation into the text a model was trained on.
//!
//! Templates come with checkpoints and are untrusted. They are rendered by minijinja under a budget, with nothing else in
//! reach: a template can read the conversation and write text, and is stopped with an error where it takes too many
//! instructions or makes too much text. Within these limits the output is that of transformers' `apply_chat_template`, byte
//! for byte.
//!
//! For training, [`Template::render_answers`] says which bytes are answers: by the template's `{% generation %}` marks, or
//! where it has none by rendering the conversation up to each answer. [`Template::prompt_and_completion`] splits preference
//! data. [`BUILT_IN`] has templates for checkpoints that bring none.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::civil::DateTime;
use serde_json::{Map, Value};

mod answers;
mod built_in;
mod engine;
mod error;
mod json;
mod marks;
mod operators;
mod prepare;
mod python;
mod source;

pub use built_in::{BUILT_IN, BuiltIn};
pub use error::TemplateError;
pub use source::{NamedTemplates, template_in};

use engine::Engine;
use error::Result;
use marks::{Marks, Used};

/// Longest template that is read.
pub const MAX_TEMPLATE_BYTES: usize = 64 << 10;

/// Fields in which a message's reasoning may be given; transformers reads the first that is there.
const REASONING_FIELDS: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// The field of a message that says whether it is learned from (1, which is the rule) or not (0).
pub const WEIGHT: &str = "weight";

/// One message of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Message {
    /// Who speaks: `system`, `user`, `assistant`, `tool`, or whatever the template knows.
    pub role: String,
    /// What is said.
    pub content: String,
    /// Further fields, e.g. `tool_calls`. A `content` here (a list of parts, or null for none) takes the place of the text.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Message {
    /// A message with text only.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into(), extra: Map::new() }
    }

    /// Whether the model speaks.
    pub fn is_assistant(&self) -> bool {
        self.role == "assistant"
    }

    /// Whether what the model says here is to be learned: a `weight` of 0 says that it is not.
    pub fn is_learned(&self) -> bool {
        let unlearned = self.extra.get(WEIGHT).and_then(Value::as_f64).is_some_and(|weight| weight == 0.0);
        self.is_assistant() && !unlearned
    }

    fn to_json(&self) -> Value {
        let mut fields = Map::new();
        let reasoning =
            REASONING_FIELDS.iter().filter_map(|field| self.extra.get(*field)).find(|value| !value.is_null());
        if let Some(reasoning) = reasoning {
            fields.insert("thinking".into(), reasoning.clone());
        }
        fields.insert("role".into(), Value::from(self.role.as_str()));
        fields.insert("content".into(), Value::from(self.content.as_str()));
        fields.extend(self.extra.clone());
        if let Some(reasoning) = reasoning {
            fields.insert("reasoning_content".into(), reasoning.clone());
        }
        // As transformers 5: templates handle a field that is missing, and write "None" for one that is null.
        fields.retain(|_, value| !value.is_null());
        Value::Object(fields)
    }
}

/// Messages, with what a template is given beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turns {
    /// Who says what, in order.
    pub messages: Vec<Message>,
    /// Descriptions of the tools that may be called, as JSON schemas.
    pub tools: Option<Vec<Value>>,
    /// Further variables of the template, such as `enable_thinking`.
    pub variables: Map<String, Value>,
}

impl From<Vec<Message>> for Turns {
    fn from(messages: Vec<Message>) -> Self {
        Self { messages, ..Self::default() }
    }
}

/// A conversation is read as its messages.
impl std::ops::Deref for Turns {
    type Target = Vec<Message>;

    fn deref(&self) -> &Vec<Message> {
        &self.messages
    }
}

impl std::ops::DerefMut for Turns {
    fn deref_mut(&mut self) -> &mut Vec<Message> {
        &mut self.messages
    }
}

/// What is given to a template beside the messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Options {
    /// Ends the text with the beginning of an answer.
    pub add_generation_prompt: bool,
    /// Descriptions of the tools that may be called, as JSON schemas.
    pub tools: Option<Vec<Value>>,
    /// Documents to answer from.
    pub documents: Option<Vec<Value>>,
    /// Further variables; `bos_token` and the like are here.
    pub variables: Map<String, Value>,
    /// Control tokens, told apart where a message spells them (see [`Rendered::spelled`]).
    pub control_tokens: Vec<String>,
}

/// A rendered conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Bytes of the text that are answers, in order.
    pub assistant: Vec<Range<usize>>,
    /// Bytes of those that are not to be learned, which are not among `assistant`.
    pub unlearned: Vec<Range<usize>>,
    /// Bytes of the text where what the caller passes spells one of [`Options::control_tokens`].
    pub spelled: Vec<Range<usize>>,
}

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
