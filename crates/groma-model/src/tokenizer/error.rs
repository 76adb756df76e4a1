//! What can go wrong with a tokenizer.

use std::path::PathBuf;

use groma_run::{Class, Classify, class_of_io};

/// Why a tokenizer could not be loaded, used or trained.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No `tokenizer.json`.
    #[error("{} has no tokenizer.json", path.display())]
    Missing {
        /// The directory.
        path: PathBuf,
    },
    /// A file is larger than any sensible one of its kind.
    #[error("{file} has {}; the limit is {limit}", groma_run::counted(*bytes, "byte"))]
    TooLarge {
        /// The file's name.
        file: String,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A file is malformed or asks for what cannot be done safely.
    #[error("{file}: {problem}")]
    File {
        /// The file's name.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// There are more token ids than rows in the embedding.
    #[error("the tokenizer has ids up to {largest} in {origin}, but the embedding has only {}", groma_run::counted(*rows, "row"))]
    LargerThanEmbedding {
        /// Which of its files' parts names it.
        origin: &'static str,
        /// The largest id there.
        largest: u32,
        /// Rows of the embedding.
        rows: usize,
    },
    /// A text is too long to be encoded at once.
    #[error("a text of {bytes} bytes is too long to be encoded at once; the limit of this tokenizer is {limit}")]
    TextTooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The tokenizer failed on a text or on ids.
    #[error("the tokenizer cannot {action}: {problem}")]
    Use {
        /// What it was to do.
        action: &'static str,
        /// Why it cannot.
        problem: String,
    },
    /// A tokenizer cannot be trained as asked.
    #[error("cannot train a tokenizer: {problem}")]
    Training {
        /// Why not.
        problem: String,
    },
}

impl Classify for TokenizerError {
    fn class(&self) -> Class {
        match self {
            TokenizerError::Io { source, .. } => class_of_io(source),
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            TokenizerError::Missing { .. } => {
                "write one with transformers: `AutoTokenizer.from_pretrained(DIR).save_pretrained(DIR)`"
            }
            TokenizerError::LargerThanEmbedding { .. } => {
                "the tokenizer belongs to another model, or tokens were added without resizing the embedding: take the tokenizer of this model"
            }
            _ => return None,
        };
        Some(hint.into())
    }
}

/// Shorthand of the tokenizer modules.
pub(super) type Result<T, E = TokenizerError> = std::result::Result<T, E>;
