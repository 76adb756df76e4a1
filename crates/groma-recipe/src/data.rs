//! Data names of a recipe: what the organism made, the two parts of the preference pairs, or a file.

use std::path::{Path, PathBuf};

use groma_align::read_findings;
use groma_data::{Shape, split, write_jsonl};
use groma_run::{Digest, Disk, Finding, Seed};

use crate::Error;
use crate::recipe::Reading;
use crate::said::read_as;
use crate::train::read_rows;

/// How stages name the model that the recipe begins with.
pub(crate) const BASE: &str = "base";
/// Names that no stage may have.
pub(crate) const RESERVED: [&str; 3] = [BASE, VILLAGE, PREFERENCES];
/// Prefix of files that the organism made.
pub(crate) const VILLAGE: &str = "village";
/// Where they are in a run directory.
pub(crate) const VILLAGE_DIRECTORY: &str = "village";
/// Prefix of the two parts of the preference pairs.
const PREFERENCES: &str = "preferences";
/// Where they are in a run directory.
pub(crate) const DATA_DIRECTORY: &str = "data";

/// A data name, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DataName<'a> {
    /// `village:train/texts`.
    Village(&'a str),
    /// `preferences:train` and `preferences:held_out`.
    Preferences(&'a str),
    /// Anything else: the rows of an earlier stage, a file, or a hub id.
    File(&'a str),
}

impl<'a> DataName<'a> {
    pub(crate) fn parse(name: &'a str) -> Result<Self, Error> {
        match name.split_once(':') {
            Some((VILLAGE, part)) => Ok(DataName::Village(part)),
            Some((PREFERENCES, part @ ("train" | "held_out"))) => Ok(DataName::Preferences(part)),
            Some((PREFERENCES, part)) => {
                let problem = format!("`{PREFERENCES}:{part}` is neither preferences:train nor preferences:held_out");
                Err(Error::Recipe { name: name.into(), problem })
            }
            _ => Ok(DataName::File(name)),
        }
    }
}

/// The file of one part of the preference pairs, relative to the run directory.
pub(crate) fn preferences_file(part: &str) -> String {
    format!("{DATA_DIRECTORY}/preferences-{part}.jsonl")
}

/// What splitting a preference file found.
pub(crate) struct SplitResult {
    pub(crate) train: usize,
    pub(crate) held_out: usize,
    /// How they were read, in a line.
    pub(crate) read: String,
    pub(crate) findings: Vec<Finding>,
}

/// Splits a preference file into two JSONL files, by prompt and seed.
///
/// Pairs whose sides are the same text teach nothing and cannot be measured; they are bad rows like any other.
pub(crate) fn split_preferences(
    file: &Path,
    reading: &Reading,
    held_out: f64,
    seed: Seed,
    into: &Path,
) -> Result<SplitResult, Error> {
    let rows = read_rows(file, &[Shape::Preference], None, seed, reading)?;
    let (read, findings) = (read_as(&rows), read_findings(&rows));
    let pairs = rows.rows;
    let parts = split(&pairs, held_out, seed)?;
    let (train, eval) = parts.apply(&pairs);
    std::fs::create_dir_all(into.join(DATA_DIRECTORY)).map_err(groma_run::Error::io("create", into))?;
    write_jsonl(&into.join(preferences_file("train")), &train)?;
    write_jsonl(&into.join(preferences_file("held_out")), &eval)?;
    Ok(SplitResult { train: train.len(), held_out: eval.len(), read, findings })
}

/// Writes rows that a stage leaves, whole or not at all.
pub(crate) fn write_rows(path: &Path, lines: &str) -> Result<(), Error> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(groma_run::Error::io("create", folder))?;
    }
    Ok(groma_run::atomic::write_file(&Disk::files(), path, lines.as_bytes())?)
}

/// A local file, or a directory of such, and the digest of its content.
pub(crate) struct DataFile {
    pub(crate) path: PathBuf,
    pub(crate) digest: Digest,
}

impl DataFile {
    pub(crate) fn new(path: PathBuf) -> Result<Self, Error> {
        let digest = Digest::of_path(&path)?;
        Ok(DataFile { path, digest })
    }
}
