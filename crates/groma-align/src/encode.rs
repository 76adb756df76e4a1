//! Text and conversations as tokens: what preparation needs of a tokenizer and its chat template.

use crate::training::Boundary;
use groma_data::{Content, Turns};
use groma_lm::Encoder;
use groma_model::Result;
use groma_model::score::common_prefix;
use groma_model::tokenizer::PromptCompletion;

/// Turns text and conversations into tokens.
pub trait Encode {
    /// Tokens of a whole text, with what the tokenizer puts around it and EOS at its end.
    fn document(&self, text: &str) -> Result<Vec<u32>>;
    /// Tokens of a conversation as the chat template renders it; `answers`: with those told apart that the assistant says.
    fn conversation(&self, turns: &Turns, answers: bool) -> Result<Conversation>;
    /// A prompt and what follows it, both of the same form. Plain completions end with EOS.
    fn continuation(&self, prompt: &Content, completion: &Content, boundary: Boundary) -> Result<Continuation>;
    /// Whether the chat template shows what a conversation or a message has under this name, such as `tools`.
    fn shows(&self, _name: &str) -> bool {
        true
    }
    /// A prompt up to where an answer begins.
    fn prompt(&self, prompt: &Content) -> Result<Vec<u32>>;
    /// Behind how many tokens the steps of a completion end that begins behind `from` of them, each with the separator; the last
    /// where it is in one.
    fn step_ends(&self, ids: &[u32], _from: usize, _separator: &str) -> Vec<usize> {
        vec![ids.len()]
    }
    /// The text of tokens; of those that only control, none.
    fn decode(&self, ids: &[u32]) -> String;
    /// The token of an id; `None` where none has it.
    fn token(&self, id: u32) -> Option<Token>;
    /// Begins a text.
    fn bos(&self) -> Option<u32>;
    /// Tokens that end a text or a turn.
    fn stops(&self) -> Vec<u32>;
    /// Number of ids that the tokenizer may produce.
    fn vocab_size(&self) -> usize;
}

/// What a token is beyond its number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    /// How its vocabulary spells it, such as `Ġthe`.
    pub spelling: String,
    /// How it reads in the middle of a text, such as ` the`; with a replacement character where it is a part of one.
    pub text: String,
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
    /// For each token whether it is learned from, where not all that follow the prompt are.
    pub learned: Option<Vec<bool>>,
    /// Whether a token would cover the end of the one and the beginning of the other.
    pub merged: bool,
}

fn with_eos(encoder: &Encoder<'_>, mut ids: Vec<u32>) -> Vec<u32> {
    ids.extend(encoder.tokenizer.eos().filter(|eos| ids.last() != Some(eos)));
    ids
}

/// As TRL does it: the completion starts where the tokens of both together leave those of the prompt.
fn diverging(encoder: &Encoder<'_>, prompt: &str, completion: &str) -> Result<Continuation> {
    let alone = encoder.text(prompt)?;
    let together = encoder.text(&format!("{prompt}{completion}"))?;
    let shared = common_prefix(&alone, &together);
    Ok(Continuation {
        ids: with_eos(encoder, together),
        prompt: shared,
        merged: shared < alone.len(),
        ..Continuation::default()
    })
}

impl Encode for Encoder<'_> {
    fn document(&self, text: &str) -> Result<Vec<u32>> {
        Ok(with_eos(self, self.text(text)?))
    }

    fn conversation(&self, turns: &Turns, answers: bool) -> Result<Conversation> {
        if answers {
            let rendered = self.conversation_with_answers(turns)?;
            return Ok(Conversation { ids: rendered.ids, assistant: Some(rendered.assistant_mask) });
        }
        Ok(Conversation { ids: Encoder::conversation(self, turns)?, assistant: None })
    }

    fn continuation(&self, prompt: &Content, completion: &Content, boundary: Boundary) -> Result<Continuation> {
        let conversational = prompt.is_conversational() && completion.is_conversational();
        if !conversational && boundary == Boundary::Diverge {
            return diverging(self, &prompt.plain(), &completion.plain());
        }
        let PromptCompletion { prompt, completion, learned, separated } = self.reply(prompt, completion)?;
        let learned = Some([vec![false; prompt.len()], learned].concat());
        Ok(Continuation { prompt: prompt.len(), ids: [prompt, completion].concat(), learned, merged: separated })
    }

    fn prompt(&self, prompt: &Content) -> Result<Vec<u32>> {
        Encoder::prompt(self, prompt)
    }

    fn shows(&self, name: &str) -> bool {
        self.chat.template.source().contains(name)
    }

    fn step_ends(&self, ids: &[u32], from: usize, separator: &str) -> Vec<usize> {
        groma_lm::step_ends(self.tokenizer, &self.stop_ids, ids, from, separator)
    }

    fn decode(&self, ids: &[u32]) -> String {
        Encoder::decode(self, ids)
    }

    fn token(&self, id: u32) -> Option<Token> {
        let (spelling, text) = (self.tokenizer.token(id)?, self.tokenizer.token_text(id)?);
        Some(Token { spelling, text })
    }

    fn bos(&self) -> Option<u32> {
        self.tokenizer.bos()
    }

    fn stops(&self) -> Vec<u32> {
        self.stop_ids.clone()
    }

    fn vocab_size(&self) -> usize {
        self.tokenizer.read_size()
    }
}
