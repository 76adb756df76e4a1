//! Writes the rows of one stage.

use crate::event::{Check, Event, EventKind, Finding};
use crate::journal::Journal;
use crate::sample::{Item, RowWriter, Sample, TrainingSample, items_file, side_by_side_file, training_samples_file};
use crate::storage::Files;
use crate::{Clock, Comparison, Error, Figure, Measurement, lock_mutex};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// The journals of a run, and what was lost of the events.
#[derive(Debug)]
pub(crate) struct Journals {
    events: Journal,
    measurements: Journal,
    comparisons: Journal,
    lost: Mutex<Option<LostEvents>>,
}

/// Events that could not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostEvents {
    /// How many.
    pub count: u64,
    /// Why the first of them could not.
    pub reason: String,
}

impl Journals {
    pub(crate) fn new(events: Journal, measurements: Journal, comparisons: Journal) -> Self {
        Journals { events, measurements, comparisons, lost: Mutex::default() }
    }

    pub(crate) fn sync(&self) -> Result<(), Error> {
        self.events.sync()?;
        self.measurements.sync()?;
        self.comparisons.sync()
    }

    /// Leaves out the measurements and comparisons that are not to be kept.
    pub(crate) fn keep_numbers(&self, is_kept: impl Fn(&[u8]) -> bool) -> Result<(), Error> {
        self.measurements.keep(&is_kept)?;
        self.comparisons.keep(&is_kept).map(|_| ())
    }

    /// Writes rows as they are.
    pub(crate) fn enter(
        &self,
        measurements: &[Measurement],
        comparisons: &[Comparison],
        events: &[Event],
    ) -> Result<(), Error> {
        measurements.iter().try_for_each(|row| self.measurements.append(row))?;
        comparisons.iter().try_for_each(|row| self.comparisons.append(row))?;
        events.iter().for_each(|event| self.event(event));
        Ok(())
    }

    /// Events tell of the work; that one cannot be written does not stop the work.
    fn event(&self, event: &Event) {
        if let Err(error) = self.events.append(event) {
            let mut lost = lock_mutex(&self.lost);
            let lost = lost.get_or_insert_with(|| LostEvents { count: 0, reason: error.to_string() });
            lost.count += 1;
        }
    }
}

/// Writes the rows of one stage, each stamped with the stage's name and key. Cheap to clone; usable from any thread.
#[derive(Clone, Debug)]
pub struct Recorder {
    journals: Arc<Journals>,
    files: Files,
    clock: Arc<dyn Clock>,
    root: PathBuf,
    stage: String,
    stage_key: String,
}

impl Recorder {
    pub(crate) fn new(
        journals: Arc<Journals>,
        files: Files,
        clock: Arc<dyn Clock>,
        root: PathBuf,
        (stage, stage_key): (String, String),
    ) -> Self {
        Recorder { journals, files, clock, root, stage, stage_key }
    }

    /// The stage.
    pub fn stage(&self) -> &str {
        &self.stage
    }

    /// Writes an event. Where that fails the work goes on; see [`Recorder::lost_events`].
    pub fn event(&self, mut event: Event) {
        event.time = self.clock.now();
        event.stage.clone_from(&self.stage);
        event.stage_key.clone_from(&self.stage_key);
        self.journals.event(&event);
    }

    /// Writes the metrics of a step of training, under TRL's names.
    pub fn metrics(&self, step: u64, metrics: BTreeMap<String, f64>) {
        self.event(Event { step: Some(step), metrics, ..Event::new(EventKind::Metrics) });
    }

    /// Writes evaluation metrics at a step of training.
    pub fn evaluation(&self, step: u64, metrics: BTreeMap<String, f64>) {
        self.event(Event { step: Some(step), metrics, ..Event::new(EventKind::Evaluation) });
    }

    /// Writes words of some kind: a note, a warning.
    pub fn message(&self, kind: EventKind, message: &str) {
        self.event(Event { message: Some(message.to_owned()), ..Event::new(kind) });
    }

    /// Writes what a pre-flight check found.
    pub fn finding(&self, finding: Finding) {
        self.event(Event { finding: Some(finding), ..Event::new(EventKind::Finding) });
    }

    /// Writes how a null control, gate or identity came out.
    pub fn check(&self, check: Check) {
        self.event(Event { check: Some(check), ..Event::new(EventKind::Check) });
    }

    /// Writes a picture of what was found.
    pub fn figure(&self, figure: Figure) {
        self.event(Event { figure: Some(figure), ..Event::new(EventKind::Figure) });
    }

    /// Events of the run that could not be written up to now.
    pub fn lost_events(&self) -> Option<LostEvents> {
        lock_mutex(&self.journals.lost).clone()
    }

    /// Writes a measurement, and makes it last.
    pub fn measure(&self, mut measurement: Measurement) -> Result<(), Error> {
        measurement.stage.clone_from(&self.stage);
        measurement.stage_key.clone_from(&self.stage_key);
        self.journals.measurements.append(&measurement)
    }

    /// Writes a comparison, and makes it last.
    pub fn compare(&self, mut comparison: Comparison) -> Result<(), Error> {
        comparison.stage.clone_from(&self.stage);
        comparison.stage_key.clone_from(&self.stage_key);
        self.journals.comparisons.append(&comparison)
    }

    /// Writes the scores of the items of a task, whole or not at all; returns the file's name in the run directory, for
    /// [`Measurement::samples`].
    pub fn items<'a>(
        &self,
        subject: &str,
        task: &str,
        items: impl IntoIterator<Item = &'a Item>,
    ) -> Result<String, Error> {
        let name = items_file(subject, task);
        self.rows(&name, items)?;
        Ok(name)
    }

    /// Writes the texts of a task side by side, whole or not at all, and notes the file among the events; returns its
    /// name in the run directory.
    pub fn samples<'a>(&self, task: &str, samples: impl IntoIterator<Item = &'a Sample>) -> Result<String, Error> {
        let name = side_by_side_file(task);
        let rows = self.rows(&name, samples)?;
        self.file(EventKind::Samples, &name, rows);
        Ok(name)
    }

    /// Writes all answers that the stage's model gave on the way of training up to now, whole or not at all, and notes the
    /// file among the events; returns its name in the run directory.
    pub fn training_samples<'a>(&self, samples: impl IntoIterator<Item = &'a TrainingSample>) -> Result<String, Error> {
        let name = training_samples_file(&self.stage);
        let rows = self.rows(&name, samples)?;
        self.file(EventKind::TrainingSamples, &name, rows);
        Ok(name)
    }

    /// Writes a file of rows, whole or not at all; returns their number.
    fn rows<'a, T: Serialize + 'a>(&self, name: &str, rows: impl IntoIterator<Item = &'a T>) -> Result<u64, Error> {
        let mut writer = RowWriter::create(&self.files, &self.root.join(name))?;
        for row in rows {
            writer.write(row)?;
        }
        writer.finish()
    }

    fn file(&self, kind: EventKind, name: &str, rows: u64) {
        let metrics = BTreeMap::from([("rows".to_owned(), rows as f64)]);
        self.event(Event { file: Some(name.to_owned()), metrics, ..Event::new(kind) });
    }
}
