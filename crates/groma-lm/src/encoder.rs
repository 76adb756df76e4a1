//! From texts and conversations to the tokens of a model.

use groma_chat::Options;
use groma_data::{Content, Message};
use groma_model::tokenizer::{Boundary, ContentTokens, PromptCompletion, Specials, TokenOptions, TokenizedChat};
use groma_model::{ChatTemplate, LocalModel, Result, Tokenizer};

/// A tokenizer with its chat template.
#[derive(Clone, Debug)]
pub struct Encoder<'a> {
    /// The tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The chat template.
    pub chat: &'a ChatTemplate,
    /// Tokens that end a text or a turn.
    pub stop_ids: Vec<u32>,
}

impl<'a> Encoder<'a> {
    /// That of an opened model.
    pub fn of(model: &'a LocalModel) -> Self {
        Encoder { tokenizer: &model.tokenizer, chat: &model.chat, stop_ids: model.stop_ids() }
    }

    /// Tokens of a prompt up to where an answer begins.
    ///
    /// # Errors
    /// If the text cannot be encoded or the template does not take the messages.
    pub fn prompt(&self, prompt: &Content) -> Result<Vec<u32>> {
        let messages = match prompt {
            Content::Text(text) => return Ok(self.tokenizer.encode(text, Specials::AsConfigured)?),
            Content::Messages(messages) => messages,
        };
        let template = Options { add_generation_prompt: true, ..Options::default() };
        let options = TokenOptions { template, ..Self::options() };
        Ok(self.tokenizer.conversation(&self.chat.template, messages, &options)?.ids)
    }

    /// Tokens of a prompt and of a reply to it, its end included: messages by the template, else texts as they are.
    ///
    /// # Errors
    /// As [`Encoder::prompt`].
    pub fn reply(&self, prompt: &Content, reply: &Content) -> Result<PromptCompletion> {
        if let (Content::Messages(prompt), Content::Messages(reply)) = (prompt, reply) {
            return self.tokenizer.prompt_and_completion(&self.chat.template, prompt, reply, &Self::options());
        }
        let (prompt, reply) = (prompt.plain(), reply.plain());
        self.tokenizer.prompt_and_completion_text(&prompt, &reply, ContentTokens::Plain, Boundary::Separate)
    }

    /// Tokens of a whole conversation, whatever the template does with it.
    ///
    /// # Errors
    /// As [`Encoder::prompt`].
    pub fn conversation(&self, messages: &[Message]) -> Result<Vec<u32>> {
        let options = Options { variables: self.tokenizer.template_variables(), ..Options::default() };
        let text = self.chat.template.render(messages, &options)?.text;
        let mut ids = self.tokenizer.encode(&text, Specials::None)?;
        let begun = self.tokenizer.encode("", Specials::AsConfigured)?;
        if let (Some(bos), true) = (self.tokenizer.bos(), begun.first() == self.tokenizer.bos().as_ref())
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        Ok(ids)
    }

    /// The same, with those told apart that the assistant says.
    ///
    /// # Errors
    /// As [`Encoder::prompt`], and where the template does not let answers be told apart.
    pub fn conversation_with_answers(&self, messages: &[Message]) -> Result<TokenizedChat> {
        self.tokenizer.conversation(&self.chat.template, messages, &Self::options())
    }

    /// The text of tokens, special ones left out. Ids are rows of the embedding, which the tokenizer may have fewer of; a
    /// text with such a token is shown empty.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids, true).unwrap_or_default()
    }

    fn options() -> TokenOptions {
        TokenOptions { boundary: Boundary::Separate, ensure_bos: true, ..TokenOptions::default() }
    }
}
