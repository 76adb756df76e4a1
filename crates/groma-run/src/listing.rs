//! The files below a directory.

use crate::{Error, limits};
use std::path::Path;

/// The file whose presence says that a directory is complete.
pub const MARKER: &str = "digests.json";

/// Relative names (with `/`) of all files below a directory but the hidden ones and the marker, sorted. Links to
/// directories are not followed.
pub(crate) fn files_below(directory: &Path) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    collect(directory, "", 0, &mut found)?;
    found.sort();
    Ok(found)
}

fn collect(directory: &Path, prefix: &str, depth: usize, found: &mut Vec<String>) -> Result<(), Error> {
    if depth > limits::DIRECTORY_DEPTH {
        return Err(Error::Corrupt { path: directory.to_owned(), reason: "directories are nested too deeply".into() });
    }
    for entry in std::fs::read_dir(directory).map_err(Error::io("list", directory))? {
        let entry = entry.map_err(Error::io("list", directory))?;
        let name = entry.file_name();
        let name = name
            .to_str()
            .ok_or_else(|| Error::Corrupt { path: entry.path(), reason: "its name is not valid UTF-8".into() })?;
        if name.starts_with('.') || (prefix.is_empty() && name == MARKER) {
            continue;
        }
        let kind = entry.file_type().map_err(Error::io("read", &entry.path()))?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{prefix}{name}/"), depth + 1, found)?;
        } else {
            found.push(format!("{prefix}{name}"));
        }
    }
    Ok(())
}
