//! What a subject is asked, and what it answers.

use groma_data::Content;
use groma_run::{Cancel, Progress};

use crate::Error;
use std::sync::Arc;

/// One question to a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The log-probability of raw text after raw text, encoded as a pair (see [`crate::encode_pair`]).
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
    /// The log-probability of a whole text, by rolling windows with disjoint targets (see [`crate::rolling_windows`]).
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

/// Why one request has no answer. Such items are counted and leave the denominators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// What is to be scored does not fit into the model.
    #[error("what is to be scored does not fit into the model's {limit} tokens")]
    TooLong {
        /// Tokens there are.
        tokens: usize,
        /// Tokens there may be.
        limit: usize,
    },
    /// There is no token to score.
    #[error("nothing is left to score once the text is encoded")]
    NothingToScore,
    /// The subject returned a score that is not a number.
    #[error("the log-probability is not finite")]
    NotFinite,
    /// The prompt cannot be put to this subject.
    #[error("the prompt cannot be rendered: {reason}")]
    Prompt {
        /// Why.
        reason: String,
    },
    /// The subject answered another kind of request.
    #[error("the answer is of another kind than the request")]
    WrongKind,
}

/// Who is told, and who may stop the work.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// Is told how far the work is.
    pub progress: &'a dyn Progress,
    /// May ask to stop.
    pub cancel: &'a Cancel,
}

/// What is measured: anything that answers requests.
///
/// An answer is a function of the subject and its own request; the order of requests and what else is asked must not matter.
pub trait Subject {
    /// Answers `requests` in their order.
    ///
    /// # Errors
    /// Only what makes the whole evaluation pointless; what fails for one request is its [`Failure`].
    fn answer(&self, requests: &[Request], control: Control<'_>) -> Result<Vec<Result<Answer, Failure>>, Error>;

    /// How a task's requests are put, for the results: prefix token, template, decoding.
    fn mode(&self, kind: Kind) -> String;
}

/// Kinds of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// [`Request::Continuation`].
    Continuation,
    /// [`Request::Reply`].
    Reply,
    /// [`Request::Rolling`].
    Rolling,
    /// [`Request::Generate`].
    Generate,
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

    /// Whether both continue one and the same copy of a context.
    pub(crate) fn shares_context(&self, other: &Request) -> bool {
        match (self, other) {
            (Request::Continuation { context: one, .. }, Request::Continuation { context: other, .. }) => {
                Arc::ptr_eq(one, other)
            }
            _ => false,
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

fn turns(content: &Content) -> Vec<&str> {
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
