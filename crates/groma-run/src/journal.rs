//! Append-only files of JSON lines: one write a row, so that a crash tears at most the last.

use crate::storage::{Files, StoredFile};
use crate::{Error, limits, lock_mutex, read};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// A row of a journal. Of rows with the same stage and key the last one counts, so that work done again after a crash
/// replaces what was noted before; rows of a stage under another key of that stage do not count at all.
pub trait Row: Serialize + DeserializeOwned {
    /// The stage that wrote it; empty outside of one.
    fn stage(&self) -> &str;
    /// The short form of that stage's key.
    fn stage_key(&self) -> &str;
    /// What tells it apart within its stage.
    fn key(&self) -> String;
}

/// When rows are made to last through a power cut. They last through the death of the process in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncPolicy {
    /// After each row.
    EachRow,
    /// After so many rows, and on [`Journal::sync`].
    Rows(u32),
}

/// A journal open for appending. Shared between threads by reference.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    policy: SyncPolicy,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: Box<dyn StoredFile>,
    /// Bytes up to the end of the last whole row.
    whole_bytes: u64,
    unsynced_rows: u32,
    /// A write failed, and may have left part of a row.
    torn: bool,
}

impl Journal {
    /// Opens a journal, creating it where it is missing. A torn last row is cut off; returns how many bytes that took.
    pub fn open(files: &Files, path: &Path, policy: SyncPolicy) -> Result<(Self, u64), Error> {
        let mut file = files.append_file(path).map_err(Error::io("open", path))?;
        let bytes = file.bytes().map_err(Error::io("read", path))?;
        let whole_bytes = whole_bytes(path).map_err(Error::io("read", path))?;
        if whole_bytes < bytes {
            file.truncate(whole_bytes).map_err(Error::io("repair", path))?;
        }
        let state = State { file, whole_bytes, unsynced_rows: 0, torn: false };
        Ok((Journal { path: path.to_owned(), policy, state: Mutex::new(state) }, bytes.saturating_sub(whole_bytes)))
    }

    /// Adds a row. After an error the journal holds what it held before, and later rows can still be added.
    pub fn append(&self, row: &impl Serialize) -> Result<(), Error> {
        let encode = |source| Error::Encode { path: self.path.clone(), source };
        let mut line = serde_json::to_vec(row).map_err(encode)?;
        line.push(b'\n');
        if line.len() > limits::JOURNAL_LINE_BYTES {
            let (bytes, limit) = (line.len() as u64, limits::JOURNAL_LINE_BYTES as u64);
            return Err(Error::TooLarge { path: self.path.clone(), bytes, limit });
        }
        lock_mutex(&self.state).append(&line, self.policy).map_err(Error::io("write", &self.path))
    }

    /// Makes all rows last through a power cut.
    pub fn sync(&self) -> Result<(), Error> {
        lock_mutex(&self.state).sync().map_err(Error::io("sync", &self.path))
    }
}

impl State {
    fn append(&mut self, line: &[u8], policy: SyncPolicy) -> io::Result<()> {
        if self.torn {
            self.file.truncate(self.whole_bytes)?;
        }
        self.torn = true;
        self.file.write_all(line)?;
        self.torn = false;
        self.whole_bytes += line.len() as u64;
        self.unsynced_rows += 1;
        let due = match policy {
            SyncPolicy::EachRow => true,
            SyncPolicy::Rows(rows) => self.unsynced_rows >= rows,
        };
        if due { self.sync() } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()?;
        self.unsynced_rows = 0;
        Ok(())
    }
}

/// The length of a file up to and with its last line feed.
fn whole_bytes(path: &Path) -> io::Result<u64> {
    const BLOCK: u64 = 1 << 16;
    let mut file = File::open(path)?;
    let mut end = file.metadata()?.len();
    while end > 0 {
        let start = end.saturating_sub(BLOCK);
        let mut block = Vec::new();
        file.seek(SeekFrom::Start(start))?;
        (&mut file).take(end - start).read_to_end(&mut block)?;
        if let Some(at) = block.iter().rposition(|&byte| byte == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// What a journal holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Rows<T> {
    /// The rows that could be read, in the order of the file.
    pub rows: Vec<T>,
    /// What was left out, and fields that this version does not know; in sentences.
    pub warnings: Vec<String>,
}

/// Reads a journal; a missing one has no rows. A torn last line is no fault and is left out; any other line that cannot
/// be read is left out with a warning.
///
/// # Errors
/// The file cannot be read, or is larger than [`limits::JOURNAL_BYTES`].
pub fn read_journal<T: DeserializeOwned>(path: &Path) -> Result<Rows<T>, Error> {
    let mut found = Rows { rows: Vec::new(), warnings: Vec::new() };
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
        file => file.map_err(Error::io("open", path))?,
    };
    let bytes = file.metadata().map_err(Error::io("read", path))?.len();
    if bytes > limits::JOURNAL_BYTES {
        return Err(Error::TooLarge { path: path.to_owned(), bytes, limit: limits::JOURNAL_BYTES });
    }
    let mut unknown = BTreeMap::<String, usize>::new();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // What is appended while this reads belongs to the next reading.
    let mut reader = BufReader::new(file.take(bytes));
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let count = reader.read_until(b'\n', &mut line).map_err(Error::io("read", path))?;
        if count == 0 || line.last() != Some(&b'\n') {
            break;
        }
        match read::parse_tolerantly(&line) {
            Ok((row, fields)) => {
                found.rows.push(row);
                fields.into_iter().for_each(|field| *unknown.entry(field).or_default() += 1);
            }
            Err(error) => found.warnings.push(format!("{name}, line {number} was left out: {error}")),
        }
    }
    found.warnings.extend(
        unknown.into_iter().map(|(field, count)| format!("{name}: the field {field} is not known here ({count} rows)")),
    );
    Ok(found)
}

/// The rows that count: of each stage those under its current key (or, where `stage_keys` is empty, under the key of its
/// last row), and of those with the same key the last one, in the place of the first.
pub fn current_rows<T: Row>(rows: Vec<T>, stage_keys: &BTreeMap<String, String>) -> Vec<T> {
    let mut keys = stage_keys.clone();
    if stage_keys.is_empty() {
        keys = rows.iter().map(|row| (row.stage().to_owned(), row.stage_key().to_owned())).collect();
    }
    let counts = |row: &T| row.stage().is_empty() || keys.get(row.stage()).is_some_and(|key| key == row.stage_key());
    let mut places = BTreeMap::new();
    let mut kept: Vec<T> = Vec::new();
    for row in rows.into_iter().filter(counts) {
        let place = *places.entry((row.stage().to_owned(), row.key())).or_insert(kept.len());
        match kept.get_mut(place) {
            Some(slot) => *slot = row,
            None => kept.push(row),
        }
    }
    kept
}
