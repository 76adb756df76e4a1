//! The records of a run's stages on disk.

use crate::journal::{StageRows, Tallies};
use crate::stage::{Finished, Output, StageKey, StageRecord};
use crate::standing::{Flaw, Standing, flaws};
use crate::storage::Files;
use crate::{Error, atomic, seal};
use jiff::Timestamp;
use std::path::{Path, PathBuf};

/// The store of a run's stages.
#[derive(Clone, Debug)]
pub(crate) struct StageStore {
    files: Files,
    root: PathBuf,
}

impl StageStore {
    pub(crate) fn new(files: &Files, root: &Path) -> Self {
        StageStore { files: files.clone(), root: root.to_owned() }
    }

    /// How a stage stands whose rows are among `found`. Where all files of a directory are what they were, its damaged list of
    /// digests is written anew.
    pub(crate) fn standing(&self, key: &StageKey, found: &Tallies) -> Result<Standing, Error> {
        let place = StageRecord::place(&self.root, key.name());
        if place.symlink_metadata().is_err() {
            return Ok(Standing::Open);
        }
        // A record or an output that cannot be read means the work is to be done again: that is always safe.
        let record = match StageRecord::read(&place) {
            Ok(record) => record,
            Err(error) => return Ok(Standing::Damaged(error.to_string())),
        };
        let same_work = record.key == key.digest() && record.stage == key.name();
        if !same_work || record.unanswered > 0 {
            return Ok(Standing::Open);
        }
        let flaws = flaws(&self.root, &record, found);
        if let Some(lost) = flaws.iter().find(|flaw| matches!(flaw, Flaw::Lost(_))) {
            return Ok(Standing::Damaged(lost.words().to_owned()));
        }
        for output in record.outputs.iter().filter(|_| flaws.iter().any(|flaw| matches!(flaw, Flaw::Marker(_)))) {
            if output.marker.is_some() {
                atomic::mark(&self.files, &crate::inside(&self.root, &output.path)?)?;
            }
        }
        let told = flaws.iter().map(|flaw| match flaw {
            Flaw::Marker(words) => format!("{words}; it was written anew, as the files are whole"),
            flaw => flaw.words().to_owned(),
        });
        let told = told.collect();
        Ok(Standing::Done(Box::new(record), told))
    }

    /// Notes that a stage has ended, with the digests of its outputs as they are now.
    pub(crate) fn finish(
        &self,
        key: &StageKey,
        done: Finished,
        rows: StageRows,
        at: Timestamp,
    ) -> Result<StageRecord, Error> {
        let outputs = done.outputs.into_iter().map(|path| Output::of(&self.root, path));
        let outputs = outputs.collect::<Result<_, Error>>()?;
        let record = StageRecord {
            stage: key.name().to_owned(),
            key: key.digest(),
            finished: at,
            seconds: done.seconds,
            tokens: done.tokens,
            outputs,
            rows,
            kernels: done.kernels,
            result: done.result,
            unanswered: done.unanswered,
        };
        seal::write(&self.files, &StageRecord::place(&self.root, key.name()), &record)?;
        Ok(record)
    }
}
