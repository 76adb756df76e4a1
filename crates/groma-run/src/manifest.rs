//! `manifest.json`: what was run, on what, with which result.

use crate::{Clock, Digest, Machine};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// The format of a run directory that this version writes, and the latest that it reads.
pub const FORMAT: u32 = 1;

/// What was run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Format of the run directory.
    pub format: u32,
    /// Version of groma.
    pub groma: String,
    /// Name of the run.
    pub name: String,
    /// The command line, one argument an entry; secrets do not belong here.
    pub command: Vec<String>,
    /// The resolved configuration, defaults included.
    pub config: Value,
    /// The seed of the run.
    pub seed: u64,
    /// Further seeds, where parts were given their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub seeds: BTreeMap<String, u64>,
    /// How the run stands.
    pub status: Status,
    /// When it was first started.
    pub started: Timestamp,
    /// When it ended; for a resumed run, the last time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
    /// How often it was resumed.
    #[serde(default)]
    pub resumed: u32,
    /// What it read: models, tokenizers, chat templates, data.
    #[serde(default)]
    pub inputs: Vec<Input>,
    /// The machine.
    #[serde(default)]
    pub machine: Machine,
    /// The kernels used and their precision, such as `cpu avx512` or `cpu amx-bf16 bf16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kernels: Option<String>,
    /// Its stages, in order.
    #[serde(default)]
    pub stages: Vec<StageEntry>,
    /// What the reader should know about the whole, in sentences.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// Why it failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// How a run or a stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Not begun.
    Planned,
    /// Begun; where no process holds the run, it was killed.
    Running,
    /// Whole.
    Done,
    /// Taken over whole from an earlier start.
    Reused,
    /// Left out, as the configuration or a condition has it.
    Skipped,
    /// Stopped by the user, and resumable.
    Interrupted,
    /// Stopped by an error.
    Failed,
}

/// Something that a run read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// What it served as: `model`, `tokenizer`, `chat template`, `preferences`, `evaluation data` ...
    pub role: String,
    /// As the user named it: a path, a hub id, a built-in's name.
    pub name: String,
    /// The pinned revision of a hub id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// Digest of its content.
    pub digest: Digest,
    /// Its size, where that says something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// What else is to be known: rows, the split, the licence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A stage of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageEntry {
    /// Its name, unique in the run.
    pub name: String,
    /// Digest of everything that it reads; see [`crate::StageKey`].
    pub key: Digest,
    /// How it stands.
    pub status: Status,
    /// How long it took when it was last really run.
    #[serde(default)]
    pub seconds: f64,
    /// Tokens that it worked through.
    #[serde(default)]
    pub tokens: u64,
}

impl Manifest {
    /// The manifest of a run that starts now.
    pub fn new(name: &str, command: Vec<String>, config: Value, seed: u64, threads: usize, clock: &dyn Clock) -> Self {
        Manifest {
            format: FORMAT,
            groma: env!("CARGO_PKG_VERSION").to_owned(),
            name: name.to_owned(),
            command,
            config,
            seed,
            seeds: BTreeMap::new(),
            status: Status::Running,
            started: clock.now(),
            finished: None,
            resumed: 0,
            inputs: Vec::new(),
            machine: Machine::describe(threads),
            kernels: None,
            stages: Vec::new(),
            notes: Vec::new(),
            error: None,
        }
    }

    /// Enters a stage, or replaces the entry of that name in its place.
    pub fn set_stage(&mut self, entry: StageEntry) {
        match self.stages.iter_mut().find(|stage| stage.name == entry.name) {
            Some(stage) => *stage = entry,
            None => self.stages.push(entry),
        }
    }

    /// Enters an input, or replaces the one of that role and name.
    pub fn set_input(&mut self, input: Input) {
        match self.inputs.iter_mut().find(|known| known.role == input.role && known.name == input.name) {
            Some(known) => *known = input,
            None => self.inputs.push(input),
        }
    }

    /// The stages' current keys, by name, in the short form that rows carry.
    pub fn stage_keys(&self) -> BTreeMap<String, String> {
        self.stages.iter().map(|stage| (stage.name.clone(), stage.key.short())).collect()
    }
}
