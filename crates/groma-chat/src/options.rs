//! What templates are given beside conversations.

use serde_json::{Map, Value};

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
    /// Control tokens, told apart where a message spells them (see [`crate::Rendered::spelled`]).
    pub control_tokens: Vec<String>,
}
