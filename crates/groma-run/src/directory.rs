//! The run directory: its layout, its lock, its journals.

use crate::atomic::{self, AtomicDirectory};
use crate::journal::{Journal, SyncPolicy};
use crate::lock::{Holder, Lock, create_locked};
use crate::recorder::{Journals, Recorder};
use crate::stage::{Finished, StageKey, StageRecord, StageStore};
use crate::storage::{Disk, Files};
use crate::{Clock, Error, Manifest, SystemClock, limits, read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What was run.
pub const MANIFEST: &str = "manifest.json";
/// What happened.
pub const EVENTS: &str = "events.jsonl";
/// The numbers.
pub const MEASUREMENTS: &str = "measurements.jsonl";
/// The numbers of two subjects on the same items.
pub const COMPARISONS: &str = "comparisons.jsonl";
/// Directory of texts and of the scores of items.
pub const SAMPLES: &str = "samples";
/// Directory of checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// Directory of the records of ended stages.
pub const STAGES: &str = "stages";
/// Directory of the resulting model.
pub const MODEL: &str = "model";
/// The report.
pub const REPORT: &str = "report.html";
pub(crate) const LOCK: &str = "lock";

/// A run directory, held exclusively by this process until dropped.
#[derive(Debug)]
pub struct RunDirectory {
    path: PathBuf,
    files: Files,
    clock: Arc<dyn Clock>,
    journals: Arc<Journals>,
    stages: StageStore,
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
            None if path.join(LOCK).is_file() => {
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
        let mut repairs = atomic::recover(&files, &path)?;
        for name in [SAMPLES, CHECKPOINTS, STAGES] {
            let directory = path.join(name);
            if directory.exists() {
                repairs
                    .extend(atomic::recover(&files, &directory)?.iter().map(|leftover| format!("{name}/{leftover}")));
            } else {
                files.create_directory(&directory).map_err(Error::io("create", &directory))?;
            }
        }
        let mut journal = |name: &str, policy| {
            let (journal, torn_bytes) = Journal::open(&files, &path.join(name), policy)?;
            repairs.extend((torn_bytes > 0).then(|| format!("{name} (a torn last row of {torn_bytes} bytes)")));
            Ok::<_, Error>(journal)
        };
        let events = journal(EVENTS, SyncPolicy::Rows(EVENT_ROWS_A_SYNC))?;
        let measurements = journal(MEASUREMENTS, SyncPolicy::EachRow)?;
        let comparisons = journal(COMPARISONS, SyncPolicy::EachRow)?;
        let journals = Arc::new(Journals::new(events, measurements, comparisons));
        let stages = StageStore::new(&files, &path);
        Ok(RunDirectory { path, files, clock, journals, stages, taken_over, repairs, _lock: lock })
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
    pub fn read_manifest(&self) -> Result<Option<Manifest>, Error> {
        if !is_run(&self.path) {
            return Ok(None);
        }
        read_manifest(&self.path).map(|(manifest, _)| Some(manifest))
    }

    /// Writes the manifest, replacing the one before.
    pub fn write_manifest(&self, manifest: &Manifest) -> Result<(), Error> {
        atomic::write_json(&self.files, &self.path.join(MANIFEST), manifest)
    }

    /// Writes a file, whole or not at all.
    pub fn write_file(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        atomic::write_file(&self.files, &self.inside(name)?, bytes)
    }

    /// Starts a directory that appears whole or not at all.
    pub fn directory(&self, name: &str) -> Result<AtomicDirectory, Error> {
        AtomicDirectory::create_on(&self.files, &self.inside(name)?)
    }

    /// The record of a stage that was done under this key, if its outputs are still what they were.
    pub fn stage_done(&self, key: &StageKey) -> Result<Option<StageRecord>, Error> {
        self.stages.done(key)
    }

    /// Notes that a stage has ended. All rows that it recorded are made to last first.
    pub fn finish_stage(&self, key: &StageKey, finished: Finished) -> Result<StageRecord, Error> {
        self.journals.sync()?;
        self.stages.finish(key, finished, self.clock.now())
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

/// Reads the manifest in a directory, with warnings on fields that are not known here.
pub(crate) fn read_manifest(directory: &Path) -> Result<(Manifest, Vec<String>), Error> {
    let path = directory.join(MANIFEST);
    let corrupt = |error: serde_json::Error| Error::Corrupt { path: path.clone(), reason: error.to_string() };
    let bytes = read::read_bytes(&path, limits::MANIFEST_BYTES)?;
    let (format, _): (FormatOnly, _) = read::parse_tolerantly(&bytes).map_err(corrupt)?;
    if format.format > crate::FORMAT {
        return Err(Error::Newer { path, found: format.format, known: crate::FORMAT });
    }
    let (manifest, unknown) = read::parse_tolerantly(&bytes).map_err(corrupt)?;
    let warnings = unknown.iter().map(|field| format!("{MANIFEST}: the field {field} is not known here")).collect();
    Ok((manifest, warnings))
}

#[derive(serde::Deserialize)]
struct FormatOnly {
    format: u32,
}
