//! Whether all of a run is what was written: without holding or changing it.

use crate::directory::{is_run, read_manifest};
use crate::journal::{Tallies, read_journal};
use crate::layout::{COMPARISONS, EVENTS, LOCK, MANIFEST, MEASUREMENTS, STAGES};
use crate::stage::StageRecord;
use crate::standing::flaws;
use crate::{Comparison, Error, Event, Manifest, Measurement, Status, atomic, lock, survey};
use std::path::Path;

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verification {
    /// Stages whose records, rows and outputs were held against each other.
    pub stages: usize,
    /// What is not as it was written.
    pub problems: Vec<Problem>,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// A file in the run directory, or a stage.
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

impl Verification {
    fn add(&mut self, place: &str, what: impl Into<String>) {
        self.problems.push(Problem { place: place.to_owned(), what: what.into() });
    }
}

/// Verifies a run directory: that nothing in it leads out, manifest and records by their seals, rows of journals and outputs of
/// stages by their digests.
///
/// # Errors
/// [`Error::NotARun`] where there is none, [`Error::InUse`] where a process works in it; and where it cannot be read at all.
pub fn verify_run(path: &Path) -> Result<Verification, Error> {
    if !is_run(path) && !path.join(STAGES).is_dir() {
        return Err(Error::NotARun { path: path.to_owned() });
    }
    if let Some(holder) = lock::held_by(&path.join(LOCK)) {
        return Err(Error::InUse { path: path.to_owned(), holder });
    }
    let mut found = Verification::default();
    let directories = match survey::directories(path) {
        Ok(directories) => directories,
        Err(error @ (Error::NotFollowed { .. } | Error::Corrupt { .. })) => {
            found.add(".", error.to_string());
            return Ok(found);
        }
        Err(error) => return Err(error),
    };
    for directory in directories {
        for leftover in atomic::leftover_names(&directory)? {
            let place = directory.join(leftover);
            let place = place.strip_prefix(path).unwrap_or(&place).display().to_string();
            found.add(&place, "was left by a process that was killed; the next start clears it");
        }
    }
    let manifest = manifest(path, &mut found)?;
    journal::<Measurement>(path, MEASUREMENTS, &mut found)?;
    journal::<Comparison>(path, COMPARISONS, &mut found)?;
    journal::<Event>(path, EVENTS, &mut found)?;
    let tallies = Tallies::read(path)?;
    for (name, record) in records(path, manifest.as_ref(), &mut found)? {
        found.stages += 1;
        for flaw in flaws(path, &record, &tallies) {
            found.add(&format!("stage {name}"), flaw.words());
        }
    }
    Ok(found)
}

fn manifest(path: &Path, found: &mut Verification) -> Result<Option<Manifest>, Error> {
    if !is_run(path) {
        found.add(MANIFEST, "is missing");
        return Ok(None);
    }
    match read_manifest(path) {
        Ok((manifest, warnings)) => {
            warnings.iter().for_each(|warning| found.add(MANIFEST, warning));
            Ok(Some(manifest))
        }
        Err(error @ (Error::Corrupt { .. } | Error::TooLarge { .. })) => {
            found.add(MANIFEST, error.to_string());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn journal<T: serde::de::DeserializeOwned>(path: &Path, name: &str, found: &mut Verification) -> Result<(), Error> {
    let rows = read_journal::<T>(&path.join(name))?;
    rows.warnings.iter().for_each(|warning| found.add(name, warning));
    Ok(())
}

/// The records of the stages that the manifest has as ended; all that are there, where there is no manifest to go by.
fn records(
    path: &Path,
    manifest: Option<&Manifest>,
    found: &mut Verification,
) -> Result<Vec<(String, StageRecord)>, Error> {
    let mut records = Vec::new();
    let Some(manifest) = manifest else {
        for entry in std::fs::read_dir(path.join(STAGES)).into_iter().flatten().flatten() {
            match StageRecord::read(&entry.path()) {
                Ok(record) => records.push((record.stage.clone(), record)),
                Err(error) => found.add(&format!("{STAGES}/{}", entry.file_name().display()), error.to_string()),
            }
        }
        return Ok(records);
    };
    let ended = |status: Status| matches!(status, Status::Done | Status::Reused);
    for stage in manifest.stages.iter().filter(|stage| ended(stage.status)) {
        let place = format!("stage {}", stage.name);
        match StageRecord::read(&StageRecord::place(path, &stage.name)) {
            Ok(record) if record.key != stage.key => {
                found.add(&place, "its record is of other work than the manifest's");
            }
            Ok(record) => records.push((stage.name.clone(), record)),
            Err(error) => found.add(&place, error.to_string()),
        }
    }
    Ok(records)
}
