//! What can go wrong in an evaluation.

use groma_run::{Class, Classify};

/// A failure of an evaluation as a whole; failures of single items are counted in its results instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No task has this name.
    #[error("there is no task `{name}`{}", suggestion.as_ref().map_or(String::new(), |name| format!("; did you mean `{name}`?")))]
    UnknownTask {
        /// The name that was asked for.
        name: String,
        /// The closest known one.
        suggestion: Option<String>,
    },
    /// A task's file is not one.
    #[error("{place}: {problem}")]
    TaskFile {
        /// The file, and the line where there is one.
        place: String,
        /// What is wrong, and what was probably meant.
        problem: String,
    },
    /// A row has none of the forms that the task reads.
    #[error("{place}: task `{task}` cannot use this row: {reason}; it reads rows with {expected}")]
    Row {
        /// File and line.
        place: String,
        /// The task.
        task: &'static str,
        /// What is wrong.
        reason: String,
        /// The columns that it reads.
        expected: String,
    },
    /// A file without rows.
    #[error("task `{task}` has no items: {file} is empty")]
    NoItems {
        /// The task.
        task: &'static str,
        /// The file.
        file: String,
    },
    /// Two items of one task have the same id.
    #[error("task `{task}`: the items at {first} and {second} have the same id `{id}`")]
    DuplicateId {
        /// The task.
        task: &'static str,
        /// The id.
        id: String,
        /// Place of the first.
        first: String,
        /// Place of the second.
        second: String,
    },
    /// The worked examples that were asked for cannot be had.
    #[error("task `{task}`: no worked examples: {problem}")]
    Examples {
        /// The task.
        task: &'static str,
        /// What is in the way.
        problem: String,
    },
    /// No row is about a subject that was asked for.
    #[error("there are no questions about `{subject}` in {place}")]
    UnknownSubject {
        /// The subject.
        subject: String,
        /// The file or directory.
        place: String,
    },
    /// A directory of a task's files cannot be read.
    #[error("the directory {place} cannot be used: {source}")]
    Directory {
        /// The directory.
        place: String,
        /// Why.
        source: std::io::Error,
    },
    /// A task whose answers a judge scores was given none.
    #[error("task `{task}`: its answers are judged by a model, and none was named")]
    NoJudge {
        /// The task.
        task: &'static str,
    },
    /// A model of a kind that cannot be asked what a task asks.
    #[error("task `{task}`: {failure}")]
    Unfit {
        /// The task.
        task: &'static str,
        /// Why not.
        failure: groma_lm::Failure,
    },
    /// Not one item of a task could be scored.
    #[error("task `{task}`: none of {} could be scored; the first failed because {reason}", groma_run::counted(*items, "item"))]
    NothingScored {
        /// The task.
        task: &'static str,
        /// Items asked.
        items: usize,
        /// Why the first failed.
        reason: String,
    },
    /// Two results have no item in common.
    #[error("task `{task}`: no item was scored both before and after, so there is nothing to compare")]
    NothingInCommon {
        /// The task.
        task: String,
    },
    /// An expression of the refusal reader is not valid.
    #[error("the pattern `{pattern}` is not valid: {reason}")]
    Pattern {
        /// The expression.
        pattern: String,
        /// Why.
        reason: String,
    },
    /// The data could not be read.
    #[error(transparent)]
    Data(#[from] groma_data::Error),
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Data(error) => error.class(),
            Error::NothingScored { .. } | Error::NothingInCommon { .. } => Class::NothingRan,
            Error::Interrupted => Class::Interrupted,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::UnknownTask { suggestion: None, .. } => Some("`groma eval --list` shows all tasks".into()),
            Error::Data(error) => error.hint(),
            Error::Examples { .. } => Some("name a file or directory of examples with --fewshot-data".into()),
            Error::Unfit { .. } => Some(
                "a reward model is measured by the task `preference`; name another model for this task, or a task for this model"
                    .into(),
            ),
            Error::NoJudge { .. } => Some("name one with --judge MODEL".into()),
            Error::DuplicateId { .. } => Some("give each row an `id` of its own, or none".into()),
            _ => None,
        }
    }
}
