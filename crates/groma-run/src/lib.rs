//! What a run leaves on disk, and what every part of groma shares: classes of errors, seeds, digests, limits, time,
//! cancellation, progress.
//!
//! # A run directory
//!
//! | name | content |
//! |---|---|
//! | `manifest.json` | [`Manifest`]: what was run, on what |
//! | `events.jsonl` | [`Event`]: what happened |
//! | `measurements.jsonl` | [`Measurement`]: the numbers |
//! | `comparisons.jsonl` | [`Comparison`]: two subjects on the same items |
//! | `samples/*.jsonl.zst` | [`Sample`]: texts side by side; [`Item`]: the score of each item |
//! | `stages/*.json` | [`StageRecord`]: what an ended stage left |
//! | `checkpoints/`, `model/` | written by the training loop |
//! | `report.html` | written by the report |
//!
//! [`RunDirectory`] holds it for writing, one process at a time; [`RunRecords`] reads it at any time. JSON lines are the
//! truth, and are checked before they are taken over ([`Standing`], [`verify_run`]). Nothing in a run directory is followed out
//! of it. A file is whole or absent: [`atomic`] has the means. Everything that changes the disk goes through [`Storage`],
//! so that a test can make any operation fail ([`FaultyDisk`]).

mod adopt;
pub mod atomic;
mod cancel;
mod caught;
mod class;
mod clock;
mod confine;
mod confined;
mod digest;
mod directory;
mod disk;
mod error;
mod event;
mod faults;
pub mod figure;
mod holder;
mod journal;
mod layout;
pub mod limits;
mod listing;
mod lock;
mod machine;
mod manifest;
mod measurement;
pub mod number;
mod pairs;
mod pillar;
mod progress;
mod read;
mod recorder;
mod results;
mod run_records;
mod sample;
mod seal;
mod secret;
mod seed;
mod stage;
mod stage_store;
mod standing;
mod storage;
mod survey;
mod verify;
mod words;

pub use cancel::{Cancel, Listening};
pub use caught::{catch_panic, silence_caught_panics};
pub use class::{Class, Classify, class_of_io};
pub use clock::{Clock, ManualClock, SystemClock};
pub use confine::{file_name, inside};
pub use digest::{Digest, Hasher, NotADigest};
pub use directory::{RunDirectory, is_run};
pub use disk::Disk;
pub use error::Error;
pub use event::{Check, CheckKind, Event, EventKind, Finding, Severity};
pub use faults::{Fault, FaultyDisk};
pub use figure::{Drawing, Figure};
pub use holder::Holder;
pub use jiff::Timestamp;
pub use journal::{Journal, Row, Rows, StageRows, SyncPolicy, Tally, current_rows, read_journal};
pub use layout::{CHECKPOINTS, COMPARISONS, EVENTS, MANIFEST, MEASUREMENTS, MODEL, REPORT, SAMPLES, STAGES};
pub use lock::Claim;
pub use machine::{Machine, available_memory_bytes, free_disk_bytes, memory_bytes};
pub use manifest::{FORMAT, Input, Manifest, StageEntry, Status};
pub use measurement::{Comparison, Group, Interval, Measurement, Statistic, Unit};
pub use number::Number;
pub use pairs::Pairs;
pub use pillar::Pillar;
pub use progress::{Advance, Level, Meter, Progress, Silent};
pub use read::{read_bytes, read_json, read_text};
pub use recorder::{LostEvents, Recorder};
pub use results::Results;
pub use run_records::RunRecords;
pub use sample::{
    Item, RowReader, RowWriter, Sample, Side, TrainingSample, items_file, said_file, side_by_side_file,
    training_samples_file,
};
pub use secret::Secret;
pub use seed::{Random, Seed};
pub use stage::{Finished, Output, StageKey, StageRecord};
pub use standing::Standing;
pub use storage::{Files, Storage, StoredFile};
pub use verify::{Problem, Verification, verify_run};
pub use words::{counted, is_or_are};

/// The content of a mutex, also after a thread died holding it: what is kept in ours is whole at every moment.
pub(crate) fn lock_mutex<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
