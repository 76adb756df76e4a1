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

mod answers;
mod built_in;
mod engine;
mod error;
mod json;
mod marks;
mod message;
mod operators;
mod options;
mod prepare;
mod python;
mod rendered;
mod source;
mod template;

pub use built_in::{BUILT_IN, BuiltIn};
pub use error::TemplateError;
pub use message::{Message, Turns, WEIGHT};
pub use options::Options;
pub use rendered::Rendered;
pub use source::{NamedTemplates, template_in};
pub use template::{MAX_TEMPLATE_BYTES, Template};
