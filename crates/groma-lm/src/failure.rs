//! Why there is no answer.

use groma_run::{Class, Classify};

/// Why one thing that was asked has no answer. It is a value: whoever asked counts it, and scores nothing in its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// What is to be read or scored does not fit into the model.
    #[error("what is to be scored does not fit into the model's {}", groma_run::counted(*limit, "token"))]
    TooLong {
        /// Tokens there are.
        tokens: usize,
        /// Tokens there may be.
        limit: usize,
    },
    /// There is no token to score.
    #[error("nothing is left to score once the text is encoded")]
    NothingToScore,
    /// The model returned a score that is not a number.
    #[error("the log-probability is not finite")]
    NotFinite,
    /// The prompt cannot be put to this model.
    #[error("the prompt cannot be rendered: {reason}")]
    Prompt {
        /// Why.
        reason: String,
    },
    /// An answer is there, and is of another kind than what was asked for.
    #[error("the answer is of another kind than the request")]
    WrongKind,
    /// An answer is there, and cannot be read: no verdict where one ought to be.
    #[error("what was said cannot be read: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
    },
    /// The model is of a kind that does not answer this.
    #[error("{reason}")]
    Unfit {
        /// Why.
        reason: String,
    },
    /// The model broke down.
    #[error("the model cannot answer: {reason}")]
    Model {
        /// Why.
        reason: String,
    },
    /// A server will not answer this, however often it is asked.
    #[error("the server refuses: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// A server did not answer, each time it was asked.
    #[error("the server is not available: {reason}")]
    Unavailable {
        /// What happened last.
        reason: String,
    },
    /// A server's answer cannot be used, each time it was asked.
    #[error("the server's answer cannot be used: {reason}")]
    Unusable {
        /// What was wrong last.
        reason: String,
    },
    /// No more may be asked.
    #[error("the budget of {budget} is spent")]
    Spent {
        /// What was at hand.
        budget: String,
    },
    /// The work was stopped before this was answered.
    #[error("interrupted")]
    Interrupted,
}

impl Failure {
    /// Whether the same question may well be answered when it is asked again.
    pub fn can_retry(&self) -> bool {
        matches!(self, Failure::Unavailable { .. } | Failure::Unusable { .. } | Failure::Interrupted)
    }

    /// Whether a later run may well have an answer: it can ask again, and may spend anew.
    pub fn may_be_answered_later(&self) -> bool {
        self.can_retry() || matches!(self, Failure::Spent { .. })
    }

    /// That of a prompt.
    pub(crate) fn prompt(error: impl std::fmt::Display) -> Self {
        Failure::Prompt { reason: error.to_string() }
    }
}

impl From<groma_model::Error> for Failure {
    fn from(error: groma_model::Error) -> Self {
        match error {
            groma_model::Error::Cancelled => Failure::Interrupted,
            groma_model::Error::NoUnembedding { .. } | groma_model::Error::NoActionValues { .. } => {
                Failure::Unfit { reason: error.to_string() }
            }
            other => Failure::Model { reason: other.to_string() },
        }
    }
}

impl Classify for Failure {
    fn class(&self) -> Class {
        match self {
            Failure::Interrupted => Class::Interrupted,
            Failure::TooLong { .. } | Failure::NothingToScore | Failure::Prompt { .. } | Failure::Unfit { .. } => {
                Class::Usage
            }
            _ => Class::NothingRan,
        }
    }
}
