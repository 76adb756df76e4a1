//! Which of a file's rows an attack is about.

use groma_data::{ReadOptions, Table, read};
use groma_run::Seed;
use std::path::Path;

use crate::Error;

/// A part of a file's rows, drawn by a seed: two parts of which one skips as many rows as the other takes have none in common.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Drawn {
    /// Leave out so many rows: those that a limit of this number would take.
    pub skip: usize,
    /// Take at most so many of the others.
    pub limit: Option<usize>,
}

impl Drawn {
    /// These rows of a file, in their order.
    ///
    /// # Errors
    /// A file that cannot be read or holds no rows; [`Error::NoneLeft`] where all are left out.
    pub(crate) fn read(self, path: &Path, seed: Seed) -> Result<Table, Error> {
        let all = read(path, &ReadOptions::default())?;
        let count = all.records.len();
        let rest = if self.skip == 0 { all } else { self.rest(all, seed) };
        if rest.records.is_empty() {
            return Err(Error::NoneLeft { file: path.to_owned(), rows: count, skip: self.skip });
        }
        Ok(rest.limited(self.limit, seed))
    }

    fn rest(self, mut all: Table, seed: Seed) -> Table {
        let taken = all.clone().limited(Some(self.skip), seed);
        let mut taken = taken.records.iter().map(|record| &record.location).peekable();
        // Both are in the file's order.
        all.records.retain(|record| taken.next_if(|other| **other == record.location).is_none());
        all
    }
}
