//! Small JSON files, read under a limit.

use crate::Error;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

/// All of a file of at most `limit` bytes.
///
/// # Errors
/// [`Error::TooLarge`] before memory for more is taken.
pub fn read_bytes(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    read_all(File::open(path).map_err(Error::io("open", path))?, path, limit)
}

fn read_all(file: File, path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
    if bytes.len() as u64 > limit {
        return Err(Error::TooLarge { path: path.to_owned(), bytes: bytes.len() as u64, limit });
    }
    Ok(bytes)
}

/// Opens a file of a run for reading: no link is followed to it, and it is a file.
pub(crate) fn open_own(path: &Path) -> io::Result<File> {
    let found = path.symlink_metadata()?;
    if !found.is_file() {
        let what = if found.is_symlink() { "it is a link, and none is followed here" } else { "it is no file" };
        return Err(io::Error::other(what));
    }
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        // Also where it has become a link or a pipe since it was looked at.
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    options.open(path)
}

/// All of a file of a run, of at most `limit` bytes; no link is followed to it.
pub(crate) fn read_own(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
    let file = open_own(path).map_err(Error::io("open", path))?;
    read_all(file, path, limit)
}

/// A JSON file of at most `limit` bytes.
pub fn read_json<T: DeserializeOwned>(path: &Path, limit: u64) -> Result<T, Error> {
    let bytes = read_bytes(path, limit)?;
    serde_json::from_slice(&bytes).map_err(|error| Error::Corrupt { path: path.to_owned(), reason: error.to_string() })
}

/// All of a text file of at most `limit` bytes.
///
/// # Errors
/// [`Error::TooLarge`] before memory for more is taken, [`Error::Corrupt`] where it is not valid UTF-8.
pub fn read_text(path: &Path, limit: u64) -> Result<String, Error> {
    let text = String::from_utf8(read_bytes(path, limit)?);
    text.map_err(|error| Error::Corrupt { path: path.to_owned(), reason: format!("it is no UTF-8 text: {error}") })
}

/// A JSON value from text, with the names of the fields that `T` does not know.
pub(crate) fn parse_tolerantly<T: DeserializeOwned>(text: &[u8]) -> Result<(T, Vec<String>), serde_json::Error> {
    let mut unknown = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = serde_ignored::deserialize(&mut deserializer, |path| unknown.push(path.to_string()))?;
    deserializer.end()?;
    Ok((value, unknown))
}
