//! Append-only files of JSON lines: one write a row, so that a crash tears at most the last.

use crate::atomic::AtomicFile;
use crate::digest::Hasher;
use crate::layout::{COMPARISONS, EVENTS, MEASUREMENTS};
use crate::storage::{Files, StoredFile};
use crate::{Digest, Error, counted, limits, lock_mutex, read};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
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
    files: Files,
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
        let (files, path) = (files.clone(), path.to_owned());
        Ok((Journal { files, path, policy, state: Mutex::new(state) }, bytes.saturating_sub(whole_bytes)))
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

    /// Leaves out the rows that are not to be kept; returns how many that were. After an error the journal holds what it held
    /// before.
    pub fn keep(&self, mut is_kept: impl FnMut(&[u8]) -> bool) -> Result<usize, Error> {
        let mut state = lock_mutex(&self.state);
        let mut dropped = Vec::new();
        each_line(&self.path, |number, line| dropped.extend((!line.is_some_and(&mut is_kept)).then_some(number)))?;
        if dropped.is_empty() {
            return Ok(0);
        }
        let mut kept = AtomicFile::create(&self.files, &self.path)?;
        let (mut whole_bytes, mut left_out, mut result) = (0, dropped.iter().peekable(), Ok(()));
        each_line(&self.path, |number, line| {
            if left_out.next_if_eq(&&number).is_none() && result.is_ok() {
                let line = line.unwrap_or_default();
                whole_bytes += line.len() as u64;
                result = kept.write_all(line);
            }
        })?;
        result.map_err(Error::io("write", &self.path))?;
        kept.commit()?;
        let file = self.files.append_file(&self.path).map_err(Error::io("open", &self.path))?;
        *state = State { file, whole_bytes, unsynced_rows: 0, torn: false };
        Ok(dropped.len())
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
    let mut file = read::open_own(path)?;
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
    let mut unknown = BTreeMap::<String, usize>::new();
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    each_line(path, |number, line| {
        let Some(line) = line else {
            let limit = limits::JOURNAL_LINE_BYTES;
            found.warnings.push(format!("{name}, line {number} was left out: it has more than {limit} bytes"));
            return;
        };
        match read::parse_tolerantly(line) {
            Ok((row, fields)) => {
                found.rows.push(row);
                fields.into_iter().for_each(|field| *unknown.entry(field).or_default() += 1);
            }
            Err(error) => found.warnings.push(format!("{name}, line {number} was left out: {error}")),
        }
    })?;
    found.warnings.extend(
        unknown
            .into_iter()
            .map(|(field, count)| format!("{name}: the field {field} is not known here ({})", counted(count, "row"))),
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

/// Gives the whole lines of a journal with their numbers, one at a time; [`None`] in place of one that is longer than any that
/// is written. A missing journal has none.
fn each_line(path: &Path, mut give: impl FnMut(usize, Option<&[u8]>)) -> Result<(), Error> {
    let file = match read::open_own(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        file => file.map_err(Error::io("open", path))?,
    };
    let bytes = file.metadata().map_err(Error::io("read", path))?.len();
    if bytes > limits::JOURNAL_BYTES {
        return Err(Error::TooLarge { path: path.to_owned(), bytes, limit: limits::JOURNAL_BYTES });
    }
    // What is appended while this reads belongs to the next reading.
    let mut reader = BufReader::new(file.take(bytes));
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let limit = limits::JOURNAL_LINE_BYTES as u64;
        (&mut reader).take(limit).read_until(b'\n', &mut line).map_err(Error::io("read", path))?;
        if line.last() == Some(&b'\n') {
            give(number, Some(&line));
        } else if line.len() as u64 == limit && reader.skip_until(b'\n').map_err(Error::io("read", path))? > 0 {
            give(number, None);
        } else {
            return Ok(());
        }
    }
    Ok(())
}

/// How many rows there are, and the digest of them all in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// How many.
    pub rows: u64,
    /// Of their bytes.
    pub digest: Digest,
}

impl Default for Tally {
    fn default() -> Self {
        Tally { rows: 0, digest: Hasher::default().finish() }
    }
}

/// The rows that a stage wrote under its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRows {
    /// In `measurements.jsonl`.
    pub measurements: Tally,
    /// In `comparisons.jsonl`.
    pub comparisons: Tally,
    /// In `events.jsonl`.
    pub events: Tally,
}

/// The stage that wrote a row, and the short form of its key.
pub(crate) type Origin = (String, String);

/// Who wrote how much of the journals of a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tallies {
    pub(crate) measurements: BTreeMap<Origin, Tally>,
    pub(crate) comparisons: BTreeMap<Origin, Tally>,
    pub(crate) events: BTreeMap<Origin, Tally>,
}

impl Tallies {
    pub(crate) fn read(root: &Path) -> Result<Self, Error> {
        let of = |name: &str| tally(&root.join(name));
        Ok(Tallies { measurements: of(MEASUREMENTS)?, comparisons: of(COMPARISONS)?, events: of(EVENTS)? })
    }

    pub(crate) fn of(&self, origin: &Origin) -> StageRows {
        let of = |tallies: &BTreeMap<Origin, Tally>| tallies.get(origin).copied().unwrap_or_default();
        let (measurements, comparisons) = (of(&self.measurements), of(&self.comparisons));
        StageRows { measurements, comparisons, events: of(&self.events) }
    }
}

fn tally(path: &Path) -> Result<BTreeMap<Origin, Tally>, Error> {
    let mut rows = BTreeMap::<Origin, (u64, Hasher)>::new();
    each_line(path, |_, line| {
        if let Some((line, origin)) = line.and_then(|line| Some((line, origin(line)?))) {
            let (count, hasher) = rows.entry(origin).or_default();
            *count += 1;
            hasher.part(line);
        }
    })?;
    let tally = |(rows, hasher): (u64, Hasher)| Tally { rows, digest: hasher.finish() };
    Ok(rows.into_iter().map(|(origin, found)| (origin, tally(found))).collect())
}

/// Who wrote a row, where it is one.
pub(crate) fn origin(line: &[u8]) -> Option<Origin> {
    #[derive(Deserialize)]
    struct Written<'a> {
        #[serde(default, borrow)]
        stage: Cow<'a, str>,
        #[serde(default, borrow)]
        stage_key: Cow<'a, str>,
    }
    let written: Written<'_> = serde_json::from_slice(line).ok()?;
    Some((written.stage.into_owned(), written.stage_key.into_owned()))
}
