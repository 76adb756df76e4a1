//! Stages keyed by what they read, so that running again does only what is missing.
//!
//! A stage that has ended leaves `stages/NAME.json` with its key, the digests of its outputs, and its result as JSON. It
//! counts as done for as long as the key is the same and the record, the outputs and the rows in the journals are what they were.

use crate::digest::Hasher;
use crate::journal::StageRows;
use crate::layout::STAGES;
use crate::listing::MARKER;
use crate::seal::{self, Seal};
use crate::{Digest, Error, limits, read};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Builds the key of a stage: the digest of its name, its code's version, its configuration and its inputs.
#[derive(Clone, Debug)]
pub struct StageKey {
    name: String,
    hasher: Hasher,
}

impl StageKey {
    /// The key of the stage `name`. `version` is raised whenever its code comes to give other results.
    pub fn new(name: &str, version: u32) -> Self {
        let mut hasher = Hasher::default();
        hasher.part(name.as_bytes());
        hasher.part(&version.to_le_bytes());
        StageKey { name: name.to_owned(), hasher }
    }

    /// Adds the part of the configuration that the stage reads; the order of fields does not matter.
    ///
    /// # Errors
    /// The configuration cannot be written as JSON.
    pub fn config(mut self, config: &impl Serialize) -> Result<Self, Error> {
        let encode = |source| Error::Encode { path: PathBuf::from(&self.name), source };
        let digest = Digest::of_json(config).map_err(encode)?;
        self.hasher.part(b"config");
        self.hasher.part(digest.as_bytes());
        Ok(self)
    }

    /// Adds an input, such as a model, a data set, or the key of an earlier stage.
    pub fn input(mut self, role: &str, digest: Digest) -> Self {
        self.hasher.part(b"input");
        self.hasher.part(role.as_bytes());
        self.hasher.part(digest.as_bytes());
        self
    }

    /// The stage's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    pub fn digest(&self) -> Digest {
        self.hasher.finish()
    }
}

/// What a stage left when it ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The stage's name.
    pub stage: String,
    /// Its key.
    pub key: Digest,
    /// When it ended.
    pub finished: Timestamp,
    /// How long it took.
    pub seconds: f64,
    /// Tokens that it worked through.
    pub tokens: u64,
    /// Its files and directories, relative to the run directory.
    pub outputs: Vec<Output>,
    /// Its rows in the journals.
    pub rows: StageRows,
    /// What it computed with, such as `cpu avx512`; more than one where it was resumed on another machine, none where nothing
    /// of it depends on that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kernels: Vec<String>,
    /// What later stages want to know of it.
    #[serde(default)]
    pub result: Value,
    /// Things that got no answer for the moment: with any, the stage is done again at the next start.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub unanswered: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// A file or directory that a stage left.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Output {
    /// Its name in the run directory.
    pub path: String,
    /// The digest of its content; see [`Digest::of_path`].
    pub digest: Digest,
    /// Of a directory that was written whole, the digest of its list of digests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub marker: Option<Digest>,
}

impl Output {
    /// What lies at a name in a run directory.
    pub(crate) fn of(root: &Path, path: String) -> Result<Self, Error> {
        let found = crate::inside(root, &path)?;
        let marker = found.join(MARKER);
        let marker = marker.is_file().then(|| Digest::of_file(&marker)).transpose()?;
        Ok(Output { digest: Digest::of_path(&found)?, path, marker })
    }
}

impl StageRecord {
    /// Where the record of a stage lies in a run directory.
    pub(crate) fn place(root: &Path, stage: &str) -> PathBuf {
        root.join(STAGES).join(format!("{}.json", crate::file_name(stage)))
    }

    /// Reads a record.
    ///
    /// # Errors
    /// [`Error::Corrupt`] where it is not what was written.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let corrupt = |reason: String| Error::Corrupt { path: path.to_owned(), reason };
        let text = read::read_own(path, limits::MANIFEST_BYTES)?;
        match seal::open(&text).map_err(|error| corrupt(error.to_string()))? {
            (value, Seal::Whole) => serde_json::from_value(value).map_err(|error| corrupt(error.to_string())),
            _ => Err(corrupt("its seal does not fit: it was changed".into())),
        }
    }
}

/// What a stage says of itself when it ends.
#[derive(Clone, Debug, Default)]
pub struct Finished {
    /// How long it took.
    pub seconds: f64,
    /// Tokens that it worked through.
    pub tokens: u64,
    /// Names of its files and directories in the run directory.
    pub outputs: Vec<String>,
    /// What it computed with, where its results depend on that.
    pub kernels: Vec<String>,
    /// What later stages want to know of it.
    pub result: Value,
    /// Things that got no answer for the moment.
    pub unanswered: u64,
}
