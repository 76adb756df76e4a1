//! What a method keeps of all its steps: lines of a file beside the checkpoints that is only ever added to. So what has been written is
//! not written again with each checkpoint, which says up to where the lines count and by what digest they are told.

use crate::Error;
use groma_run::{Digest, Files, Hasher, StoredFile};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Its name beside checkpoints.
const FILE: &str = "journal.jsonl";
/// Longest line that is read, in bytes.
const LINE_BYTES_LIMIT: u64 = 64 << 20;

/// How much of it counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mark {
    bytes: u64,
    digest: Digest,
}

impl Default for Mark {
    fn default() -> Self {
        Mark { bytes: 0, digest: Hasher::default().finish() }
    }
}

/// A journal up to its last line that counts.
#[derive(Debug)]
pub(crate) struct Journal {
    files: Files,
    path: PathBuf,
    /// Open once a line was added.
    file: Option<Box<dyn StoredFile>>,
    bytes: u64,
    hasher: Hasher,
}

impl Journal {
    /// That of a directory, of whose lines none counts.
    pub(crate) fn new(files: &Files, directory: &Path) -> Self {
        let (path, hasher) = (directory.join(FILE), Hasher::default());
        Journal { files: files.clone(), path, file: None, bytes: 0, hasher }
    }

    /// Goes on behind a mark; `tell` is given each line up to it.
    ///
    /// # Errors
    /// [`Error::Checkpoint`] where the file is not what the mark was made of, or a line cannot be used.
    pub(crate) fn resume(
        &mut self,
        mark: &Mark,
        mut tell: impl FnMut(&str) -> Result<(), String>,
    ) -> Result<(), Error> {
        if mark.bytes == 0 {
            return Ok(());
        }
        self.check_place()?;
        let unreadable = |source| Error::from(groma_run::Error::io("read", &self.path)(source));
        let mut lines = BufReader::new(File::open(&self.path).map_err(unreadable)?).take(mark.bytes);
        let (mut hasher, mut bytes) = (Hasher::default(), 0);
        loop {
            let mut line = Vec::new();
            let read = (&mut lines).take(LINE_BYTES_LIMIT).read_until(b'\n', &mut line).map_err(unreadable)?;
            if read == 0 {
                break;
            }
            hasher.update(&line);
            bytes += read as u64;
            let text = std::str::from_utf8(&line).map_err(|error| self.damaged(error.to_string()))?;
            tell(text.trim_end()).map_err(|problem| self.damaged(problem))?;
        }
        if bytes != mark.bytes || hasher.finish() != mark.digest {
            return Err(self.damaged("it does not hold what the checkpoint was written with".to_owned()));
        }
        (self.bytes, self.hasher) = (bytes, hasher);
        Ok(())
    }

    /// # Errors
    /// A link in its place, which would lead elsewhere, and what is no file, which may never end.
    fn check_place(&self) -> Result<(), Error> {
        match std::fs::symlink_metadata(&self.path) {
            Ok(found) if found.is_symlink() => Err(self.damaged("it is a link, which is not followed".to_owned())),
            Ok(found) if !found.is_file() => Err(self.damaged("it is no file".to_owned())),
            _ => Ok(()),
        }
    }

    fn damaged(&self, problem: String) -> Error {
        Error::Checkpoint { path: self.path.clone(), problem }
    }

    /// Adds lines behind those that count; what a process left there that died before its checkpoint is cut off.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn add(&mut self, lines: &[String]) -> Result<(), Error> {
        if lines.is_empty() {
            return Ok(());
        }
        if self.file.is_none() {
            self.check_place()?;
            let mut file = self.files.append_file(&self.path).map_err(groma_run::Error::io("open", &self.path))?;
            file.truncate(self.bytes).map_err(groma_run::Error::io("cut", &self.path))?;
            if let Some(directory) = self.path.parent() {
                self.files.sync_directory(directory).map_err(groma_run::Error::io("sync", directory))?;
            }
            self.file = Some(file);
        }
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        if let Some(file) = &mut self.file {
            file.write_all(text.as_bytes()).map_err(groma_run::Error::io("write", &self.path))?;
        }
        self.hasher.update(text.as_bytes());
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Makes all lines last through a power cut.
    ///
    /// # Errors
    /// Those of the disk.
    pub(crate) fn sync(&mut self) -> Result<(), Error> {
        match &mut self.file {
            Some(file) => Ok(file.sync().map_err(groma_run::Error::io("sync", &self.path))?),
            None => Ok(()),
        }
    }

    /// What a checkpoint says of it.
    pub(crate) fn mark(&self) -> Mark {
        Mark { bytes: self.bytes, digest: self.hasher.finish() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Disk;

    #[test]
    fn lines_up_to_the_mark_come_again_and_what_lies_behind_is_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let new = || Journal::new(&Disk::files(), directory.path());
        let read = |journal: &mut Journal, mark: &Mark| {
            let mut lines = Vec::new();
            journal
                .resume(mark, |line| {
                    lines.push(line.to_owned());
                    Ok(())
                })
                .map(|()| lines)
        };
        let mut journal = new();
        assert_eq!(journal.mark(), Mark::default());
        journal.add(&["one".to_owned(), "two".to_owned()]).unwrap();
        let mark = journal.mark();
        journal.add(&["three".to_owned()]).unwrap();
        let beyond = journal.mark();
        let path = directory.path().join(FILE);
        std::fs::write(&path, [&std::fs::read(&path).unwrap()[..], b"fo"].concat()).unwrap();
        let mut journal = new();
        assert_eq!(read(&mut journal, &mark).unwrap(), ["one", "two"]);
        journal.add(&["four".to_owned()]).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\nfour\n");
        let mark = journal.mark();
        assert_eq!(read(&mut new(), &mark).unwrap(), ["one", "two", "four"]);
        let error = read(&mut new(), &beyond).unwrap_err().to_string();
        assert!(error.contains(FILE) && error.contains("the checkpoint was written with"), "{error}");
        std::fs::write(&path, "one\n").unwrap();
        assert!(read(&mut new(), &mark).is_err(), "it is too short");
        std::fs::remove_file(&path).unwrap();
        assert!(read(&mut new(), &mark).is_err() && read(&mut new(), &Mark::default()).unwrap().is_empty());
    }
}
