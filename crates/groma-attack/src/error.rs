//! What can go wrong with defences and attacks.

use std::path::PathBuf;

use groma_run::{Class, Classify};

/// Why a defence or an attack cannot be set up, or an attack not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none of this name.
    #[error("there is no {kind} `{name}`{}; there are {known}", hint.map_or(String::new(), |near| format!(" (`{near}`?)")))]
    Unknown {
        /// Defence or attack.
        kind: &'static str,
        /// What was asked for.
        name: String,
        /// The nearest name, if one is near.
        hint: Option<&'static str>,
        /// All names.
        known: String,
    },
    /// A setting is unknown, missing or out of range.
    #[error("{kind} `{name}`: {problem}")]
    Setting {
        /// Defence or attack.
        kind: &'static str,
        /// Its name.
        name: &'static str,
        /// In words.
        problem: String,
    },
    /// The target is on a server, and the attack needs its weights.
    #[error("the attack `{attack}` needs the weights of its target, and the target is on a server")]
    NeedsWeights {
        /// The attack.
        attack: &'static str,
        /// The nearest attack that does not.
        instead: &'static str,
    },
    /// No row of a file is left.
    #[error("{} has {rows} rows, and {skip} are left out (skip): none is left", file.display())]
    NoneLeft {
        /// The file.
        file: PathBuf,
        /// All of its rows.
        rows: usize,
        /// How many were to be left out.
        skip: usize,
    },
    /// A row is no goal.
    #[error("{place}: {problem}")]
    Goal {
        /// `file:line`.
        place: String,
        /// In words.
        problem: String,
    },
    /// A row is no text that training may have had.
    #[error("{place}: {problem}")]
    Text {
        /// `file:line`.
        place: String,
        /// In words.
        problem: String,
    },
    /// What an audit reads does not tell what it needs.
    #[error("the attack `{attack}` {problem}")]
    Unknowing {
        /// The attack.
        attack: &'static str,
        /// In words.
        problem: String,
    },
    /// What is attacked leaves no room, or cannot be put as tokens.
    #[error("the goal `{goal}`: {problem}")]
    Unfit {
        /// The goal.
        goal: String,
        /// In words.
        problem: String,
    },
    /// Of the model.
    #[error(transparent)]
    Model(#[from] groma_model::Error),
    /// Of reading rows.
    #[error(transparent)]
    Data(#[from] groma_data::Error),
    /// Of what is kept on disk, and a stop that was asked for.
    #[error(transparent)]
    Run(#[from] groma_run::Error),
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Model(groma_model::Error::Cancelled) => Class::Interrupted,
            Error::Model(error) => error.class(),
            Error::Data(error) => error.class(),
            Error::Run(error) => error.class(),
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::NeedsWeights { instead, .. } => {
                Some(format!("name a directory or a hub id; a server can be attacked with `{instead}`"))
            }
            Error::Goal { .. } => Some(
                "a goal is a row with `prompt` (what is asked), and `target` (how an answer begins that does it) or `truth` (what \
                 answers do it)"
                    .into(),
            ),
            Error::Model(error) => error.hint(),
            Error::Data(error) => error.hint(),
            Error::Run(error) => error.hint(),
            _ => None,
        }
    }
}
