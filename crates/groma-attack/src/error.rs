//! What can be wrong about a defence that is named.

use groma_run::{Class, Classify};

/// Why a defence cannot be set up.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is none of this name.
    #[error("there is no defence `{name}`{}; there are {known}", hint.map_or(String::new(), |near| format!(" (`{near}`?)")))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest name, if one is near.
        hint: Option<&'static str>,
        /// All names.
        known: String,
    },
    /// A setting is unknown, missing or out of range.
    #[error("defence `{defence}`: {problem}")]
    Setting {
        /// The defence.
        defence: &'static str,
        /// In words.
        problem: String,
    },
}

impl Classify for Error {
    fn class(&self) -> Class {
        Class::Usage
    }
}
