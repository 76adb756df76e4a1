//! What can go wrong when a report is made.

use groma_run::{Class, Classify};

/// A failure to make a report or a comparison.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The run's records cannot be read, or the report cannot be written.
    #[error(transparent)]
    Run(#[from] groma_run::Error),
    /// Runs have no measurement in common.
    #[error("{} have no measurement in common: no task and metric occurs in two of them", runs.join(" and "))]
    NothingInCommon {
        /// Names of the runs.
        runs: Vec<String>,
    },
    /// A subject was asked for that the run did not measure.
    #[error("{run} has no measurements of {subject:?}; it has those of {known}")]
    NoSuchSubject {
        /// Name of the run.
        run: String,
        /// The subject asked for.
        subject: String,
        /// The subjects that there are.
        known: String,
    },
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Run(error) => error.class(),
            Error::NothingInCommon { .. } => Class::NothingRan,
            Error::NoSuchSubject { .. } => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Run(error) => error.hint(),
            Error::NothingInCommon { .. } => Some("measure both models with the same tasks".into()),
            Error::NoSuchSubject { .. } => None,
        }
    }
}
