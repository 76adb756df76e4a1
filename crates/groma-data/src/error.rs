//! What can go wrong between a file and its rows.

use std::path::PathBuf;

use groma_run::{Class, Classify, class_of_io};

use crate::problem::BadRows;

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of reading, shaping and writing rows.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file could not be written.
    #[error(transparent)]
    Write {
        /// What the writer says.
        source: groma_run::Error,
    },
    /// Neither the file's name nor an option says how to read it.
    #[error(
        "cannot tell the format of `{file}` from its name: expected one of {expected}, alone or with .gz or .zst; name the format explicitly"
    )]
    UnknownFormat {
        /// The file.
        file: String,
        /// The known extensions.
        expected: &'static str,
    },
    /// The content is of another kind than its name or the option says.
    #[error("`{file}` {why}")]
    WrongFormat {
        /// The file.
        file: String,
        /// What it seems to be, and what to do.
        why: String,
    },
    /// The file is damaged at a place beyond which it cannot be read.
    #[error("{place}: {why}")]
    Damaged {
        /// `file`, `file:line` or `file:line:column`.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// The file asks for more than it may.
    #[error("`{file}`: {what} exceeds the limit of {limit}; the file is damaged, hostile, or to be split")]
    Limit {
        /// The file.
        file: String,
        /// What is too large.
        what: String,
        /// The limit, with its unit.
        limit: String,
    },
    /// No row at all.
    #[error("`{file}` holds no rows")]
    Empty {
        /// The file.
        file: String,
    },
    /// Bad rows, and none is allowed.
    #[error("{bad}\nno bad row is allowed here; repair them or allow a share")]
    BadRows {
        /// Which, and why.
        bad: BadRows,
    },
    /// More bad rows than allowed.
    #[error("{bad}\nat most {:.3} % may be bad", max_share * 100.0)]
    TooManyBadRows {
        /// Which, and why.
        bad: BadRows,
        /// The allowed share.
        max_share: f64,
    },
    /// The columns fit no known shape.
    #[error(
        "`{file}` has the columns {found}, which fit no known layout; the layouts are\n{known}\nrename columns in the file, or as it is read (--rename prompt=question)"
    )]
    UnknownShape {
        /// The file.
        file: String,
        /// The columns found.
        found: String,
        /// The shapes, a line each.
        known: String,
    },
    /// The shape is known but not what is needed.
    #[error("`{file}` holds {found} rows (columns {columns}), but {needed}")]
    WrongShape {
        /// The file.
        file: String,
        /// The shape it has.
        found: String,
        /// Its columns.
        columns: String,
        /// That rows of other shapes are needed, what these look like, and how they are made.
        needed: String,
    },
    /// A column to be renamed is not there, or its new name is taken.
    #[error("cannot rename column `{from}` of `{file}` to `{to}`: {why}")]
    Rename {
        /// The file.
        file: String,
        /// The present name.
        from: String,
        /// The wanted name.
        to: String,
        /// Why not.
        why: String,
    },
    /// A column to be dropped is not there.
    #[error("cannot drop column `{column}` of `{file}`: there is none; the columns are {found}")]
    Drop {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// Those that exist.
        found: String,
    },
    /// A parameter out of its range.
    #[error("{name} = {value}: {why}")]
    Argument {
        /// The parameter.
        name: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        why: String,
    },
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Io { source, .. } => class_of_io(source),
            Error::Write { source } => source.class(),
            _ => Class::Usage,
        }
    }
}
