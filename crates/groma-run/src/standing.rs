//! Whether what an ended stage left is still what it was.

use crate::Digest;
use crate::atomic::verify_directory;
use crate::journal::{Tallies, Tally};
use crate::listing::MARKER;
use crate::stage::{Output, StageRecord};
use std::path::Path;

/// How a stage stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Standing {
    /// It was done under this key, and all that it left is what it was; with what is to be told nevertheless.
    Done(Box<StageRecord>, Vec<String>),
    /// It was not done under this key.
    Open,
    /// It was done under this key, and what it left is not what it was: how, in words.
    Damaged(String),
}

impl Standing {
    /// The record of a stage that need not be done again.
    pub fn done(self) -> Option<StageRecord> {
        if let Standing::Done(record, _) = self { Some(*record) } else { None }
    }
}

/// Something that is not what a stage left.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Flaw {
    /// The stage is to be done again.
    Lost(String),
    /// Of a directory whose files are all there, the list of their digests.
    Marker(String),
    /// Events: nothing rests on them but what pages show.
    Events(String),
}

impl Flaw {
    pub(crate) fn words(&self) -> &str {
        let (Flaw::Lost(words) | Flaw::Marker(words) | Flaw::Events(words)) = self;
        words
    }
}

/// Holds what is there against a record.
pub(crate) fn flaws(root: &Path, record: &StageRecord, found: &Tallies) -> Vec<Flaw> {
    let mut flaws: Vec<Flaw> = record.outputs.iter().filter_map(|output| flaw_of_output(root, output)).collect();
    let origin = (record.stage.clone(), record.key.short());
    let journals = [
        ("measurements", record.rows.measurements, found.measurements.get(&origin)),
        ("comparisons", record.rows.comparisons, found.comparisons.get(&origin)),
        ("events", record.rows.events, found.events.get(&origin)),
    ];
    for (name, written, found) in journals {
        let found = found.copied().unwrap_or_default();
        if let Some(words) = difference(name, written, found) {
            flaws.push(if name == "events" { Flaw::Events(words) } else { Flaw::Lost(words) });
        }
    }
    flaws
}

fn difference(name: &str, written: Tally, found: Tally) -> Option<String> {
    match written == found {
        true => None,
        false if written.rows != found.rows => {
            Some(format!("of its {} {name} {} are in {name}.jsonl", written.rows, found.rows))
        }
        false => Some(format!("its {name} in {name}.jsonl are not what it wrote")),
    }
}

fn flaw_of_output(root: &Path, output: &Output) -> Option<Flaw> {
    let lost = |why: String| Some(Flaw::Lost(format!("{} {why}", output.path)));
    let path = match crate::inside(root, &output.path) {
        Ok(path) => path,
        Err(error) => return Some(Flaw::Lost(error.to_string())),
    };
    if !path.exists() {
        return lost("is missing".into());
    }
    match Digest::of_path(&path) {
        Err(error) => return lost(format!("cannot be read: {error}")),
        Ok(digest) if digest != output.digest => return lost("is not what it left".into()),
        Ok(_) => {}
    }
    match output.marker {
        Some(marker) if !Digest::of_file(&path.join(MARKER)).is_ok_and(|digest| digest == marker) => {
            let why = verify_directory(&path).map_or_else(|error| error.to_string(), |_| "it was changed".into());
            Some(Flaw::Marker(format!("{}/{MARKER}: {why}", output.path)))
        }
        _ => None,
    }
}
