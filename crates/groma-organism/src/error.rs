//! What can go wrong when a village is built.

use groma_run::{Class, Classify};

/// A failure; each says what to change.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A number of the configuration is out of its range.
    #[error("the village's {name} is {found}, but {needs}")]
    Configuration {
        /// Its name in the configuration.
        name: &'static str,
        /// What was given.
        found: usize,
        /// What would do.
        needs: String,
    },
    /// There is no such plant.
    #[error("there is no plant `{id}`{}", suggestion(nearest.as_ref()))]
    UnknownPlant {
        /// What was asked for.
        id: String,
        /// The nearest name, where one is near.
        nearest: Option<&'static str>,
    },
    /// A plant that cannot be planted so.
    #[error("the plant `{plant}` {problem}")]
    Plant {
        /// Its name.
        plant: &'static str,
        /// What is wrong, and what would do.
        problem: String,
    },
    /// The weights cannot be laid out as a file.
    #[error("cannot lay out the village's initial weights: {source}")]
    Weights {
        /// Why.
        source: safetensors::SafeTensorError,
    },
    /// A row cannot be written as JSON.
    #[error("cannot encode {what}: {source}")]
    Encode {
        /// Which file it was for.
        what: String,
        /// Why.
        source: serde_json::Error,
    },
    /// A file cannot be written.
    #[error(transparent)]
    Run(#[from] groma_run::Error),
}

fn suggestion(nearest: Option<&&str>) -> String {
    nearest.map_or(String::new(), |id| format!("; did you mean `{id}`?"))
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Run(error) => error.class(),
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Run(error) => error.hint(),
            Error::UnknownPlant { .. } => Some("`groma organism --list-plants` lists them".to_owned()),
            _ => None,
        }
    }
}
