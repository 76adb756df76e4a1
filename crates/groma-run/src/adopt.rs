//! Taking over what another run has done.

use crate::atomic::{AtomicDirectory, AtomicFile, create_parents};
use crate::directory::RunDirectory;
use crate::journal::{Tallies, read_journal};
use crate::layout::{COMPARISONS, EVENTS, MEASUREMENTS};
use crate::listing::files_below;
use crate::stage::{Finished, Output, StageKey, StageRecord};
use crate::standing::{Flaw, flaws};
use crate::storage::Files;
use crate::{Comparison, Error, Event, Measurement, read, survey};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// A stage that another run has done, all of it whole.
struct Elsewhere {
    record: StageRecord,
    measurements: Vec<Measurement>,
    comparisons: Vec<Comparison>,
    events: Vec<Event>,
}

impl RunDirectory {
    /// Takes over a stage that the run in `from` has done under the same key, if what it left is whole and `accepts` its
    /// record: its rows, and copies of its outputs, to where `place` has them here. `from` may be this run itself, where an
    /// output has come to belong elsewhere.
    ///
    /// # Errors
    /// Those of writing. A run that cannot be read has nothing to take over.
    pub fn adopt(
        &self,
        key: &StageKey,
        from: &Path,
        accepts: &dyn Fn(&StageRecord) -> bool,
        place: &dyn Fn(&str) -> String,
    ) -> Result<Option<StageRecord>, Error> {
        let Some(found) = Elsewhere::find(key, from).filter(|found| accepts(&found.record)) else { return Ok(None) };
        let mut outputs = Vec::new();
        for output in &found.record.outputs {
            let name = place(&output.path);
            let (source, target) = (crate::inside(from, &output.path)?, self.inside(&name)?);
            if source != target {
                create_parents(self.files(), &target, self.path())?;
                copy(self.files(), &source, &target)?;
            }
            outputs.push(name);
        }
        self.enter_rows(key, &found.measurements, &found.comparisons, &found.events)?;
        let StageRecord { seconds, tokens, kernels, result, unanswered, .. } = found.record;
        self.finish_stage(key, Finished { seconds, tokens, outputs, kernels, result, unanswered }).map(Some)
    }
}

impl Elsewhere {
    fn find(key: &StageKey, from: &Path) -> Option<Self> {
        let place = StageRecord::place(from, key.name());
        let record = StageRecord::read(&place).ok()?;
        if record.key != key.digest() || record.stage != key.name() || record.unanswered > 0 {
            return None;
        }
        // Nothing is followed out of it.
        survey::directories(from).ok()?;
        let lost = |flaw: &Flaw| matches!(flaw, Flaw::Lost(_));
        if flaws(from, &record, &Tallies::read(from).ok()?).iter().any(lost) {
            return None;
        }
        let (stage, short) = (record.stage.clone(), record.key.short());
        let own = |of: &str, by: &str| of == stage && by == short;
        let mut measurements = read_journal::<Measurement>(&from.join(MEASUREMENTS)).ok()?.rows;
        let mut comparisons = read_journal::<Comparison>(&from.join(COMPARISONS)).ok()?.rows;
        let mut events = read_journal::<Event>(&from.join(EVENTS)).ok()?.rows;
        measurements.retain(|row| own(&row.stage, &row.stage_key));
        comparisons.retain(|row| own(&row.stage, &row.stage_key));
        events.retain(|row| own(&row.stage, &row.stage_key));
        Some(Elsewhere { record, measurements, comparisons, events })
    }
}

/// Copies a file or a directory; it is there whole, or not at all.
fn copy(files: &Files, source: &Path, target: &Path) -> Result<(), Error> {
    let copied = |from: &PathBuf, to: &mut dyn Write| {
        let mut file = read::open_own(from).map_err(Error::io("open", from))?;
        io::copy(&mut file, to).map(|_| ()).map_err(Error::io("copy", from))
    };
    if !source.is_dir() {
        let mut file = AtomicFile::create(files, target)?;
        copied(&source.to_owned(), &mut file)?;
        return file.commit();
    }
    let mut directory = AtomicDirectory::create_on(files, target)?;
    for name in files_below(source)? {
        let mut file = directory.file(&name)?;
        copied(&source.join(&name), &mut file)?;
        file.finish()?;
    }
    directory.commit()
}

impl StageRecord {
    /// Whether all that it left lies where `place` has it.
    pub fn is_in_place(&self, place: &dyn Fn(&str) -> String) -> bool {
        self.outputs.iter().all(|Output { path, .. }| place(path) == *path)
    }
}
