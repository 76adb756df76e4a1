//! What lies in a run directory, before anything in it is opened.

use crate::{Error, limits};
use std::path::{Path, PathBuf};

/// The directory and all directories below it, each before those that it holds.
///
/// # Errors
/// [`Error::NotFollowed`] for a link, a pipe or a device: a run has none, and what one leads to is not the run's.
pub(crate) fn directories(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = vec![(root.to_owned(), 0)];
    let mut next = 0;
    while let Some((directory, depth)) = found.get(next).cloned() {
        next += 1;
        if depth > limits::DIRECTORY_DEPTH {
            return Err(Error::Corrupt { path: directory, reason: "directories are nested too deeply".into() });
        }
        for entry in std::fs::read_dir(&directory).map_err(Error::io("list", &directory))? {
            let entry = entry.map_err(Error::io("list", &directory))?;
            let kind = entry.file_type().map_err(Error::io("read", &entry.path()))?;
            if kind.is_dir() {
                found.push((entry.path(), depth + 1));
            } else if !kind.is_file() {
                let what = if kind.is_symlink() { "a link" } else { "no file" };
                return Err(Error::NotFollowed { path: entry.path(), what });
            }
        }
    }
    Ok(found.into_iter().map(|(directory, _)| directory).collect())
}
