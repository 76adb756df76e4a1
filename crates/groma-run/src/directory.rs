//! The run directory: its layout, its lock, its journals.

use crate::atomic::{self, AtomicDirectory};
use crate::disk::Disk;
use crate::holder::Holder;
use crate::journal::{Journal, Origin, SyncPolicy, Tallies, origin};
use crate::layout::{CHECKPOINTS, COMPARISONS, EVENTS, LOCK, MANIFEST, MEASUREMENTS, MODEL, REPORT, SAMPLES, STAGES};
use crate::lock::Lock;
use crate::recorder::{Journals, Recorder};
use crate::seal::{self, Seal};
use crate::stage::{Finished, StageKey, StageRecord};
use crate::stage_store::StageStore;
use crate::standing::Standing;
use crate::storage::Files;
use crate::{
    Clock, Comparison, Error, Event, Manifest, Measurement, SystemClock, counted, limits, lock_mutex, read, survey,
};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// A run directory, held exclusively by this process until dropped.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    files: Files,
    clock: Arc<dyn Clock>,
    journals: Arc<Journals>,
    stages: StageStore,
    /// Who wrote how many rows, as of when it was opened or a stage last ended.
    tallies: Mutex<Tallies>,
    taken_over: Option<Holder>,
    repairs: Vec<String>,
    // Last, so that the journals are closed before the lock is given back.
    _lock: Lock,
}

impl RunDirectory {
    /// Creates the directory of a new run, in one step: it appears locked, or not at all.
    ///
    /// # Errors
    /// [`Error::Exists`] where something is there, [`Error::InUse`] where another process works in it.
    pub fn create(path: &Path) -> Result<Self, Error> {
        Self::create_on(path, Disk::files(), Arc::new(SystemClock::default()))
    }

    /// Opens the directory of an earlier run to go on with it.
    ///
    /// # Errors
    /// [`Error::NotARun`] where there is none, [`Error::InUse`] where another process works in it.
    pub fn resume(path: &Path) -> Result<Self, Error> {
        Self::resume_on(path, Disk::files(), Arc::new(SystemClock::default()))
    }

    /// [`Self::resume`] where there is a run, [`Self::create`] otherwise.
    pub fn create_or_resume(path: &Path) -> Result<Self, Error> {
        if is_run(path) { Self::resume(path) } else { Self::create(path) }
    }

    /// [`Self::create`] with a storage and clock of the caller's.
    pub fn create_on(path: &Path, files: Files, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
        }
        atomic::remove_abandoned(&files, &path)?;
        match create_locked(&files, &path, &Holder::this_process(&*clock))? {
            Some(lock) => Self::open(path, files, clock, lock, None),
            None if path.join(LOCK).is_file() || path.join(STAGES).is_dir() => {
                let (lock, taken_over) = Self::lock(&path, &*clock)?;
                // Without a manifest it is the start of a run that was killed before it could say what it is.
                if is_run(&path) {
                    Err(Error::Exists { path })
                } else {
                    Self::open(path, files, clock, lock, taken_over)
                }
            }
            None => Err(Error::Exists { path }),
        }
    }

    /// [`Self::resume`] with a storage and clock of the caller's.
    pub fn resume_on(path: &Path, files: Files, clock: Arc<dyn Clock>) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        if !is_run(&path) {
            return Err(Error::NotARun { path });
        }
        let (lock, taken_over) = Self::lock(&path, &*clock)?;
        Self::open(path, files, clock, lock, taken_over)
    }

    fn lock(path: &Path, clock: &dyn Clock) -> Result<(Lock, Option<Holder>), Error> {
        Lock::take(path, &path.join(LOCK), &Holder::this_process(clock))
    }

    fn open(
        path: PathBuf,
        files: Files,
        clock: Arc<dyn Clock>,
        lock: Lock,
        taken_over: Option<Holder>,
    ) -> Result<Self, Error> {
        const EVENT_ROWS_A_SYNC: u32 = 64;
        let files = files.below(&path);
        let mut repairs = clear(&files, &path)?;
        for name in [SAMPLES, CHECKPOINTS, STAGES] {
            let directory = path.join(name);
            if !directory.exists() {
                files.create_directory(&directory).map_err(Error::io("create", &directory))?;
            }
        }
        let mut journal = |name: &str, policy, is_row: fn(&[u8]) -> bool| {
            let (journal, torn_bytes) = Journal::open(&files, &path.join(name), policy)?;
            repairs.extend(
                (torn_bytes > 0).then(|| format!("{name} (a torn last row of {})", counted(torn_bytes, "byte"))),
            );
            let damaged = journal.keep(is_row)?;
            repairs
                .extend((damaged > 0).then(|| format!("{name} ({}, left out now)", counted(damaged, "damaged row"))));
            Ok::<_, Error>(journal)
        };
        let events = journal(EVENTS, SyncPolicy::Rows(EVENT_ROWS_A_SYNC), is_row::<Event>)?;
        let measurements = journal(MEASUREMENTS, SyncPolicy::EachRow, is_row::<Measurement>)?;
        let comparisons = journal(COMPARISONS, SyncPolicy::EachRow, is_row::<Comparison>)?;
        let journals = Arc::new(Journals::new(events, measurements, comparisons));
        let stages = StageStore::new(&files, &path);
        let tallies = Mutex::new(Tallies::read(&path)?);
        Ok(RunDirectory { path, files, clock, journals, stages, tallies, taken_over, repairs, _lock: lock })
    }

    /// The directory, as an absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The storage that everything in it is written through.
    pub fn files(&self) -> &Files {
        &self.files
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The process that died here without giving the directory back, if one did.
    pub fn taken_over(&self) -> Option<&Holder> {
        self.taken_over.as_ref()
    }

    /// What a process that died here had left, and was cleared when this one opened the directory.
    pub fn repairs(&self) -> &[String] {
        &self.repairs
    }

    /// The path of a relative name from a file, kept inside.
    ///
    /// # Errors
    /// [`Error::Outside`] where the name leads out.
    pub fn inside(&self, name: &str) -> Result<PathBuf, Error> {
        crate::inside(&self.path, name)
    }

    /// Where the resulting model lies.
    pub fn model(&self) -> PathBuf {
        self.path.join(MODEL)
    }

    /// Where the report lies.
    pub fn report(&self) -> PathBuf {
        self.path.join(REPORT)
    }

    /// Where the checkpoints lie; the training loop names them.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join(CHECKPOINTS)
    }

    /// The manifest, where one was written.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where it is not what was written.
    pub fn read_manifest(&self) -> Result<Option<Manifest>, Error> {
        if !is_run(&self.path) {
            return Ok(None);
        }
        let found = parse_manifest(&self.path)?;
        if found.seal == Seal::Broken {
            return Err(Error::Corrupt { path: self.path.join(MANIFEST), reason: "its seal does not fit".into() });
        }
        Ok(Some(found.manifest))
    }

    /// Writes the manifest, replacing the one before.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        seal::write(&self.files, &self.path.join(MANIFEST), manifest)
    }

    /// Writes a file, whole or not at all.
    pub fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        atomic::write_file(&self.files, &self.inside(name)?, bytes)
    }

    /// Starts a directory that appears whole or not at all.
    pub fn directory(&self, name: &str) -> Result<AtomicDirectory, Error> {
        AtomicDirectory::create_on(&self.files, &self.inside(name)?)
    }

    /// How a stage stands: whether it was done under this key, and record, rows and outputs are still what they were.
    pub fn standing(&self, key: &StageKey) -> Result<Standing, Error> {
        self.stages.standing(key, &lock_mutex(&self.tallies))
    }

    /// Makes room for the numbers of a stage that is done now: those of an attempt before, under the same key, go.
    pub fn begin_stage(&self, key: &StageKey) -> Result<(), Error> {
        let own = own(key);
        self.journals.keep_numbers(|line| origin(line).is_none_or(|origin| origin != own))
    }

    /// Writes rows that were recorded elsewhere under this key, in the place of those that there are of it.
    pub(crate) fn enter_rows(
        &self,
        key: &StageKey,
        measurements: &[Measurement],
        comparisons: &[Comparison],
        events: &[Event],
    ) -> Result<(), Error> {
        self.begin_stage(key)?;
        self.journals.enter(measurements, comparisons, events)
    }

    /// Notes that a stage has ended. All rows that it recorded are made to last first.
    pub fn finish_stage(&self, key: &StageKey, finished: Finished) -> Result<StageRecord, Error> {
        self.journals.sync()?;
        let tallies = Tallies::read(&self.path)?;
        let record = self.stages.finish(key, finished, tallies.of(&own(key)), self.clock.now())?;
        *lock_mutex(&self.tallies) = tallies;
        Ok(record)
    }

    /// The recorder of a stage.
    pub fn recorder(&self, key: &StageKey) -> Recorder {
        let stage = (key.name().to_owned(), key.digest().short());
        Recorder::new(self.journals.clone(), self.files.clone(), self.clock.clone(), self.path.clone(), stage)
    }

    /// The recorder of what belongs to no stage.
    pub fn run_recorder(&self) -> Recorder {
        let stage = (String::new(), String::new());
        Recorder::new(self.journals.clone(), self.files.clone(), self.clock.clone(), self.path.clone(), stage)
    }
}

/// Whether a directory holds a run.
pub fn is_run(path: &Path) -> bool {
    path.join(MANIFEST).is_file()
}

/// Creates `target` in one step as a directory that is already locked: prepared under another name, then renamed.
///
/// Returns [`None`] where something is there already.
fn create_locked(files: &Files, target: &Path, holder: &Holder) -> Result<Option<Lock>, Error> {
    let partial = atomic::partial_sibling(target)?;
    files.create_directory(&partial).map_err(Error::io("create", target))?;
    let (lock, _) = Lock::take(target, &partial.join(LOCK), holder)?;
    match files.rename(&partial, target) {
        Ok(()) => Ok(Some(lock)),
        Err(error) => {
            drop(lock);
            // Named as a leftover: the next start clears it where this fails.
            let _ = files.remove_directory(&partial);
            let taken = target.symlink_metadata().is_ok();
            if taken { Ok(None) } else { Err(Error::io("create", target)(error)) }
        }
    }
}

/// Clears what processes that were killed have left anywhere in a run directory, of which nothing may lead out.
fn clear(files: &Files, path: &Path) -> Result<Vec<String>, Error> {
    let mut cleared = Vec::new();
    for directory in survey::directories(path)? {
        // One that was itself a leftover is gone.
        if directory.is_dir() {
            let name = directory.strip_prefix(path).unwrap_or(&directory).to_owned();
            let found = atomic::recover(files, &directory)?;
            cleared.extend(found.iter().map(|leftover| name.join(leftover).display().to_string()));
        }
    }
    Ok(cleared)
}

/// What rows of a stage say of who wrote them.
fn own(key: &StageKey) -> Origin {
    (key.name().to_owned(), key.digest().short())
}

/// Whether a line of a journal can be read.
fn is_row<T: serde::de::DeserializeOwned>(line: &[u8]) -> bool {
    serde_json::from_slice::<T>(line).is_ok()
}

/// Reads the manifest in a directory, with warnings on what is not as it was written or not known here.
pub(crate) fn read_manifest(directory: &Path) -> Result<(Manifest, Vec<String>), Error> {
    let found = parse_manifest(directory)?;
    let broken = (found.seal == Seal::Broken)
        .then(|| format!("{MANIFEST} was changed since it was written: its seal does not fit"));
    let unknown = found.unknown.iter().map(|field| format!("{MANIFEST}: the field {field} is not known here"));
    Ok((found.manifest, broken.into_iter().chain(unknown).collect()))
}

/// A manifest as it was found.
struct Found {
    manifest: Manifest,
    unknown: Vec<String>,
    seal: Seal,
}

fn parse_manifest(directory: &Path) -> Result<Found, Error> {
    let path = directory.join(MANIFEST);
    let corrupt = |error: serde_json::Error| Error::Corrupt { path: path.clone(), reason: error.to_string() };
    let bytes = read::read_own(&path, limits::MANIFEST_BYTES)?;
    let (format, _): (FormatOnly, _) = read::parse_tolerantly(&bytes).map_err(corrupt)?;
    if format.format > crate::FORMAT {
        return Err(Error::Newer { path, found: format.format, known: crate::FORMAT });
    }
    let (value, seal) = seal::open(&bytes).map_err(corrupt)?;
    let (manifest, unknown) = read::parse_tolerantly(value.to_string().as_bytes()).map_err(corrupt)?;
    Ok(Found { manifest, unknown, seal })
}

#[derive(serde::Deserialize)]
struct FormatOnly {
    format: u32,
}
