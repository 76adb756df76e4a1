//! What a subject is asked, and what it answers.

use groma_data::Content;
use groma_lm::{Failure, Kind};
use std::sync::Arc;

/// One question to a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The log-probability of raw text after raw text, encoded as a pair (see [`groma_lm::encode_pair`]).
    Continuation {
        /// What comes before; may be empty. Requests about one question hold one copy.
        context: Arc<str>,
        /// What is scored.
        continuation: String,
    },
    /// The log-probability of a reply to a prompt, its end included, tokenised as for training: messages by the subject's
    /// chat template, texts as they are.
    Reply {
        /// What comes before.
        prompt: Content,
        /// The reply, of the same form.
        reply: Content,
    },
    /// The log-probability of a whole text, by rolling windows with disjoint targets (see [`groma_lm::rolling_windows`]).
    Rolling {
        /// The text.
        text: String,
    },
    /// What the subject says next.
    Generate {
        /// Messages, by the subject's chat template, or a text to go on from.
        prompt: Content,
    },
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To [`Request::Continuation`] and [`Request::Reply`].
    Scored(Scored),
    /// To [`Request::Rolling`]: one score a window.
    Windows(Vec<Scored>),
    /// To [`Request::Generate`].
    Text {
        /// What was said, without stop tokens.
        text: String,
        /// Whether it was cut off at the length limit.
        truncated: bool,
        /// Tokens made.
        tokens: usize,
    },
}

/// The score of a run of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scored {
    /// Sum of the natural log-probabilities.
    pub logp: f64,
    /// Tokens scored.
    pub tokens: usize,
    /// Whether each was the most likely one.
    pub is_greedy: bool,
    /// Whether the context was cut on the left to fit.
    pub was_cut: bool,
}

impl Request {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Request::Continuation { .. } => Kind::Continuation,
            Request::Reply { .. } => Kind::Reply,
            Request::Rolling { .. } => Kind::Rolling,
            Request::Generate { .. } => Kind::Generate,
        }
    }

    /// The parts that make it what it is, for a digest.
    pub(crate) fn parts(&self) -> Vec<&str> {
        match self {
            Request::Continuation { context, continuation } => vec!["continuation", context, continuation],
            Request::Reply { prompt, reply } => {
                ["reply"].into_iter().chain(turns(prompt)).chain(turns(reply)).collect()
            }
            Request::Rolling { text } => vec!["rolling", text],
            Request::Generate { prompt } => ["generate"].into_iter().chain(turns(prompt)).collect(),
        }
    }
}

/// The form of a content, and what is said in it.
pub(crate) fn turns(content: &Content) -> Vec<&str> {
    match content {
        Content::Text(text) => vec!["text", text],
        Content::Messages(messages) => {
            let turns = messages.iter().flat_map(|turn| [turn.role.as_str(), turn.content.as_str()]);
            std::iter::once("messages").chain(turns).collect()
        }
    }
}

impl Answer {
    /// The score of a continuation or reply.
    pub(crate) fn scored(&self) -> Result<Scored, Failure> {
        match self {
            Answer::Scored(scored) if scored.logp.is_finite() => Ok(*scored),
            Answer::Scored(_) => Err(Failure::NotFinite),
            _ => Err(Failure::WrongKind),
        }
    }

    /// The text that was said.
    pub(crate) fn text(&self) -> Result<&str, Failure> {
        match self {
            Answer::Text { text, .. } => Ok(text),
            _ => Err(Failure::WrongKind),
        }
    }

    /// Whether something was cut to fit.
    pub(crate) fn was_cut(&self) -> bool {
        matches!(self, Answer::Scored(Scored { was_cut: true, .. }))
    }

    /// Tokens that were scored or made.
    pub(crate) fn tokens(&self) -> usize {
        match self {
            Answer::Scored(scored) => scored.tokens,
            Answer::Windows(windows) => windows.iter().map(|window| window.tokens).sum(),
            Answer::Text { tokens, .. } => *tokens,
        }
    }
}
