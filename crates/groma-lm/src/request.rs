//! A question of either kind, and its answer.

use groma_data::Content;

use crate::{Continuation, Failure, Reply, Scored};

/// One thing that is asked of a model, whatever its kind. How a reply is to be sampled is said where it is put (see
/// [`crate::Ask`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// What the model says next: to messages, by its chat template, or from a text on.
    Generate(Content),
    /// How likely the model finds a run of text.
    Score(Continuation),
}

/// What came back.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// To [`Request::Generate`].
    Reply(Reply),
    /// To [`Request::Score`].
    Scored(Scored),
}

impl Answer {
    /// The log-probabilities.
    ///
    /// # Errors
    /// [`Failure::NotFinite`], and [`Failure::WrongKind`] where something was said, or rewarded.
    pub fn scored(&self) -> Result<&Scored, Failure> {
        match self {
            Answer::Scored(Scored { reward: Some(_), .. }) => Err(Failure::WrongKind),
            Answer::Scored(scored) if scored.sum().is_finite() => Ok(scored),
            Answer::Scored(_) => Err(Failure::NotFinite),
            Answer::Reply(_) => Err(Failure::WrongKind),
        }
    }

    /// The reply.
    ///
    /// # Errors
    /// [`Failure::WrongKind`] where something was scored.
    pub fn reply(&self) -> Result<&Reply, Failure> {
        match self {
            Answer::Reply(reply) => Ok(reply),
            Answer::Scored(_) => Err(Failure::WrongKind),
        }
    }

    /// The reward, where the model gives rewards in place of log-probabilities.
    ///
    /// # Errors
    /// [`Failure::NotFinite`].
    pub fn reward(&self) -> Result<Option<f64>, Failure> {
        match self {
            Answer::Scored(Scored { reward: Some(reward), .. }) if !reward.is_finite() => Err(Failure::NotFinite),
            Answer::Scored(Scored { reward, .. }) => Ok(reward.map(f64::from)),
            Answer::Reply(_) => Ok(None),
        }
    }

    /// Whether a context was cut to fit.
    pub fn was_cut(&self) -> bool {
        matches!(self, Answer::Scored(Scored { was_cut: true, .. }))
    }

    /// Tokens that were scored or made.
    pub fn tokens(&self) -> usize {
        match self {
            Answer::Scored(scored) => scored.logps.len(),
            Answer::Reply(reply) => reply.usage.completion_tokens as usize,
        }
    }
}
