//! Files of rows that stages read and leave.

use std::path::{Path, PathBuf};

use groma_run::{Digest, Disk};

use crate::Error;

/// Writes a file that a stage leaves, whole or not at all.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(groma_run::Error::io("create", folder))?;
    }
    Ok(groma_run::atomic::write_file(&Disk::files(), path, bytes)?)
}

/// A local file, or a directory of such, and the digest of its content.
pub(crate) struct DataFile {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
}

impl DataFile {
    pub(crate) fn new(path: PathBuf) -> Result<Self, Error> {
        let digest = Digest::of_path(&path)?;
        Ok(DataFile { path, digest })
    }

    /// Whether it is a file of nothing, as a stage leaves that found nothing.
    pub(crate) fn is_empty(&self) -> bool {
        std::fs::metadata(&self.path).is_ok_and(|file| file.is_file() && file.len() == 0)
    }
}
