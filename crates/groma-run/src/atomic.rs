//! Files and directories that are whole or absent.
//!
//! A file is written under a temporary name beside its own, synced, renamed, and the directory synced. A directory is
//! written the same way; the last file put into it is the marker [`MARKER`], with the size and digest of each other file.
//! Leftovers of a process that died are recognised by their names and cleared by [`recover`].

use crate::digest::Hasher;
use crate::disk::Disk;
use crate::holder::process_lives;
use crate::listing::files_below;
use crate::storage::{Files, StoredFile};
use crate::{Digest, Error, counted, limits};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

pub use crate::listing::MARKER;

const PARTIAL: &str = "partial";
const PREVIOUS: &str = "previous";

/// Writes a file whole: after an error or a crash the path holds what it held before.
pub fn write_file(files: &Files, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut file = AtomicFile::create(files, path)?;
    file.write_all(bytes).map_err(Error::io("write", path))?;
    file.commit()
}

/// Writes a value as indented JSON, whole or not at all.
pub fn write_json(files: &Files, path: &Path, value: &impl Serialize) -> Result<(), Error> {
    let mut text =
        serde_json::to_vec_pretty(value).map_err(|source| Error::Encode { path: path.to_owned(), source })?;
    text.push(b'\n');
    write_file(files, path, &text)
}

/// A file under a temporary name until [`AtomicFile::commit`]; dropped without that, it leaves nothing.
#[derive(Debug)]
pub struct AtomicFile {
    files: Files,
    target: PathBuf,
    partial: PathBuf,
    file: Option<Box<dyn StoredFile>>,
}

impl AtomicFile {
    /// Starts a file that will be `target`.
    pub fn create(files: &Files, target: &Path) -> Result<Self, Error> {
        let partial = sibling(target, PARTIAL)?;
        let file = files.create_file(&partial).map_err(Error::io("create", target))?;
        Ok(AtomicFile { files: files.clone(), target: target.to_owned(), partial, file: Some(file) })
    }

    /// Makes the content last and gives the file its name, replacing a file of that name.
    pub fn commit(mut self) -> Result<(), Error> {
        let Some(mut file) = self.file.take() else { return Ok(()) };
        if let Err(source) = finish_file(&self.files, &mut *file, &self.partial, &self.target) {
            drop(file);
            self.discard();
            return Err(Error::io("write", &self.target)(source));
        }
        sync_parent(&self.files, &self.target)
    }

    fn discard(&self) {
        // The name marks it as a leftover: where this fails too, the next start removes it.
        let _ = self.files.remove_file(&self.partial);
    }
}

fn finish_file(files: &Files, file: &mut dyn StoredFile, partial: &Path, target: &Path) -> io::Result<()> {
    file.flush()?;
    file.sync()?;
    files.rename(partial, target)
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), |file| file.flush())
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            self.discard();
        }
    }
}

/// Size and digest of a file in a committed directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDigest {
    /// Size.
    pub bytes: u64,
    /// Digest of the content.
    pub digest: Digest,
}

/// A directory under a temporary name until [`AtomicDirectory::commit`]; dropped without that, it leaves nothing.
#[derive(Debug)]
pub struct AtomicDirectory {
    files: Files,
    target: PathBuf,
    partial: PathBuf,
    written: BTreeMap<String, FileDigest>,
    committed: bool,
}

impl AtomicDirectory {
    /// Starts a directory on the real disk that will be `target`.
    pub fn create(target: &Path) -> Result<Self, Error> {
        Self::create_on(&Disk::files(), target)
    }

    /// Starts a directory that will be `target`.
    pub fn create_on(files: &Files, target: &Path) -> Result<Self, Error> {
        remove_abandoned(files, target)?;
        let partial = sibling(target, PARTIAL)?;
        files.create_directory(&partial).map_err(Error::io("create", target))?;
        let target = target.to_owned();
        Ok(AtomicDirectory { files: files.clone(), target, partial, written: BTreeMap::new(), committed: false })
    }

    /// Where the files lie until the commit, for libraries that write to a path.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Writes a file of the directory.
    pub fn write(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.target.join(name);
        let mut file = self.file(name)?;
        file.write_all(bytes).map_err(Error::io("write", &path))?;
        file.finish()
    }

    /// Starts a file of the directory; it counts once [`DirectoryFile::finish`] was called.
    pub fn file(&mut self, name: &str) -> Result<DirectoryFile<'_>, Error> {
        let path = crate::inside(&self.partial, name)?;
        create_parents(&self.files, &path, &self.partial)?;
        let file = self.files.create_file(&path).map_err(Error::io("create", &self.target.join(name)))?;
        Ok(DirectoryFile { name: name.to_owned(), file, hasher: Hasher::default(), bytes: 0, directory: self })
    }

    /// Makes all of it last, writes the marker, and gives the directory its name; a directory of that name exchanges its name
    /// with it and is then removed, so that at every moment one of them has it. (Where the file system cannot exchange names,
    /// there is a moment without; [`recover`] puts that in order.)
    pub fn commit(mut self) -> Result<(), Error> {
        for name in files_below(&self.partial)? {
            if !self.written.contains_key(&name) {
                let entry = self.seal(&name)?;
                self.written.insert(name, entry);
            }
        }
        let marker = std::mem::take(&mut self.written);
        let path = self.partial.join(MARKER);
        write_json(&self.files, &path, &marker)?;
        sync_tree(&self.files, &self.partial)?;
        self.swap()?;
        self.committed = true;
        sync_parent(&self.files, &self.target)
    }

    /// A file that a library wrote by path: synced and measured.
    fn seal(&self, name: &str) -> Result<FileDigest, Error> {
        let path = self.partial.join(name);
        let mut file = self.files.append_file(&path).map_err(Error::io("open", &path))?;
        file.sync().map_err(Error::io("sync", &path))?;
        let bytes = file.bytes().map_err(Error::io("read", &path))?;
        Ok(FileDigest { bytes, digest: Digest::of_file(&path)? })
    }

    fn swap(&self) -> Result<(), Error> {
        let rename = |from: &Path, to: &Path| self.files.rename(from, to).map_err(Error::io("rename", to));
        if !self.target.exists() {
            return rename(&self.partial, &self.target);
        }
        match self.files.exchange(&self.partial, &self.target) {
            Ok(()) => {
                // The new one is in place: a leftover old one is cleared at the next start.
                let _ = self.files.remove_directory(&self.partial);
                return Ok(());
            }
            Err(error) if cannot_exchange(&error) => {}
            Err(error) => return Err(Error::io("rename", &self.target)(error)),
        }
        let previous = sibling(&self.target, PREVIOUS)?;
        rename(&self.target, &previous)?;
        if let Err(error) = rename(&self.partial, &self.target) {
            rename(&previous, &self.target)?;
            return Err(error);
        }
        // The new one is in place: a leftover old one is cleared at the next start.
        let _ = self.files.remove_directory(&previous);
        Ok(())
    }
}

/// Whether an exchange of names failed because there is no such thing here.
fn cannot_exchange(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::InvalidInput)
}

/// Makes the directories above `path` that are missing, as far as they lie below `root`.
pub(crate) fn create_parents(files: &Files, path: &Path, root: &Path) -> Result<(), Error> {
    let missing: Vec<_> = path.ancestors().skip(1).take_while(|p| p.starts_with(root) && !p.exists()).collect();
    for parent in missing.into_iter().rev() {
        files.create_directory(parent).map_err(Error::io("create", parent))?;
    }
    Ok(())
}

/// Writes the marker of a directory anew, from the files as they are: for one whose files are known to be whole.
pub(crate) fn mark(files: &Files, directory: &Path) -> Result<(), Error> {
    let entry = |name: String| {
        let path = directory.join(&name);
        let bytes = std::fs::metadata(&path).map_err(Error::io("read", &path))?.len();
        Ok((name, FileDigest { bytes, digest: Digest::of_file(&path)? }))
    };
    let entries = files_below(directory)?.into_iter().map(entry).collect::<Result<BTreeMap<_, _>, Error>>()?;
    write_json(files, &directory.join(MARKER), &entries)
}

impl Drop for AtomicDirectory {
    fn drop(&mut self) {
        if !self.committed {
            let _ = self.files.remove_directory(&self.partial);
        }
    }
}

/// A file of an [`AtomicDirectory`] in the making.
#[derive(Debug)]
pub struct DirectoryFile<'a> {
    directory: &'a mut AtomicDirectory,
    name: String,
    file: Box<dyn StoredFile>,
    hasher: Hasher,
    bytes: u64,
}

impl DirectoryFile<'_> {
    /// Makes the content last and enters the file into the directory's digests.
    pub fn finish(mut self) -> Result<(), Error> {
        let path = self.directory.target.join(&self.name);
        self.file.flush().and_then(|()| self.file.sync()).map_err(Error::io("write", &path))?;
        let entry = FileDigest { bytes: self.bytes, digest: self.hasher.finish() };
        self.directory.written.insert(self.name, entry);
        Ok(())
    }
}

impl Write for DirectoryFile<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Checks a committed directory against its marker: each file there, of its size, with its digest.
///
/// # Errors
/// [`Error::Corrupt`] names the first file that differs, or the marker where that is missing.
pub fn verify_directory(path: &Path) -> Result<BTreeMap<String, FileDigest>, Error> {
    let marker = path.join(MARKER);
    if !marker.exists() {
        return Err(Error::Corrupt {
            path: path.to_owned(),
            reason: format!("it has no {MARKER}: it is not complete"),
        });
    }
    let entries: BTreeMap<String, FileDigest> = crate::read::read_json(&marker, limits::MANIFEST_BYTES)?;
    for (name, entry) in &entries {
        let file = crate::inside(path, name)?;
        let found = std::fs::metadata(&file).map_err(Error::io("read", &file))?.len();
        if found != entry.bytes {
            let reason = format!("it has {}, but was written with {}", counted(found, "byte"), entry.bytes);
            return Err(Error::Corrupt { path: file, reason });
        }
        if Digest::of_file(&file)? != entry.digest {
            return Err(Error::Corrupt { path: file, reason: "its digest is not what was written".into() });
        }
    }
    Ok(entries)
}

/// Puts in order what a process that died left in a directory of which the caller holds the lock: partial files and
/// directories go, a directory caught between two names gets its name, an outdated one goes.
///
/// Returns the names that were dealt with.
pub fn recover(files: &Files, directory: &Path) -> Result<Vec<String>, Error> {
    recover_those(files, directory, |_| true)
}

/// As [`recover`], of one file or directory that the caller alone writes; see [`crate::Claim`].
pub fn recover_target(files: &Files, target: &Path) -> Result<Vec<String>, Error> {
    let (parent, name) = (parent(target), target.file_name());
    recover_those(files, parent, |of| Some(OsStr::new(of)) == name)
}

fn recover_those(files: &Files, directory: &Path, is_meant: impl Fn(&str) -> bool) -> Result<Vec<String>, Error> {
    let mut done = Vec::new();
    // Previous directories first: they may need a complete partial one.
    for kind in [PREVIOUS, PARTIAL] {
        for (name, target) in leftovers(directory, kind)? {
            if !is_meant(&target) {
                continue;
            }
            let path = directory.join(&name);
            let target = directory.join(target);
            if kind == PREVIOUS && !target.exists() {
                restore(files, directory, &path, &target)?;
            } else {
                remove(files, &path)?;
            }
            done.push(name);
        }
    }
    if !done.is_empty() {
        files.sync_directory(directory).map_err(Error::io("sync", directory))?;
    }
    Ok(done)
}

/// The target's name was free when the process died: the new directory takes it if it is complete, else the old one.
fn restore(files: &Files, directory: &Path, previous: &Path, target: &Path) -> Result<(), Error> {
    for (name, partial_target) in leftovers(directory, PARTIAL)? {
        let partial = directory.join(name);
        if directory.join(partial_target) == target && verify_directory(&partial).is_ok() {
            files.rename(&partial, target).map_err(Error::io("rename", target))?;
            return remove(files, previous);
        }
    }
    files.rename(previous, target).map_err(Error::io("rename", target))
}

/// Removes a directory that has its name until all of it goes: what a kill leaves of it is a leftover, which [`recover`] clears.
pub fn remove_directory(files: &Files, directory: &Path) -> Result<(), Error> {
    let leftover = sibling(directory, PARTIAL)?;
    files.rename(directory, &leftover).map_err(Error::io("remove", directory))?;
    files.remove_directory(&leftover).map_err(Error::io("remove", directory))
}

pub(crate) fn remove(files: &Files, path: &Path) -> Result<(), Error> {
    let is_directory = std::fs::symlink_metadata(path).map_err(Error::io("read", path))?.is_dir();
    let result = if is_directory { files.remove_directory(path) } else { files.remove_file(path) };
    result.map_err(Error::io("remove", path))
}

/// Names of the form `.TARGET.KIND-PID-COUNT` in a directory, with their TARGET; sorted.
fn leftovers(directory: &Path, kind: &str) -> Result<Vec<(String, String)>, Error> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(Error::io("list", directory))? {
        let entry = entry.map_err(Error::io("list", directory))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if let Some((target, _pid)) = parse_leftover(&name, kind) {
            let target = target.to_owned();
            found.push((name, target));
        }
    }
    found.sort();
    Ok(found)
}

fn parse_leftover<'a>(name: &'a str, kind: &str) -> Option<(&'a str, u32)> {
    let (target, tail) = name.strip_prefix('.')?.rsplit_once('.')?;
    let (pid, count) = tail.strip_prefix(kind)?.strip_prefix('-')?.split_once('-')?;
    let _: u64 = count.parse().ok()?;
    Some((target, pid.parse().ok()?))
}

/// Removes the partial directories of `target` that processes which have ended left beside it.
pub(crate) fn remove_abandoned(files: &Files, target: &Path) -> Result<(), Error> {
    let (parent, Some(wanted)) = (parent(target), target.file_name().and_then(OsStr::to_str)) else {
        return Ok(());
    };
    if !parent.is_dir() {
        return Ok(());
    }
    for (name, owner) in leftovers(parent, PARTIAL)? {
        let pid = parse_leftover(&name, PARTIAL).map(|(_, pid)| pid);
        if owner == wanted && pid.is_some_and(|pid| !process_lives(pid)) {
            remove(files, &parent.join(name))?;
        }
    }
    Ok(())
}

/// The names, in a directory, of what processes that were killed have left there.
pub(crate) fn leftover_names(directory: &Path) -> Result<Vec<String>, Error> {
    let kinds = [leftovers(directory, PREVIOUS)?, leftovers(directory, PARTIAL)?];
    Ok(kinds.into_iter().flatten().map(|(name, _)| name).collect())
}

/// A temporary name beside `target`, unique in this process and among processes.
pub(crate) fn sibling(target: &Path, kind: &str) -> Result<PathBuf, Error> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = target.file_name().and_then(OsStr::to_str).ok_or_else(|| Error::Outside {
        name: target.display().to_string(),
        root: target.parent().unwrap_or(Path::new("")).to_owned(),
    })?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Ok(target.with_file_name(format!(".{name}.{kind}-{}-{count}", std::process::id())))
}

pub(crate) fn partial_sibling(target: &Path) -> Result<PathBuf, Error> {
    sibling(target, PARTIAL)
}

fn sync_tree(files: &Files, directory: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(directory).map_err(Error::io("list", directory))? {
        let entry = entry.map_err(Error::io("list", directory))?;
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            sync_tree(files, &entry.path())?;
        }
    }
    files.sync_directory(directory).map_err(Error::io("sync", directory))
}

/// The directory that a path lies in.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

pub(crate) fn sync_parent(files: &Files, path: &Path) -> Result<(), Error> {
    let parent = parent(path);
    files.sync_directory(parent).map_err(Error::io("sync", parent))
}
