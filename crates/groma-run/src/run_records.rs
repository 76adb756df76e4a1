//! All records of a run, read without holding it: for reports, comparisons and viewers.

use crate::directory::{is_run, read_manifest};
use crate::journal::{Row, current_rows, read_journal};
use crate::layout::{COMPARISONS, EVENTS, MEASUREMENTS};
use crate::sample::{Item, RowReader, Sample, TrainingSample};
use crate::{Comparison, Error, Event, EventKind, Manifest, Measurement};
use std::path::{Path, PathBuf};

/// The records of a run that count; see [`current_rows`].
#[derive(Clone, Debug)]
pub struct RunRecords {
    /// The run directory.
    pub path: PathBuf,
    /// What was run.
    pub manifest: Manifest,
    /// What happened.
    pub events: Vec<Event>,
    /// The numbers.
    pub measurements: Vec<Measurement>,
    /// The numbers of two subjects on the same items.
    pub comparisons: Vec<Comparison>,
    /// What could not be read, and fields that this version does not know; in sentences.
    pub warnings: Vec<String>,
}

impl RunRecords {
    /// Reads a run directory, finished or not.
    ///
    /// # Errors
    /// [`Error::NotARun`], [`Error::Newer`], or a manifest or journal that cannot be read at all.
    pub fn read(path: &Path) -> Result<Self, Error> {
        if !is_run(path) {
            return Err(Error::NotARun { path: path.to_owned() });
        }
        let (manifest, warnings) = read_manifest(path)?;
        let mut records = RunRecords {
            path: path.to_owned(),
            manifest,
            events: Vec::new(),
            measurements: Vec::new(),
            comparisons: Vec::new(),
            warnings,
        };
        records.events = records.read_rows(EVENTS)?;
        records.measurements = records.read_rows(MEASUREMENTS)?;
        records.comparisons = records.read_rows(COMPARISONS)?;
        Ok(records)
    }

    fn read_rows<T: Row>(&mut self, name: &str) -> Result<Vec<T>, Error> {
        let found = read_journal(&self.path.join(name))?;
        self.warnings.extend(found.warnings);
        Ok(current_rows(found.rows, &self.manifest.stage_keys()))
    }

    /// Names, in the run directory, of the files with texts side by side, in the order of the events.
    pub fn sample_files(&self) -> Vec<&str> {
        let samples = self.events.iter().filter(|event| event.kind == EventKind::Samples);
        samples.filter_map(|event| event.file.as_deref()).collect()
    }

    /// Stages that have a file with answers on the way of training, and its name in the run directory.
    pub fn training_sample_files(&self) -> Vec<(&str, &str)> {
        let samples = self.events.iter().filter(|event| event.kind == EventKind::TrainingSamples);
        samples.filter_map(|event| Some((event.stage.as_str(), event.file.as_deref()?))).collect()
    }

    /// The rows of a file with answers on the way of training.
    pub fn training_samples(&self, name: &str) -> Result<RowReader<TrainingSample>, Error> {
        RowReader::open(&crate::inside(&self.path, name)?)
    }

    /// The rows of a file with texts side by side.
    pub fn samples(&self, name: &str) -> Result<RowReader<Sample>, Error> {
        RowReader::open(&crate::inside(&self.path, name)?)
    }

    /// The rows of a file with the scores of items.
    pub fn items(&self, name: &str) -> Result<RowReader<Item>, Error> {
        RowReader::open(&crate::inside(&self.path, name)?)
    }
}
