//! What can be wrong about a protocol.

use groma_run::{Class, Classify};

/// Why a protocol cannot be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of this name.
    #[error("there is no protocol `{name}`{}; there are {known}", hint.as_ref().map_or(String::new(), |near| format!(" (`{near}`?)")))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The nearest name, if one is near.
        hint: Option<String>,
        /// All names.
        known: String,
    },
    /// A setting is unknown or out of range.
    #[error("protocol `{protocol}`: {problem}")]
    Setting {
        /// The protocol.
        protocol: &'static str,
        /// In words.
        problem: String,
    },
    /// Somebody takes no part who must.
    #[error("protocol `{protocol}` wants a model in the role `{role}`: {doc}")]
    Role {
        /// The protocol.
        protocol: &'static str,
        /// The role.
        role: &'static str,
        /// What it does.
        doc: &'static str,
    },
    /// Rows that are missing or of no use.
    #[error("protocol `{protocol}`: {problem}")]
    Rows {
        /// The protocol.
        protocol: &'static str,
        /// In words.
        problem: String,
    },
    /// Of run directories, and requests to stop.
    #[error(transparent)]
    Run(#[from] groma_run::Error),
    /// Of models.
    #[error(transparent)]
    Model(#[from] groma_model::Error),
    /// Of training.
    #[error(transparent)]
    Align(#[from] groma_align::Error),
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Run(source) => source.class(),
            Error::Model(source) => source.class(),
            Error::Align(source) => source.class(),
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Role { role, .. } => Some(format!("give --role {role}=MODEL, or --model for all roles")),
            Error::Unknown { .. } | Error::Setting { .. } => Some("see `groma oversee --list`".into()),
            Error::Rows { .. } => Some("`groma check --data FILE` shows what rows become".into()),
            Error::Run(source) => source.hint(),
            Error::Model(source) => source.hint(),
            Error::Align(source) => source.hint(),
        }
    }
}
