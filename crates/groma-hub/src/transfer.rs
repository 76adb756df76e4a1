//! One file from the hub into the cache: resumed, checked, and whole or absent.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::cache::{CachedRepo, create_parent};
use crate::error::{Error, Result};
use crate::http::{Answer, Client, Wanted};

/// Time that every file gets ...
const BASE_TIME: Duration = Duration::from_secs(600);
/// ... beside that for its bytes at this speed; a slower transfer is given up, to be resumed by the next attempt.
const SLOWEST_BYTES_PER_SECOND: u64 = 20_000;
/// How long to wait for another process that downloads the same file.
const LOCK_TIME: Duration = Duration::from_secs(3600);
const LOCK_POLL: Duration = Duration::from_millis(200);
/// Bytes of a file whose size the hub does not tell.
const MAX_UNKNOWN_BYTES: u64 = 1 << 30;

/// Progress of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transferred<'a> {
    /// The file's name in the repository.
    pub file: &'a str,
    /// Bytes that are here.
    pub bytes: u64,
    /// Bytes that there are, where the hub tells.
    pub total_bytes: Option<u64>,
}

/// What one attempt adds to a file.
struct Piece<'a> {
    file: &'a str,
    /// Where it grows.
    partial: &'a Path,
    /// Bytes that were there before.
    start: u64,
    /// Bytes that the whole file has.
    total: Option<u64>,
}

/// What a transfer needs to know.
pub(crate) struct Transfer<'a> {
    pub(crate) client: &'a Client,
    pub(crate) cache: &'a CachedRepo,
    pub(crate) wanted: Wanted<'a>,
    pub(crate) commit: &'a str,
}

impl Transfer<'_> {
    /// The local path of a file, downloaded unless it is there.
    pub(crate) fn file(&self, file: &str, progress: &mut dyn FnMut(Transferred<'_>)) -> Result<PathBuf> {
        let path = self.cache.snapshot(self.commit).join(file);
        if path.is_file() {
            return Ok(path);
        }
        self.client.retried(|| self.attempt(file, progress))
    }

    fn attempt(&self, file: &str, progress: &mut dyn FnMut(Transferred<'_>)) -> Result<PathBuf> {
        let address = self.address(file);
        let answer = self.client.get(&address, 0, self.wanted).map_err(|error| named(error, file))?;
        if answer.commit.as_deref().is_some_and(|commit| commit != self.commit) {
            return Err(self.client.suspicious(self.wanted, format!("{file} is of another commit")));
        }
        let Some(etag) = answer.etag.clone() else {
            return Err(self.client.suspicious(self.wanted, format!("{file} has no ETag")));
        };
        let blob = self.cache.blob(&etag);
        if !blob.is_file() {
            create_parent(&blob)?;
            let lock = self.lock(&etag)?;
            if !blob.is_file() {
                self.download(file, &address, &etag, answer, progress)?;
            }
            drop(lock);
        }
        self.cache.link(self.commit, file, &etag)
    }

    fn address(&self, file: &str) -> String {
        let repo = self.wanted.kind.repo(self.wanted.id, self.commit);
        format!("{}/{}/resolve/{}/{}", self.client.settings.endpoint, repo.url(), self.commit, escaped(file))
    }

    fn lock(&self, etag: &str) -> Result<File> {
        let path = self.cache.lock(etag);
        create_parent(&path)?;
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(Error::io("open", &path))?;
        let begun = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_TIME => std::thread::sleep(LOCK_POLL),
                Err(TryLockError::WouldBlock) => return Err(Error::Locked { path }),
                Err(TryLockError::Error(error)) => return Err(Error::io("lock", &path)(error)),
            }
        }
    }

    fn download(
        &self,
        file: &str,
        address: &str,
        etag: &str,
        mut answer: Answer,
        progress: &mut dyn FnMut(Transferred<'_>),
    ) -> Result<()> {
        let partial = self.cache.partial(etag);
        let total = answer.announced_bytes.or(answer.length);
        let have = partial.metadata().map_or(0, |metadata| metadata.len());
        let resumable = have > 0 && total.is_none_or(|total| have < total);
        if resumable {
            answer = self.client.get(address, have, self.wanted)?;
            if answer.etag.as_deref() != Some(etag) {
                return Err(self.damaged(file, "it changed while it was downloaded"));
            }
        }
        let start = if resumable && answer.status == 206 && answer.start == have { have } else { 0 };
        if start == 0 && answer.start > 0 {
            return Err(self.damaged(file, "another part than asked for arrived"));
        }
        self.check_space(file, total.unwrap_or(0).saturating_sub(start))?;
        let mut target = self.open(&partial, start)?;
        let piece = Piece { file, partial: &partial, start, total };
        self.copy(&piece, &mut target, answer, progress)?;
        self.finish(&piece, target, etag)
    }

    fn open(&self, partial: &Path, start: u64) -> Result<File> {
        let opened = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(partial);
        let mut target = opened.map_err(Error::io("create", partial))?;
        let placed = target.set_len(start).and_then(|()| target.seek(SeekFrom::Start(start)));
        placed.map_err(Error::io("write", partial))?;
        Ok(target)
    }

    fn copy(
        &self,
        piece: &Piece<'_>,
        target: &mut File,
        answer: Answer,
        progress: &mut dyn FnMut(Transferred<'_>),
    ) -> Result<()> {
        let Piece { file, partial, start, total } = *piece;
        let limit = total.unwrap_or(MAX_UNKNOWN_BYTES);
        let allowed = BASE_TIME + Duration::from_secs(limit / SLOWEST_BYTES_PER_SECOND);
        let begun = Instant::now();
        let mut body = answer.body.into_with_config().limit(u64::MAX).reader();
        let mut buffer = vec![0; 1 << 16];
        let mut done = start;
        loop {
            let read = body.read(&mut buffer).map_err(|error| self.client.unreachable(&error))?;
            if read == 0 {
                return Ok(());
            }
            done += read as u64;
            if done > limit {
                let _ = std::fs::remove_file(partial);
                return Err(self.client.suspicious(
                    self.wanted,
                    format!("{file} is longer than the {} announced", groma_run::counted(limit, "byte")),
                ));
            }
            target.write_all(&buffer[..read]).map_err(Error::io("write", partial))?;
            progress(Transferred { file, bytes: done, total_bytes: total });
            if begun.elapsed() > allowed {
                return Err(self.client.unreachable(&"the transfer is too slow"));
            }
        }
    }

    /// Checks size and digest, then gives the file its name.
    fn finish(&self, piece: &Piece<'_>, mut target: File, etag: &str) -> Result<()> {
        let Piece { file, partial, total, .. } = *piece;
        let io = |error| Error::io("read", partial)(error);
        let bytes = target.metadata().map_err(io)?.len();
        if total.is_some_and(|total| bytes < total) {
            let total = total.unwrap_or(0);
            return Err(self.damaged(file, format!("{bytes} of {} arrived", groma_run::counted(total, "byte"))));
        }
        // Large files are named by their SHA-256, small ones by git's own hash.
        let is_hash = etag.bytes().all(|byte| byte.is_ascii_hexdigit());
        let hash = match etag.len() {
            64 => Some(("SHA-256", digest_of(Sha256::new(), &mut target).map_err(io)?)),
            40 if is_hash => {
                let mut hasher = Sha1::new();
                hasher.update(format!("blob {bytes}\0"));
                Some(("git hash", digest_of(hasher, &mut target).map_err(io)?))
            }
            _ => None,
        };
        if let Some((name, found)) = hash
            && found != etag.to_ascii_lowercase()
        {
            let _ = std::fs::remove_file(partial);
            return Err(self.damaged(file, format!("its {name} is not the one announced")));
        }
        target.sync_all().map_err(Error::io("write", partial))?;
        let blob = self.cache.blob(etag);
        std::fs::rename(partial, &blob).map_err(Error::io("rename", partial))
    }

    fn check_space(&self, file: &str, bytes: u64) -> Result<()> {
        match groma_run::free_disk_bytes(self.cache.root()) {
            Some(free) if free < bytes => Err(Error::NoSpace {
                id: self.wanted.id.repository(),
                file: file.to_owned(),
                bytes,
                free,
                cache: self.cache.root().to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn damaged(&self, file: &str, why: impl Into<String>) -> Error {
        Error::Damaged { id: self.wanted.id.repository(), file: file.to_owned(), why: why.into() }
    }
}

/// Puts the file's name into the error of a missing file.
fn named(error: Error, file: &str) -> Error {
    match error {
        Error::NoFile { id, .. } => Error::NoFile { id, what: format!("file {file:?}") },
        error => error,
    }
}

/// A path as part of an address.
fn escaped(file: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~' | b'/');
    file.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// What a hasher makes of a file, in hexadecimal.
fn digest_of(mut hasher: impl Digest, file: &mut File) -> std::io::Result<String> {
    file.rewind()?;
    std::io::copy(file, &mut HashWriter(&mut hasher))?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

struct HashWriter<'a, H>(&'a mut H);

impl<H: Digest> Write for HashWriter<'_, H> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
