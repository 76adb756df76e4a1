//! What can go wrong with a run's files.

use crate::{Class, Classify, Holder, class_of_io, counted, is_or_are};
use std::io;
use std::path::{Path, PathBuf};

/// A failure around a run directory; each names the path and says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused an operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted, as a verb: "write", "rename".
        action: &'static str,
        /// On which path.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process holds the run directory, or the output.
    #[error("{} is in use by {holder}", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Who holds it.
        holder: Holder,
    },
    /// A new run was asked for where something is already.
    #[error("{} exists already", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// The directory holds no manifest.
    #[error("{} is no run directory: it has no manifest.json", path.display())]
    NotARun {
        /// The directory.
        path: PathBuf,
    },
    /// A file is not what its writer left.
    #[error("{} is damaged: {reason}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where in it.
        reason: String,
    },
    /// A file was written by a later version.
    #[error("{} has format {found}; this groma reads up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The latest format known here.
        known: u32,
    },
    /// A file is larger than its limit.
    #[error("{} has {}; at most {limit} are read", path.display(), counted(*bytes, "byte"))]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size, or what was read of it before the limit was passed.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A relative name leads out of the directory that it must stay in.
    #[error("the name {name:?} does not stay inside {}", root.display())]
    Outside {
        /// The name as it was given.
        name: String,
        /// The directory.
        root: PathBuf,
    },
    /// Something in a run directory leads out of it, or is neither a file nor a directory.
    #[error("{} is {what}; nothing is followed out of a run directory", path.display())]
    NotFollowed {
        /// What it is.
        path: PathBuf,
        /// "a link", or "no file".
        what: &'static str,
    },
    /// A record cannot be written as JSON.
    #[error("cannot encode a record for {}: {source}", path.display())]
    Encode {
        /// The file it was for.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// The user asked to stop.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Adapter for `map_err`: an input/output error with its action and path.
    pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Io { source, .. } => class_of_io(source),
            Error::Interrupted => Class::Interrupted,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Error::Io { path, source, .. } => hint_of_io(path, source),
            Error::InUse { .. } => Some("wait for it, stop it, or choose another name".into()),
            Error::Exists { .. } => Some("give this run another name, or resume the one that is there".into()),
            Error::NotARun { .. } => Some("name a directory that a groma run has left".into()),
            Error::Corrupt { .. } => {
                Some("the command that made it makes it again; or put back a copy of the file".into())
            }
            Error::NotFollowed { .. } => Some("remove it, or put what it leads to in its place".into()),
            Error::Newer { .. } => Some("use the groma that wrote it, or a later one".into()),
            _ => None,
        }
    }
}

fn hint_of_io(path: &Path, source: &io::Error) -> Option<String> {
    use io::ErrorKind::{OutOfMemory, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match source.kind() {
        StorageFull | QuotaExceeded => {
            let free = crate::free_disk_bytes(path)
                .map_or(String::new(), |bytes| format!(" ({} {} free)", counted(bytes, "byte"), is_or_are(bytes)));
            Some(format!("free space on that disk{free} and start again: finished stages are kept"))
        }
        PermissionDenied | ReadOnlyFilesystem => Some("choose a directory that you may write to".into()),
        _ if class_of_io(source) == Class::Resources && source.kind() != OutOfMemory => {
            Some("the disk answers with an error: look at it, and start again: finished stages are kept".into())
        }
        OutOfMemory => Some("use smaller batches or a shorter context".into()),
        _ => None,
    }
}
