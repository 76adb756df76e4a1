//! One process at a time in a run directory, or at an output.

use crate::holder::Holder;
use crate::{Error, limits};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};

/// An exclusive lock, held until dropped. The operating system ends it with the process, however that dies.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Lock {
    /// Takes the lock file, creating it where it is missing.
    ///
    /// Returns the lock, and the holder that died without giving it back, if one did.
    pub(crate) fn take(directory: &Path, path: &Path, holder: &Holder) -> Result<(Lock, Option<Holder>), Error> {
        let mut file = open(path).map_err(Error::io("open", path))?;
        let in_use = |holder| Error::InUse { path: directory.to_owned(), holder };
        let supported = match file.try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => return Err(in_use(read_holder(&mut file).unwrap_or(Holder::unknown()))),
            Err(TryLockError::Error(error)) if error.kind() == std::io::ErrorKind::Unsupported => false,
            Err(TryLockError::Error(error)) => return Err(Error::io("lock", path)(error)),
        };
        let earlier = read_holder(&mut file);
        if let (false, Some(earlier)) = (supported, &earlier) {
            // A file system without locks: go by whether the process named in the file lives.
            if earlier.lives_here() && earlier.pid != holder.pid {
                return Err(in_use(earlier.clone()));
            }
        }
        let mut lock = Lock { file };
        lock.write(Some(holder)).map_err(Error::io("write", path))?;
        Ok((lock, earlier))
    }

    fn write(&mut self, holder: Option<&Holder>) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        match holder {
            Some(holder) => serde_json::to_writer(&self.file, holder).map_err(Into::into),
            None => self.file.flush(),
        }
    }
}

/// Opens a lock file, creating it where it is missing; no link is followed to it, as what is opened is emptied.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        options.custom_flags(flags.bits().cast_signed());
    }
    let is_link = |path: &Path| path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    if is_link(path) {
        return Err(std::io::Error::other("it is a link, and none is followed here"));
    }
    let file = options.open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(std::io::Error::other("it is no file")),
    }
}

/// Who holds a lock at the moment, where somebody does.
pub(crate) fn held_by(path: &Path) -> Option<Holder> {
    let mut file = crate::read::open_own(path).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(read_holder(&mut file).unwrap_or(Holder::unknown())),
        _ => None,
    }
}

/// An output that this process alone writes, until dropped: a hidden lock file beside it says so, and goes with the claim.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    // Given back after the file is gone.
    _lock: Lock,
}

impl Claim {
    /// Claims `target`, a file or directory that need not be there yet; directories that lead to it are made.
    ///
    /// # Errors
    /// [`Error::InUse`] with its holder where another process writes it.
    pub fn take(target: &Path) -> Result<Claim, Error> {
        let target = std::path::absolute(target).map_err(Error::io("find", target))?;
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let path = target.with_file_name(format!(".{name}.lock"));
        let holder = Holder::this_process(&crate::SystemClock::default());
        loop {
            let (lock, _) = Lock::take(&target, &path, &holder)?;
            // The holder before may have removed it between our opening and our locking it.
            if lock.is_at(&path) {
                return Ok(Claim { path, _lock: lock });
            }
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        // Where this fails, the next claim takes the file over.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Lock {
    /// Whether the file that is locked is the one of that name.
    #[cfg(unix)]
    fn is_at(&self, path: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        let place = |found: std::io::Result<std::fs::Metadata>| found.ok().map(|found| (found.dev(), found.ino()));
        place(self.file.metadata()) == place(path.symlink_metadata()) && path.symlink_metadata().is_ok()
    }

    /// Whether the file that is locked is the one of that name: as long as it is open, no other can be.
    #[cfg(not(unix))]
    fn is_at(&self, path: &Path) -> bool {
        path.exists()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // An empty file says that the lock was given back in order; closing the file releases it in any case.
        let _ = self.write(None);
    }
}

fn read_holder(file: &mut File) -> Option<Holder> {
    let mut text = Vec::new();
    file.rewind().ok()?;
    file.take(limits::LOCK_BYTES).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}
