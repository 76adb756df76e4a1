//! The cache's layout: `blobs/` by content, `snapshots/<commit>/` with links to them, `refs/<revision>` with commits.

use std::fs;
use std::path::{Path, PathBuf};

use groma_run::{Disk, atomic};

use crate::error::{Error, Result};
use crate::http::Kind;
use crate::id::{HubId, is_commit};

/// The largest file that names a commit that is read, in bytes.
const REFERENCE_BYTES: u64 = 4096;

/// Files that a snapshot may have when it is listed.
const MAX_FILES: usize = 100_000;

/// One repository's folder in the cache.
pub(crate) struct CachedRepo {
    root: PathBuf,
    folder: PathBuf,
    locks: PathBuf,
}

impl CachedRepo {
    pub(crate) fn new(root: &Path, kind: Kind, id: &HubId) -> Self {
        let name = kind.repo(id, id.revision()).folder_name();
        CachedRepo { root: root.to_owned(), folder: root.join(&name), locks: root.join(".locks").join(name) }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    pub(crate) fn blob(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(etag)
    }

    pub(crate) fn partial(&self, etag: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{etag}.incomplete"))
    }

    pub(crate) fn lock(&self, etag: &str) -> PathBuf {
        self.locks.join(format!("{etag}.lock"))
    }

    /// The commit that a revision was when it was last downloaded.
    pub(crate) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return self.snapshot(revision).is_dir().then(|| revision.to_owned());
        }
        let text = groma_run::read_text(&self.folder.join("refs").join(revision), REFERENCE_BYTES).ok()?;
        let commit = text.trim();
        is_commit(commit).then(|| commit.to_owned())
    }

    /// Remembers the commit of a revision.
    pub(crate) fn remember(&self, revision: &str, commit: &str) -> Result<()> {
        if is_commit(revision) || self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.folder.join("refs").join(revision);
        create_parent(&path)?;
        atomic::write_file(&Disk::files(), &path, commit.as_bytes())
            .map_err(|error| Error::io("write", &path)(std::io::Error::other(error)))
    }

    /// Links a name in a snapshot to a blob; where links are not to be had, copies it.
    pub(crate) fn link(&self, commit: &str, file: &str, etag: &str) -> Result<PathBuf> {
        let path = self.snapshot(commit).join(file);
        if path.exists() {
            return Ok(path);
        }
        create_parent(&path)?;
        // A link whose blob is gone.
        let _ = fs::remove_file(&path);
        let up = "../".repeat(file.matches('/').count() + 2);
        let linked = make_link(Path::new(&format!("{up}blobs/{etag}")), &path);
        match linked {
            Ok(()) => {}
            Err(_) if path.exists() => {}
            Err(_) => fs::copy(self.blob(etag), &path).map(drop).map_err(Error::io("write", &path))?,
        }
        Ok(path)
    }

    /// The names of the files in a snapshot, sorted; those whose content is missing are left out.
    pub(crate) fn files(&self, commit: &str) -> Vec<String> {
        let root = self.snapshot(commit);
        let mut names = Vec::new();
        let mut folders = vec![root.clone()];
        while let Some(folder) = folders.pop() {
            let Ok(entries) = fs::read_dir(&folder) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                if path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir()) {
                    folders.push(path);
                } else if path.is_file() && names.len() < MAX_FILES {
                    let name = path.strip_prefix(&root).ok().and_then(Path::to_str);
                    names.extend(name.map(|name| name.replace(std::path::MAIN_SEPARATOR, "/")));
                }
            }
        }
        names.sort();
        names
    }
}

pub(crate) fn create_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(Error::io("create", parent))
}

#[cfg(unix)]
fn make_link(to: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(to, path)
}

#[cfg(not(unix))]
fn make_link(_to: &Path, _path: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}
