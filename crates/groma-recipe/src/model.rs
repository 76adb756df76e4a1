//! Models that stages read.

use std::path::{Path, PathBuf};

use groma_lm::Address;
use groma_model::AdapterFile;
use groma_run::{Digest, Hasher};

use crate::Error;

/// A model that a stage reads.
pub(crate) struct Model {
    pub(crate) place: Place,
    /// As it is called in cards and messages.
    pub(crate) name: String,
    /// Of its files; of its address where it is on a server, which tells no more.
    pub(crate) digest: Digest,
}

/// Where a model is.
pub(crate) enum Place {
    Here(PathBuf),
    Served(Address),
}

impl Model {
    /// Whether it is computed on this machine.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.place, Place::Here(_))
    }

    /// The directory of a model whose weights are needed.
    pub(crate) fn directory(&self) -> Result<&Path, Error> {
        match &self.place {
            Place::Here(path) => Ok(path),
            Place::Served(_) => Err(Error::OnServer { model: self.name.clone() }),
        }
    }
}

/// The digest of a model's files, and of those of its base where it is an adapter.
pub(crate) fn digest(directory: &Path) -> Result<Digest, Error> {
    let own = Digest::of_path(directory)?;
    if !AdapterFile::is_in(directory) {
        return Ok(own);
    }
    let mut both = Hasher::default();
    both.part(own.as_bytes());
    both.part(Digest::of_path(&AdapterFile::base_directory(directory)?)?.as_bytes());
    Ok(both.finish())
}
