//! What preparation needs of a tokenizer and its chat template.

use groma_data::Message;
use groma_model::Result;

/// Turns text and conversations into tokens.
pub trait Encode {
    /// Tokens of a text; `special`: with those that the tokenizer puts around a text (BOS).
    fn text(&self, text: &str, special: bool) -> Result<Vec<u32>>;
    /// Tokens of a conversation as the chat template renders it, special tokens included.
    fn chat(&self, messages: &[Message], add_generation_prompt: bool) -> Result<Conversation>;
    /// Begins a text.
    fn bos(&self) -> Option<u32>;
    /// Ends a text.
    fn eos(&self) -> Option<u32>;
    /// Tokens that end a text or a turn.
    fn stops(&self) -> Vec<u32>;
    /// Number of ids that the tokenizer may produce.
    fn vocab_size(&self) -> usize;
}

/// A rendered conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conversation {
    /// All tokens.
    pub ids: Vec<u32>,
    /// For each token whether the assistant says it; `None` where the template does not mark that.
    pub assistant: Option<Vec<bool>>,
}
