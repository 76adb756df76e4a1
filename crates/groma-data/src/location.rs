//! Where a row comes from.

use std::fmt;
use std::sync::Arc;

/// A file and a line in it (for Parquet, the number of the row), counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// The file as the user named it.
    pub file: Arc<str>,
    /// The line at which the row begins, or its number in a columnar file; the first is 1.
    pub line: u64,
    /// Its number among the rows that begin on this line; the first is 1.
    pub nth: u64,
}

impl Location {
    /// A place in a file.
    pub fn new(file: impl Into<Arc<str>>, line: u64) -> Self {
        Location { file: file.into(), line, nth: 1 }
    }

    /// Tells the row apart from others of its file: the line, and `#n` where it is the n-th that begins on it.
    pub fn id(&self) -> String {
        if self.nth > 1 { format!("{}#{}", self.line, self.nth) } else { self.line.to_string() }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.id())
    }
}
