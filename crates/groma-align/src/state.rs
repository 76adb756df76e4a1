//! Checkpoints of a run in the making: all that a resumed run needs to give the same bits.
//!
//! A checkpoint is a directory `step-00000012`, written whole or not at all: `state.json` (step, counters, accumulators,
//! digests of what the run depends on, the method's own state, and what was sampled and is still learned from),
//! `weights.safetensors` (parameters that train, and copies of heads that follow them; those of a critic of its own as `critic.NAME`,
//! of a copy that lags behind as `lagged.NAME`, all of a reference that moves as `reference.NAME`), `moments.safetensors` (both moments,
//! as `m.NAME` and `v.NAME`). What a method adds up over the whole run lies beside all checkpoints (see [`crate::journal`]), and
//! `state.json` says how much of it counts.
//! The data position is the step itself: the order of rows is a function of seed and step.

use crate::alarms::Watched;
use crate::group::Group;
use crate::journal::Mark;
use crate::{Error, Metrics, Settings, moving};
use groma_kernels::{Backend, Buffer, ParameterId};
use groma_model::training::{Moments, Optimizer, write_tensors};
use groma_model::{SafetensorsFile, Transformer};
use groma_run::atomic::{AtomicDirectory, MARKER, verify_directory};
use groma_run::{Digest, Files, number, read_json};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Version of the layout.
const FORMAT: u32 = 2;
const STATE: &str = "state.json";
const WEIGHTS: &str = "weights.safetensors";
const MOMENTS: &str = "moments.safetensors";
const PREFIX: &str = "step-";
/// What names of a lagged copy's weights begin with.
const LAGGED: &str = "lagged.";
/// Largest `state.json` that is read, in bytes.
const STATE_BYTES_LIMIT: u64 = 1 << 30;

/// What a run depends on: a checkpoint of another one is refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) method: String,
    pub(crate) settings: Digest,
    /// Their values, to name what differs.
    #[serde(default)]
    pub(crate) values: Map<String, Value>,
    pub(crate) model: Digest,
    pub(crate) data: Digest,
    pub(crate) tokenizer: Digest,
    pub(crate) precision: String,
    /// The kernels of the steps up to it, such as `cpu avx512`: bits of products depend on their instructions.
    #[serde(default)]
    pub(crate) kernels: String,
    /// Of models that fill roles.
    #[serde(default)]
    pub(crate) roles: Option<Digest>,
}

/// Counters and accumulators.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) format: u32,
    pub(crate) identity: Identity,
    /// Optimizer steps done.
    pub(crate) step: u64,
    /// All optimizer steps that there are to be.
    #[serde(default)]
    pub(crate) total_steps: u64,
    /// Epochs done.
    pub(crate) epoch: f64,
    /// Seed of order, adapter and dropout.
    pub(crate) seed: u64,
    /// Tokens seen.
    pub(crate) num_tokens: u64,
    /// Metrics since the last log.
    pub(crate) metrics: Metrics,
    /// Sum of the losses of all steps.
    pub(crate) loss_sum: f64,
    /// What the method carries from step to step.
    #[serde(default)]
    pub(crate) objective: Value,
    /// How much of the journal counts.
    #[serde(default)]
    pub(crate) journal: Mark,
    /// What was sampled and is still learned from.
    #[serde(default)]
    pub(crate) collection: Option<Collection>,
    /// The metrics that were logged last, and those of held-out rows.
    #[serde(default, with = "number::map")]
    pub(crate) logged: BTreeMap<String, f64>,
    #[serde(default, with = "number::map")]
    pub(crate) evaluated: BTreeMap<String, f64>,
    /// What watches have seen.
    #[serde(default)]
    pub(crate) watched: Watched,
    /// All kernels that steps up to it were computed with.
    #[serde(default)]
    pub(crate) all_kernels: Vec<String>,
}

/// What steps learn from that lie on both sides of a checkpoint.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Collection {
    pub(crate) groups: Vec<Group>,
}

impl State {
    pub(crate) fn new(identity: Identity, seed: u64) -> Self {
        let metrics = Metrics::default();
        let all_kernels = vec![identity.kernels.clone()];
        State {
            format: FORMAT,
            identity,
            step: 0,
            total_steps: 0,
            epoch: 0.0,
            seed,
            num_tokens: 0,
            metrics,
            loss_sum: 0.0,
            objective: Value::Null,
            journal: Mark::default(),
            collection: None,
            logged: BTreeMap::new(),
            evaluated: BTreeMap::new(),
            watched: Watched::default(),
            all_kernels,
        }
    }
}

/// A model that changes in a run: it trains, with its optimizer, or follows one that does.
pub(crate) struct Changing<'a> {
    /// What its parameters' names begin with, beside those of the policy.
    pub(crate) prefix: &'static str,
    pub(crate) model: &'a mut Transformer,
    pub(crate) optimizer: Option<&'a mut Optimizer>,
}

/// Where checkpoints lie, and how many are kept.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoints {
    pub(crate) directory: PathBuf,
    pub(crate) files: Files,
    pub(crate) keep: usize,
}

impl Checkpoints {
    /// Writes a checkpoint, reads it back, and removes the oldest beyond the limit: never the one just verified.
    pub(crate) fn save(
        &self,
        state: &State,
        changing: &[Changing<'_>],
        lagged: Option<&Transformer>,
        backend: &dyn Backend,
    ) -> Result<PathBuf, Error> {
        let path = self.directory.join(format!("{PREFIX}{:08}", state.step));
        let mut target = AtomicDirectory::create_on(&self.files, &path)?;
        let json = serde_json::to_vec_pretty(state).map_err(|source| Error::Encode { what: STATE, source })?;
        target.write(STATE, &json)?;
        let weights = changing.iter().flat_map(Changing::weights);
        let copied = changing.first().into_iter().zip(lagged).flat_map(|(policy, copy)| policy.copied(copy));
        write_tensors(&mut target, WEIGHTS, backend, &weights.chain(copied).collect::<Vec<_>>())?;
        write_tensors(&mut target, MOMENTS, backend, &changing.iter().flat_map(Changing::moments).collect::<Vec<_>>())?;
        target.commit()?;
        verify_directory(&path)?;
        self.remove_old()?;
        Ok(path)
    }

    fn remove_old(&self) -> Result<(), Error> {
        let all = self.list();
        for (_, path) in all.iter().rev().skip(self.keep.max(1)) {
            self.files.remove_directory(path).map_err(groma_run::Error::io("remove", path))?;
        }
        Ok(())
    }

    /// Checkpoints that were committed, oldest first.
    pub(crate) fn list(&self) -> Vec<(u64, PathBuf)> {
        let entries = std::fs::read_dir(&self.directory).into_iter().flatten().flatten();
        let mut found: Vec<(u64, PathBuf)> = entries
            .filter_map(|entry| {
                let step = entry.file_name().to_str()?.strip_prefix(PREFIX)?.parse().ok()?;
                entry.path().join(MARKER).exists().then(|| (step, entry.path()))
            })
            .collect();
        found.sort();
        found
    }

    /// The latest checkpoint that reads back whole; damaged ones are passed over.
    pub(crate) fn latest(&self) -> Option<PathBuf> {
        self.list().into_iter().rev().map(|(_, path)| path).find(|path| verify_directory(path).is_ok())
    }

    /// Whether the latest checkpoint is that of the last step.
    pub(crate) fn has_ended(&self) -> bool {
        let state = self.latest().and_then(|path| read_json::<State>(&path.join(STATE), STATE_BYTES_LIMIT).ok());
        state.is_some_and(|state| state.step > 0 && state.step == state.total_steps)
    }

    /// Puts a checkpoint's weights and moments in their places; one of other instructions only `across_machines`.
    ///
    /// # Errors
    /// [`Error::Resume`] if it belongs to another run, [`Error::OtherKernels`] if to another machine's, [`Error::Checkpoint`] if it does not fit the model.
    pub(crate) fn load(
        &self,
        path: &Path,
        (identity, settings): (&Identity, &Settings),
        across_machines: bool,
        changing: &mut [Changing<'_>],
    ) -> Result<State, Error> {
        let mut state: State = read_json(&path.join(STATE), STATE_BYTES_LIMIT)?;
        if state.format > FORMAT {
            let (path, found) = (path.join(STATE), state.format);
            return Err(groma_run::Error::Newer { path, found, known: FORMAT }.into());
        }
        check_identity(path, [&state.identity, identity], settings)?;
        if state.identity.kernels != identity.kernels {
            let (path, found, here) = (path.to_owned(), state.identity.kernels.clone(), identity.kernels.clone());
            if !across_machines {
                return Err(Error::OtherKernels { path, found, here });
            }
            if !state.all_kernels.contains(&here) {
                state.all_kernels.push(here);
            }
        }
        state.identity = identity.clone();
        let mut weights = SafetensorsFile::open(&path.join(WEIGHTS))?;
        let mut moments = SafetensorsFile::open(&path.join(MOMENTS))?;
        for model in changing {
            model.load(path, &mut weights, &mut moments)?;
        }
        Ok(state)
    }
}

/// The copy of a policy that lags behind, out of a checkpoint; the policy is as it was.
///
/// # Errors
/// [`Error::Checkpoint`] if what is there does not fit.
pub(crate) fn lagged(path: &Path, policy: &mut Transformer) -> Result<Transformer, Error> {
    let mut weights = SafetensorsFile::open(&path.join(WEIGHTS))?;
    let backend = policy.backend().clone();
    let read = |id: ParameterId| {
        let parameter = policy.parameters().get(id);
        let values = values(path, &mut weights, &format!("{LAGGED}{}", parameter.name), parameter.len())?;
        Ok(backend.upload(&values))
    };
    let then = policy.parameters().trainable().into_iter().map(read).collect::<Result<Vec<_>, Error>>()?;
    let now = swap(policy, then)?;
    let copy = policy.frozen_copy();
    swap(policy, now)?;
    Ok(copy)
}

/// Puts buffers in the place of those that train, and gives these back.
fn swap(policy: &mut Transformer, mut with: Vec<Buffer>) -> Result<Vec<Buffer>, Error> {
    for (id, other) in policy.parameters().trainable().into_iter().zip(&mut with) {
        let parameter = policy.parameters_mut().get_mut(id);
        let name = parameter.name.clone();
        std::mem::swap(parameter.buffer_mut().ok_or(groma_model::Error::ParameterHeld { name })?, other);
    }
    Ok(with)
}

impl Changing<'_> {
    /// Of a copy of the model, what trains in the model.
    fn copied<'c>(&self, copy: &'c Transformer) -> Vec<(String, &'c Buffer)> {
        let of = |id: ParameterId| copy.parameters().get(id);
        let trainable = self.model.parameters().trainable();
        trainable.into_iter().map(|id| (format!("{LAGGED}{}", of(id).name), of(id).buffer())).collect()
    }

    fn load(&mut self, path: &Path, weights: &mut SafetensorsFile, moments: &mut SafetensorsFile) -> Result<(), Error> {
        let (model, prefix) = (&mut *self.model, self.prefix);
        let backend = model.backend().clone();
        let Some(optimizer) = &mut self.optimizer else {
            return moving::replace(model, &mut |name, held| {
                values(path, weights, &format!("{prefix}{name}"), held.len())
            });
        };
        for id in kept(model) {
            let parameter = model.parameters_mut().get_mut(id);
            let name = format!("{prefix}{}", parameter.name);
            let target =
                parameter.buffer_mut().ok_or_else(|| groma_model::Error::ParameterHeld { name: name.clone() })?;
            *target = backend.upload(&values(path, weights, &name, target.len())?);
            if let Some(state) = optimizer.moments.get_mut(&id) {
                for (kind, target) in [("m", &mut state.m), ("v", &mut state.v)] {
                    let read = values(path, moments, &format!("{kind}.{name}"), target.len())?;
                    *target = backend.upload(&read);
                }
            }
        }
        model.freeze();
        Ok(())
    }

    fn weights(&self) -> Vec<(String, &Buffer)> {
        let parameters = self.model.parameters();
        let all = match self.optimizer {
            Some(_) => kept(self.model),
            None => parameters.iter().map(|(id, _)| id).collect(),
        };
        let named =
            |id: ParameterId| (format!("{}{}", self.prefix, parameters.get(id).name), parameters.get(id).buffer());
        all.into_iter().map(named).collect()
    }

    fn moments(&self) -> Vec<(String, &Buffer)> {
        let name = |id: ParameterId| format!("{}{}", self.prefix, self.model.parameters().get(id).name);
        let moments = self.optimizer.iter().flat_map(|optimizer| &optimizer.moments);
        let moments = moments.map(|(&id, moments)| (name(id), moments));
        moments.flat_map(|(name, Moments { m, v })| [(format!("m.{name}"), m), (format!("v.{name}"), v)]).collect()
    }
}

/// What changes of a model that trains: what its optimizer has, and copies of heads that follow these.
fn kept(model: &Transformer) -> Vec<ParameterId> {
    let copies = model.copied_parameters().into_iter().map(|(copy, _)| copy);
    model.parameters().trainable().into_iter().chain(copies).collect()
}

fn check_identity(path: &Path, [found, expected]: [&Identity; 2], settings: &Settings) -> Result<(), Error> {
    let [settings_found, settings_expected] = differing([found, expected], settings);
    let fields = [
        ("method", found.method.clone(), expected.method.clone()),
        ("model", found.model.short(), expected.model.short()),
        ("data", found.data.short(), expected.data.short()),
        ("tokenizer", found.tokenizer.short(), expected.tokenizer.short()),
        ("settings", settings_found, settings_expected),
        ("precision", found.precision.clone(), expected.precision.clone()),
        ("roles", roles(found), roles(expected)),
    ];
    match fields.into_iter().find(|(_, found, expected)| found != expected) {
        Some((field, found, expected)) => Err(Error::Resume { path: path.to_owned(), field, found, expected }),
        None => Ok(()),
    }
}

/// The settings by which two differ that decide what is computed, with their values in each; empty where there are none.
fn differing(both: [&Identity; 2], settings: &Settings) -> [String; 2] {
    if both[0].settings == both[1].settings || both[0].method != both[1].method {
        return Default::default();
    }
    // The first checkpoints held the digest alone.
    if both[0].values.is_empty() {
        return both.map(|identity| identity.settings.short());
    }
    let beyond = both.map(|identity| settings.beyond_defaults(&identity.values));
    let names: BTreeSet<&String> = beyond.iter().flat_map(Map::keys).collect();
    let differ: Vec<&String> = names.into_iter().filter(|name| beyond[0].get(*name) != beyond[1].get(*name)).collect();
    both.map(|identity| {
        let shown = |name: &&String| match identity.values.get(*name) {
            Some(value) => format!("{name} {value}"),
            None => format!("no {name}"),
        };
        differ.iter().map(shown).collect::<Vec<_>>().join(", ")
    })
}

fn roles(identity: &Identity) -> String {
    identity.roles.map_or_else(|| "none".to_owned(), |roles| roles.short())
}

/// A tensor's values, of which there must be so many.
fn values(path: &Path, file: &mut SafetensorsFile, name: &str, len: usize) -> Result<Vec<f32>, Error> {
    let values = file.read(name)?.values;
    if values.len() != len {
        let problem = format!("{name} has {} instead of {len}", groma_run::counted(values.len(), "value"));
        return Err(Error::Checkpoint { path: path.to_owned(), problem });
    }
    Ok(values)
}
