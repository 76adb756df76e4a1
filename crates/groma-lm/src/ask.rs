//! What is asked for a reply, and the reply.

use groma_data::Content;
use groma_model::generate::Finish;
use groma_model::sampling::SamplingParameters;
use groma_run::Seed;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// One prompt, with all that its reply depends on beside the model.
#[derive(Clone, Debug, PartialEq)]
pub struct Ask {
    /// Messages, put by the model's chat template, or a text to go on from.
    pub prompt: Content,
    /// How tokens are chosen, how many replies there are to be, how long they may be, and where they stop. The model's own
    /// stop tokens and its template's stop strings hold too.
    pub sampling: SamplingParameters,
    /// Sample `i` draws from `seed.index(i)`.
    pub seed: Seed,
    /// Whether the log-probabilities of the reply's tokens are wanted.
    pub logps: bool,
}

impl Ask {
    /// How the reply is to be sampled, as JSON: the seed is part of it where something is drawn.
    pub(crate) fn settings(&self) -> Value {
        let mut settings = json!(self.sampling);
        if self.sampling.temperature > 0.0 {
            settings["seed"] = self.seed.bits().into();
        }
        settings
    }

    /// The most likely reply to a prompt.
    pub fn greedy(prompt: Content, max_new_tokens: usize) -> Self {
        Ask { prompt, sampling: SamplingParameters::greedy(max_new_tokens), seed: Seed::new(0), logps: false }
    }
}

/// What a model said to one [`Ask`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// As many as there were to be samples.
    pub choices: Vec<Choice>,
    /// Tokens that were read and made.
    pub usage: Usage,
}

/// One sample.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The text, without stop token and stop string.
    pub text: String,
    /// Its tokens, a final stop token included; empty where the model does not tell.
    pub ids: Vec<u32>,
    /// Natural log-probability of each token under the model itself (without temperature and filters); empty unless wanted.
    pub logps: Vec<f32>,
    /// Why it ended.
    pub finish: Finish,
}

/// Tokens that were read and made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of replies.
    pub completion_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        self.prompt_tokens += other.prompt_tokens;
        self.completion_tokens += other.completion_tokens;
    }
}

impl Reply {
    /// The first sample's text; empty where there is none.
    pub fn text(&self) -> &str {
        self.choices.first().map_or("", |choice| &choice.text)
    }

    /// Whether the first sample was cut off at the length limit.
    pub fn is_truncated(&self) -> bool {
        self.choices.first().is_some_and(|choice| choice.finish == Finish::Length)
    }
}
