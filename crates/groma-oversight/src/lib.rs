//! Oversight: protocols by which a judge who could not answer alone decides what stronger models say.
//!
//! A [`Protocol`] is roles, turns, a judge and a stop rule. It leaves [`Transcript`]s with their verdicts and costs, numbers, and
//! rows to train on. Roles are filled by any [`groma_lm::LanguageModel`]. What can be posed exactly (who wins, and how often) is
//! posed exactly too, so that a protocol is held against theory before it is believed of a model.

mod error;
mod protocol;
mod protocols;
mod transcript;

pub use error::Error;
pub use protocol::{Outcome, Protocol, Role, Table};
pub use protocols::PROTOCOLS;
pub use transcript::{Cost, Transcript, Turn};
