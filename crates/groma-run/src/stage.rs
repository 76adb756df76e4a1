//! Stages keyed by what they read, so that running again does only what is missing.
//!
//! A stage that has ended leaves `stages/NAME.json` with its key, the digests of its outputs, and its result as JSON. It
//! counts as done for as long as the key is the same and the outputs are what they were.

use crate::digest::Hasher;
use crate::storage::Files;
use crate::{Digest, Error, atomic, limits, read};
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
}

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

    fn marker(&self, name: &str) -> PathBuf {
        self.root.join(crate::directory::STAGES).join(format!("{}.json", crate::file_name(name)))
    }

    /// The record of a stage that was done under this key and whose outputs are still what they were.
    pub(crate) fn done(&self, key: &StageKey) -> Result<Option<StageRecord>, Error> {
        let marker = self.marker(key.name());
        if !marker.exists() {
            return Ok(None);
        }
        // A marker or an output that cannot be read means the work is to be done again: that is always safe.
        let Ok(record) = read::read_json::<StageRecord>(&marker, limits::MANIFEST_BYTES) else { return Ok(None) };
        let same_work = record.key == key.digest() && record.stage == key.name();
        if !same_work || record.unanswered > 0 {
            return Ok(None);
        }
        for output in &record.outputs {
            let path = crate::inside(&self.root, &output.path)?;
            if !Digest::of_path(&path).is_ok_and(|digest| digest == output.digest) {
                return Ok(None);
            }
        }
        Ok(Some(record))
    }

    /// Notes that a stage has ended, with the digests of its outputs as they are now.
    pub(crate) fn finish(&self, key: &StageKey, done: Finished, at: Timestamp) -> Result<StageRecord, Error> {
        let mut outputs = Vec::new();
        for path in done.outputs {
            let digest = Digest::of_path(&crate::inside(&self.root, &path)?)?;
            outputs.push(Output { path, digest });
        }
        let record = StageRecord {
            stage: key.name().to_owned(),
            key: key.digest(),
            finished: at,
            seconds: done.seconds,
            tokens: done.tokens,
            outputs,
            result: done.result,
            unanswered: done.unanswered,
        };
        atomic::write_json(&self.files, &self.marker(key.name()), &record)?;
        Ok(record)
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
    /// What later stages want to know of it.
    pub result: Value,
    /// Things that got no answer for the moment.
    pub unanswered: u64,
}
