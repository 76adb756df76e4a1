//! What can go wrong when one looks inside.

use groma_run::{Class, Classify};

/// Why an instrument cannot be used, or found nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of this name.
    #[error("there is no instrument `{name}`{}; there are {known}", hint.map_or(String::new(), |near| format!(" (`{near}`?)")))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest name, if one is near.
        hint: Option<&'static str>,
        /// All names.
        known: String,
    },
    /// A setting is unknown or out of range.
    #[error("instrument `{instrument}`: {problem}")]
    Setting {
        /// The instrument.
        instrument: &'static str,
        /// In words.
        problem: String,
    },
    /// The rows do not do for what the instrument wants of them.
    #[error("instrument `{instrument}`: {problem}")]
    Rows {
        /// The instrument.
        instrument: &'static str,
        /// In words.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// A file with a probe or a direction does not hold one that fits.
    #[error("{path}: {problem}")]
    File {
        /// The file.
        path: String,
        /// In words.
        problem: String,
    },
    /// The model could not be asked.
    #[error("the model gave no answer: {0}")]
    Failed(groma_lm::Failure),
    /// Of models.
    #[error(transparent)]
    Model(#[from] groma_model::Error),
    /// Of files and cancellation.
    #[error(transparent)]
    Run(#[from] groma_run::Error),
}

/// The result of looking inside.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Model(source) => source.class(),
            Error::Run(source) => source.class(),
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Model(source) => source.hint(),
            Error::Run(source) => source.hint(),
            Error::Rows { hint, .. } => Some((*hint).to_owned()),
            Error::Setting { .. } => Some("`groma inspect --list` shows all settings".to_owned()),
            _ => None,
        }
    }
}
