//! What can go wrong between an id and its files.

use std::path::PathBuf;

use groma_run::{Class, Classify, class_of_io};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of finding and downloading files of the hub. None of them ever holds a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that is no hub id.
    #[error("{text:?} is no hub id: {why}")]
    Id {
        /// The text, shortened.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A text that is neither an existing path nor a hub id.
    #[error("no such file or directory: {text:?}; nor is it a hub id: {why}")]
    Unresolved {
        /// The text, shortened.
        text: String,
        /// Why it is no id.
        why: String,
    },
    /// An environment variable cannot be used.
    #[error("the environment variable {name} cannot be used: {why}")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What is wrong.
        why: String,
    },
    /// The hub did not answer.
    #[error("the hub at {host} cannot be reached: {why}")]
    Unreachable {
        /// The host.
        host: String,
        /// What happened.
        why: String,
        /// A commit of the wanted repository that the cache holds.
        cached: Option<String>,
    },
    /// The network is switched off and the cache does not have what is needed.
    #[error("{id} is not in the cache at `{}`, and HF_HUB_OFFLINE forbids to download it: {why}", cache.display())]
    Offline {
        /// What was wanted.
        id: String,
        /// The cache.
        cache: PathBuf,
        /// What is missing.
        why: String,
    },
    /// No such repository, or one that may not be seen.
    #[error("the hub has no {kind} {id} that {viewer} may see")]
    NotFound {
        /// `model` or `dataset`.
        kind: &'static str,
        /// The id.
        id: String,
        /// `the given token`, or `somebody without a token`.
        viewer: &'static str,
    },
    /// No such revision.
    #[error("{id} has no revision {revision:?}")]
    NoRevision {
        /// The id.
        id: String,
        /// The revision.
        revision: String,
    },
    /// No such file in the repository.
    #[error("{id} has no {what}")]
    NoFile {
        /// The id.
        id: String,
        /// What was looked for, and what is there.
        what: String,
    },
    /// The repository's owner gives access on request only.
    #[error("{id} is gated: its owner grants access on request, at {page}")]
    Gated {
        /// The id.
        id: String,
        /// Where to ask.
        page: String,
    },
    /// The token was refused.
    #[error("the hub refused the token for {id}: it is wrong, expired, or may not read this repository")]
    TokenRefused {
        /// The id.
        id: String,
    },
    /// The hub answered with an error of its own.
    #[error("the hub at {host} answered {status} for {id}{}", advice(*.status))]
    Answer {
        /// The host.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The id.
        id: String,
    },
    /// An answer that makes no sense or must not be followed.
    #[error("the answer of {host} for {id} cannot be used: {why}")]
    Suspicious {
        /// The host.
        host: String,
        /// The id.
        id: String,
        /// What is wrong.
        why: String,
    },
    /// The file that arrived is not the file that was announced.
    #[error("{file} of {id} arrived damaged: {why}")]
    Damaged {
        /// The id.
        id: String,
        /// The file.
        file: String,
        /// What differs.
        why: String,
    },
    /// The repository holds weights only in a format that can run code.
    #[error("{id} has no safetensors weights; its {found} is a Python pickle, which can run code and is never read")]
    OnlyPickle {
        /// The id.
        id: String,
        /// One of the pickles.
        found: String,
    },
    /// The disk has no room.
    #[error("{file} of {id} has {} but the disk of `{}` has {free} free", groma_run::counted(*bytes, "byte"), cache.display())]
    NoSpace {
        /// The id.
        id: String,
        /// The file.
        file: String,
        /// Its size.
        bytes: u64,
        /// What is free.
        free: u64,
        /// The cache.
        cache: PathBuf,
    },
    /// Another process downloads the same file and does not finish.
    #[error("another process has been downloading to `{}` for too long", path.display())]
    Locked {
        /// The lock.
        path: PathBuf,
    },
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
}

fn advice(status: u16) -> &'static str {
    match status {
        429 => " (too many requests; wait, or set HF_TOKEN)",
        500..=599 => " (a failure on its side; try again later)",
        _ => "",
    }
}

impl Error {
    /// Adapter for `map_err`.
    pub(crate) fn io(action: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
        let path = path.to_owned();
        move |source| Error::Io { action, path, source }
    }

    /// Whether another attempt may succeed.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::Damaged { .. } => true,
            Error::Answer { status, .. } => *status >= 500,
            _ => false,
        }
    }
}

impl Classify for Error {
    fn class(&self) -> Class {
        match self {
            Error::Io { source, .. } => class_of_io(source),
            Error::NoSpace { .. } => Class::Resources,
            _ => Class::Usage,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Error::Id { .. } | Error::Unresolved { .. } => {
                "an id is owner/name, owner/name@revision or owner/name@revision:file".to_owned()
            }
            Error::Unreachable { cached: Some(commit), .. } => {
                format!("the cache holds commit {commit}: set HF_HUB_OFFLINE=1 to use it without a network")
            }
            Error::Unreachable { .. } => {
                "check the network, HF_ENDPOINT and the proxy settings, or give a local path".to_owned()
            }
            Error::Offline { .. } => "unset HF_HUB_OFFLINE once to download it, or give a local path".to_owned(),
            Error::NotFound { .. } => "check the spelling; for a private repository set HF_TOKEN".to_owned(),
            Error::NoRevision { .. } => "a revision is a branch, a tag or a commit".to_owned(),
            Error::Gated { .. } => "ask for access there, then set HF_TOKEN to a token of that account".to_owned(),
            Error::TokenRefused { .. } => "renew it at https://huggingface.co/settings/tokens".to_owned(),
            Error::OnlyPickle { .. } => {
                "convert it elsewhere with safetensors' own converter, and give the local directory".to_owned()
            }
            Error::NoSpace { .. } => "free some space, or set HF_HUB_CACHE to another disk".to_owned(),
            _ => return None,
        })
    }
}
