//! From texts and conversations to the tokens of a model.

use groma_chat::{Message, Options, Turns};
use groma_data::Content;
use groma_model::tokenizer::{
    Boundary, ContentTokens, PromptCompletion, Specials, TokenOptions, TokenizedChat, Variants,
};
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

    /// Tokens of a prompt up to where an answer begins, or goes on where the prompt has begun it (see [`begun`]).
    ///
    /// # Errors
    /// If the text cannot be encoded or the template does not take the messages.
    pub fn prompt(&self, prompt: &Content) -> Result<Vec<u32>> {
        let Content::Messages(turns) = prompt else { return self.text(&prompt.plain()) };
        let Some(beginning) = turns.last().filter(|message| is_begun(message)) else {
            return Ok(self.tokenizer.any_conversation(&self.chat.template, turns, &options(turns, true))?.ids);
        };
        let messages = turns.messages[..turns.len() - 1].to_vec();
        let asked = Content::Messages(Turns { messages, ..turns.clone() });
        let mut ids = self.prompt(&asked)?;
        ids.extend(self.beginning(&asked, &beginning.content)?);
        Ok(ids)
    }

    /// How prompts are encoded that differ from this one in one place; `None` for a plain text, and where the prompt has begun the
    /// answer.
    ///
    /// # Errors
    /// As [`Encoder::prompt`].
    pub fn variants(&self, prompt: &Content) -> Result<Option<Variants<'a>>> {
        let Content::Messages(turns) = prompt else { return Ok(None) };
        if turns.last().is_some_and(is_begun) {
            return Ok(None);
        }
        self.tokenizer.variants(&self.chat.template, turns, &options(turns, true)).map(Some)
    }

    /// Tokens of a text with which the answer to a prompt begins: those that it has in an answer that it is all of, without what
    /// ends the answer.
    ///
    /// # Errors
    /// As [`Encoder::prompt`].
    pub fn beginning(&self, prompt: &Content, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.reply(prompt, &prompt.answered(text))?.completion;
        let holds = |count: &usize| self.decode(&ids[..*count]).contains(text);
        match (0..=ids.len()).find(holds) {
            Some(count) => ids.truncate(count),
            // A template that writes the answer otherwise than it was given.
            None => ids = self.tokenizer.encode_plain(text)?,
        }
        Ok(ids)
    }

    /// Tokens of a plain text, begun as the tokenizer begins texts. Control tokens that it spells are control tokens: whoever
    /// gives a text without turns writes them there.
    ///
    /// # Errors
    /// If the text cannot be encoded.
    pub fn text(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = self.tokenizer.encode(text, Specials::AsConfigured)?;
        if let (Some(bos), [first, second, ..]) = (self.tokenizer.bos(), &ids[..])
            && (*first, *second) == (bos, bos)
        {
            ids.remove(0);
        }
        Ok(ids)
    }

    /// Tokens of a prompt and of a reply to it, its end included: messages by the template, else texts as they are.
    ///
    /// # Errors
    /// As [`Encoder::prompt`].
    pub fn reply(&self, prompt: &Content, reply: &Content) -> Result<PromptCompletion> {
        if let (Content::Messages(prompt), Content::Messages(reply)) = (prompt, reply) {
            return self.tokenizer.prompt_and_completion(&self.chat.template, prompt, reply, &options(prompt, false));
        }
        let (prompt, reply) = (prompt.plain(), reply.plain());
        self.tokenizer.prompt_and_completion_text(&prompt, &reply, ContentTokens::Control, Boundary::Separate)
    }

    /// Tokens of a whole conversation, whatever the template does with it.
    ///
    /// # Errors
    /// As [`Encoder::prompt`].
    pub fn conversation(&self, turns: &Turns) -> Result<Vec<u32>> {
        Ok(self.tokenizer.any_conversation(&self.chat.template, turns, &options(turns, false))?.ids)
    }

    /// The same, with those told apart that the assistant says.
    ///
    /// # Errors
    /// As [`Encoder::prompt`], and where the template does not let answers be told apart.
    pub fn conversation_with_answers(&self, turns: &Turns) -> Result<TokenizedChat> {
        self.tokenizer.conversation(&self.chat.template, turns, &options(turns, false))
    }

    /// The text of tokens, special ones left out. Ids are rows of the embedding, which the tokenizer may have fewer of; a
    /// text with such a token is shown empty.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids, true).unwrap_or_default()
    }
}

/// The field of the last message by which it is an answer that is to be gone on with; Mistral's servers call it so.
const PREFIX: &str = "prefix";

/// A prompt whose answer has begun: a reply goes on from there, and says only what follows. No end of turn comes between.
///
/// [`crate::Local`] takes it. Servers have no common way to ask so, and mostly begin another answer.
pub fn begun(prompt: &Content, beginning: &str) -> Content {
    match prompt {
        Content::Text(text) => Content::Text(format!("{text}{beginning}")),
        Content::Messages(turns) => {
            let mut turns = turns.clone();
            let mut message = Message::new("assistant", beginning);
            message.extra.insert(PREFIX.to_owned(), true.into());
            turns.messages.push(message);
            Content::Messages(turns)
        }
    }
}

fn is_begun(message: &Message) -> bool {
    message.is_assistant() && message.extra.get(PREFIX).and_then(serde_json::Value::as_bool) == Some(true)
}

fn options(turns: &Turns, add_generation_prompt: bool) -> TokenOptions {
    let (tools, variables) = (turns.tools.clone(), turns.variables.clone());
    let template = Options { add_generation_prompt, tools, variables, ..Options::default() };
    TokenOptions { template, boundary: Boundary::Separate, ensure_bos: true, ..TokenOptions::default() }
}
