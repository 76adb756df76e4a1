//! Text and conversations as tokens: what preparation needs of a tokenizer and its chat template.

use crate::training::Boundary;
use groma_chat::{Options, Template};
use groma_data::{Content, Message};
use groma_model::score::common_prefix;
use groma_model::tokenizer::{self, ContentTokens, PromptCompletion, Specials, TokenOptions};
use groma_model::{LocalModel, Result, Tokenizer};

/// Turns text and conversations into tokens.
pub trait Encode {
    /// Tokens of a whole text, with what the tokenizer puts around it and EOS at its end.
    fn document(&self, text: &str) -> Result<Vec<u32>>;
    /// Tokens of a conversation as the chat template renders it; `answers`: with those told apart that the assistant says.
    fn conversation(&self, messages: &[Message], answers: bool) -> Result<Conversation>;
    /// A prompt and what follows it, both of the same form. Plain completions end with EOS.
    fn continuation(&self, prompt: &Content, completion: &Content, boundary: Boundary) -> Result<Continuation>;
    /// Begins a text.
    fn bos(&self) -> Option<u32>;
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
    /// For each token whether the assistant says it; `None` where that is not known or was not asked for.
    pub assistant: Option<Vec<bool>>,
}

/// A prompt and what follows it, as tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Continuation {
    /// Both together.
    pub ids: Vec<u32>,
    /// How many of them are the prompt's.
    pub prompt: usize,
    /// Whether a token would cover the end of the one and the beginning of the other.
    pub merged: bool,
}

/// A model's own tokenizer and chat template.
#[derive(Debug)]
pub struct ModelEncoder<'a> {
    tokenizer: &'a Tokenizer,
    template: &'a Template,
    stops: Vec<u32>,
}

impl<'a> ModelEncoder<'a> {
    /// That of an opened model.
    pub fn of(model: &'a LocalModel) -> Self {
        ModelEncoder { tokenizer: &model.tokenizer, template: &model.chat.template, stops: model.stop_ids() }
    }

    /// Of parts; `stops` are the tokens that end a text or a turn.
    pub fn new(tokenizer: &'a Tokenizer, template: &'a Template, stops: Vec<u32>) -> Self {
        ModelEncoder { tokenizer, template, stops }
    }

    /// Tokens of a prompt up to where an answer begins.
    ///
    /// # Errors
    /// If the text cannot be encoded or the template does not take the messages.
    pub fn prompt(&self, prompt: &Content) -> Result<Vec<u32>> {
        let Content::Messages(messages) = prompt else {
            return Ok(self.tokenizer.encode(&prompt.plain(), Specials::AsConfigured)?);
        };
        let template = Options { add_generation_prompt: true, ..Options::default() };
        let options = TokenOptions { template, ..Self::options() };
        Ok(self.tokenizer.conversation(self.template, &chat_messages(messages), &options)?.ids)
    }

    fn options() -> TokenOptions {
        TokenOptions { boundary: tokenizer::Boundary::Separate, ensure_bos: true, ..TokenOptions::default() }
    }

    fn with_eos(&self, mut ids: Vec<u32>) -> Vec<u32> {
        ids.extend(self.tokenizer.eos().filter(|eos| ids.last() != Some(eos)));
        ids
    }

    /// As TRL does it: the completion starts where the tokens of both together leave those of the prompt.
    fn diverging(&self, prompt: &str, completion: &str) -> Result<Continuation> {
        let alone = self.tokenizer.encode(prompt, Specials::AsConfigured)?;
        let together = self.tokenizer.encode(&format!("{prompt}{completion}"), Specials::AsConfigured)?;
        let shared = common_prefix(&alone, &together);
        Ok(Continuation { ids: self.with_eos(together), prompt: shared, merged: shared < alone.len() })
    }
}

impl Encode for ModelEncoder<'_> {
    fn document(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.with_eos(self.tokenizer.encode(text, Specials::AsConfigured)?))
    }

    fn conversation(&self, messages: &[Message], answers: bool) -> Result<Conversation> {
        let messages = chat_messages(messages);
        if answers {
            let rendered = self.tokenizer.conversation(self.template, &messages, &Self::options())?;
            return Ok(Conversation { ids: rendered.ids, assistant: Some(rendered.assistant_mask) });
        }
        let options = Options { variables: self.tokenizer.template_variables(), ..Options::default() };
        let text = self.template.render(&messages, &options)?.text;
        let mut ids = self.tokenizer.encode(&text, Specials::None)?;
        let begun = self.tokenizer.encode("", Specials::AsConfigured)?;
        if let (Some(bos), true) = (self.tokenizer.bos(), begun.first() == self.tokenizer.bos().as_ref())
            && ids.first() != Some(&bos)
        {
            ids.insert(0, bos);
        }
        Ok(Conversation { ids, assistant: None })
    }

    fn continuation(&self, prompt: &Content, completion: &Content, boundary: Boundary) -> Result<Continuation> {
        let parts = match (prompt, completion) {
            (Content::Messages(prompt), Content::Messages(completion)) => {
                let (prompt, completion) = (chat_messages(prompt), chat_messages(completion));
                self.tokenizer.prompt_and_completion(self.template, &prompt, &completion, &Self::options())?
            }
            _ if boundary == Boundary::Diverge => return self.diverging(&prompt.plain(), &completion.plain()),
            _ => self.tokenizer.prompt_and_completion_text(
                &prompt.plain(),
                &completion.plain(),
                ContentTokens::Plain,
                tokenizer::Boundary::Separate,
            )?,
        };
        let PromptCompletion { prompt, completion, separated } = parts;
        Ok(Continuation { prompt: prompt.len(), ids: [prompt, completion].concat(), merged: separated })
    }

    fn bos(&self) -> Option<u32> {
        self.tokenizer.bos()
    }

    fn stops(&self) -> Vec<u32> {
        self.stops.clone()
    }

    fn vocab_size(&self) -> usize {
        self.tokenizer.vocab_size()
    }
}

fn chat_messages(messages: &[Message]) -> Vec<groma_chat::Message> {
    let convert = |message: &Message| groma_chat::Message {
        role: message.role.clone(),
        content: message.content.clone(),
        extra: message.other.clone(),
    };
    messages.iter().map(convert).collect()
}
