//! What can go wrong with a chat template.

use std::path::PathBuf;

use groma_run::{Class, Classify};
use minijinja::{Error, ErrorKind};

/// Why a chat template could not be read, rendered or turned into tokens.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// The template is longer than any sensible one.
    #[error("the chat template has {}; the limit is {limit}", groma_run::counted(*bytes, "byte"))]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The template is not Jinja.
    #[error("line {line} of the chat template: {problem}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// The template uses a part of Jinja that chat templates have no need of.
    #[error("line {line} of the chat template: {feature} is not supported in chat templates")]
    Unsupported {
        /// Line, from 1.
        line: usize,
        /// The part, e.g. `include`.
        feature: String,
    },
    /// The template itself refused the conversation (`raise_exception`).
    #[error("the chat template refuses this conversation: {message}")]
    Raised {
        /// Its message.
        message: String,
    },
    /// Rendering went beyond a limit that no sensible template reaches.
    #[error("the chat template goes beyond the limit of {limit} {what}")]
    Limit {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// An operation of the template failed.
    #[error("the chat template fails: {problem}")]
    Failed {
        /// What failed, and where known on which line of the template.
        problem: String,
    },
    /// What the caller passed cannot be given to a template.
    #[error("`{name}` cannot be passed to a chat template: {problem}")]
    Input {
        /// The variable or field.
        name: String,
        /// Why not.
        problem: String,
    },
    /// The parts that `{% generation %}` marks do not follow each other in the output.
    #[error("the `generation` marks of the chat template are disturbed: {problem}")]
    Marks {
        /// What is wrong.
        problem: String,
    },
    /// The template has no `{% generation %}` marks, and rendering more messages changes what was there before.
    #[error(
        "the chat template has no `generation` marks and does not keep prefixes: {condition}, so the tokens of the \
         answers cannot be told apart"
    )]
    NotPrefixPreserving {
        /// Which two renderings disagree, and where.
        condition: String,
    },
    /// A token covers the end of one part and the beginning of the next.
    #[error("a token covers both the {before} and the {after} at byte {byte} of the rendered text: {token:?}")]
    BoundaryMerge {
        /// What the token begins in.
        before: &'static str,
        /// What it ends in.
        after: &'static str,
        /// Where the border lies.
        byte: usize,
        /// The token's text.
        token: String,
    },
    /// What was asked for is of a wrong form.
    #[error("{problem}")]
    Asked {
        /// What is wrong.
        problem: String,
    },
    /// A checkpoint's template files cannot be used.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// There is no template of that name.
    #[error("there is no chat template named `{name}`; there is {known}")]
    Unknown {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
}

impl Classify for TemplateError {
    fn class(&self) -> Class {
        Class::Usage
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            TemplateError::NotPrefixPreserving { .. } => {
                "use a training version of the template with `{% generation %}` around the answers, \
                 or a built-in template"
            }
            TemplateError::BoundaryMerge { .. } => {
                "end the prompt with a special token or a line break, or allow merges where the prompt's last token \
                 may belong to the answer"
            }
            TemplateError::Unsupported { .. } | TemplateError::Limit { .. } => {
                "choose a built-in template by name where this one cannot be used"
            }
            _ => return None,
        };
        Some(hint.into())
    }
}

/// Shorthand of the chat modules.
pub(crate) type Result<T, E = TemplateError> = std::result::Result<T, E>;

/// Of a filter or function of a template: an operation that cannot be done.
pub(crate) fn failure(problem: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, problem.into())
}
