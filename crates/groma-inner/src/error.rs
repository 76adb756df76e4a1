//! What can be wrong about an experiment.

use groma_run::{Class, Classify};

/// Why an experiment cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of this name.
    #[error("there is no experiment `{name}`{}; there are {known}", hint.as_ref().map_or(String::new(), |near| format!(" (`{near}`?)")))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest name, if one is near.
        hint: Option<String>,
        /// All names.
        known: String,
    },
    /// A setting is unknown or out of range.
    #[error("experiment `{experiment}`: {problem}")]
    Setting {
        /// The experiment.
        experiment: &'static str,
        /// In words.
        problem: String,
    },
    /// Of run directories, and requests to stop.
    #[error(transparent)]
    Run(#[from] groma_run::Error),
    /// Of training.
    #[error(transparent)]
    Align(#[from] groma_align::Error),
    /// Of fitting.
    #[error(transparent)]
    Model(#[from] groma_model::Error),
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Run(source) => source.class(),
            Error::Model(source) => source.class(),
            Error::Align(source) => source.class(),
            Error::Unknown { .. } | Error::Setting { .. } => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Run(source) => source.hint(),
            Error::Model(source) => source.hint(),
            Error::Align(source) => source.hint(),
            Error::Unknown { .. } | Error::Setting { .. } => Some("see `groma inner --list`".into()),
        }
    }
}
