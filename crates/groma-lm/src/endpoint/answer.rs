//! What a server answers.

use groma_model::generate::Finish;
use serde::Deserialize;
use serde_json::Value;

use crate::{Ask, Choice, Failure, Reply, Usage};

/// An answer to a request for a reply; that of `completions` has `text`, that of `chat/completions` a `message`.
#[derive(Deserialize)]
struct Answer {
    choices: Vec<Said>,
    #[serde(default)]
    usage: Option<Used>,
}

#[derive(Deserialize)]
struct Said {
    index: Option<usize>,
    text: Option<String>,
    message: Option<Turn>,
    logprobs: Option<Logprobs>,
    finish_reason: Option<String>,
}

#[derive(Deserialize)]
struct Turn {
    content: Option<String>,
    refusal: Option<String>,
}

#[derive(Deserialize)]
struct Logprobs {
    /// Of `chat/completions`.
    content: Option<Vec<Logprob>>,
    /// Of `completions`.
    token_logprobs: Option<Vec<f32>>,
}

#[derive(Deserialize)]
struct Logprob {
    logprob: f32,
}

/// Tokens that were read and made, as servers tell.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Used {
    #[serde(default)]
    prompt_tokens: Option<u64>,
    #[serde(default)]
    completion_tokens: Option<u64>,
}

impl From<Used> for Usage {
    fn from(used: Used) -> Self {
        let [prompt_tokens, completion_tokens] =
            [used.prompt_tokens, used.completion_tokens].map(Option::unwrap_or_default);
        Usage { prompt_tokens, completion_tokens }
    }
}

/// The answer cannot be used, and another may.
pub(super) fn unusable(why: impl std::fmt::Display) -> Failure {
    Failure::Unusable { reason: why.to_string() }
}

/// Reads the reply to `ask`.
pub(super) fn reply(bytes: &[u8], ask: &Ask) -> Result<Reply, Failure> {
    let mut answer: Answer = serde_json::from_slice(bytes).map_err(not_json)?;
    let wanted = ask.sampling.samples;
    if answer.choices.len() != wanted {
        return Err(unusable(format!("{} instead of {wanted}", groma_run::counted(answer.choices.len(), "choice"))));
    }
    // Without numbers the order is that of the list.
    answer.choices.iter_mut().enumerate().for_each(|(place, said)| _ = said.index.get_or_insert(place));
    answer.choices.sort_by_key(|said| said.index);
    if answer.choices.iter().enumerate().any(|(place, said)| said.index != Some(place)) {
        return Err(unusable("its choices are not numbered one by one"));
    }
    let choices = answer.choices.into_iter().map(|said| choice(said, ask.logps)).collect::<Result<_, _>>()?;
    Ok(Reply { choices, usage: answer.usage.unwrap_or_default().into() })
}

fn finish(reason: Option<&str>) -> Result<Finish, Failure> {
    match reason {
        Some("length") => Ok(Finish::Length),
        Some("content_filter") => Err(Failure::Refused { reason: "the server's filter withheld the reply".to_owned() }),
        Some("error" | "abort") | None => Err(unusable("the reply broke off")),
        Some(_) => Ok(Finish::Stop),
    }
}

fn choice(said: Said, logps: bool) -> Result<Choice, Failure> {
    let finish = finish(said.finish_reason.as_deref())?;
    // What a model says where it refuses is what it says.
    let of_message = said.message.and_then(|turn| turn.content.or(turn.refusal));
    let text = said.text.or(of_message).ok_or_else(|| unusable("the reply has no text"))?;
    let logps = if logps { said.logprobs.map(Logprobs::values).ok_or_else(no_logprobs)?? } else { Vec::new() };
    Ok(Choice { text, ids: Vec::new(), logps, finish })
}

/// One of the events in which a reply comes piece by piece.
#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    choices: Vec<Piece>,
    usage: Option<Used>,
    error: Option<Value>,
}

#[derive(Deserialize)]
struct Piece {
    text: Option<String>,
    delta: Option<Turn>,
    finish_reason: Option<String>,
}

/// A reply, as far as it came.
#[derive(Default)]
pub(super) struct Streamed {
    pub(super) text: String,
    finish: Option<String>,
    usage: Option<Used>,
}

impl Streamed {
    /// Takes a line of the stream; `false` with the last.
    pub(super) fn take(&mut self, line: &str) -> Result<bool, Failure> {
        // Other lines are comments, names of events, and ends of them.
        let Some(data) = line.strip_prefix("data:").map(str::trim) else { return Ok(true) };
        if data == "[DONE]" {
            return Ok(false);
        }
        let event: Event = serde_json::from_str(data).map_err(not_json)?;
        if event.error.is_some_and(|error| !error.is_null()) {
            return Err(unusable("the reply broke off with an error"));
        }
        self.usage = event.usage.or(self.usage);
        for piece in event.choices {
            let of_message = piece.delta.and_then(|turn| turn.content.or(turn.refusal));
            self.text.extend(piece.text.or(of_message));
            self.finish = piece.finish_reason.or(self.finish.take());
        }
        Ok(true)
    }

    /// What came, once it ended.
    pub(super) fn reply(self) -> Result<Reply, Failure> {
        let finish = finish(self.finish.as_deref())?;
        let choice = Choice { text: self.text, ids: Vec::new(), logps: Vec::new(), finish };
        Ok(Reply { choices: vec![choice], usage: self.usage.unwrap_or_default().into() })
    }
}

impl Logprobs {
    fn values(self) -> Result<Vec<f32>, Failure> {
        let of_chat = self.content.map(|tokens| tokens.iter().map(|token| token.logprob).collect());
        let values: Vec<f32> = self.token_logprobs.or(of_chat).ok_or_else(no_logprobs)?;
        if values.iter().all(|logp| is_logp(*logp)) { Ok(values) } else { Err(unusable("a log-probability is none")) }
    }
}

/// Whether a number can be a log-probability, as rounded by a server.
pub(super) fn is_logp(value: f32) -> bool {
    value.is_finite() && value < 1e-3
}

/// The server leaves out what it was asked for; it would do so again.
pub(super) fn no_logprobs() -> Failure {
    Failure::Refused { reason: "the server gives no log-probabilities".to_owned() }
}

/// What is no answer at all; the text of it is not shown, as it may be long and may hold anything.
pub(super) fn not_json(error: serde_json::Error) -> Failure {
    let what = match error.classify() {
        serde_json::error::Category::Eof => "the answer ends too early",
        serde_json::error::Category::Data => "the answer is not of the form that it should have",
        _ => "the answer is no JSON",
    };
    unusable(what)
}
