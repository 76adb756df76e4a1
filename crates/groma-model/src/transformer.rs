//! The transformer: one forward pass, described by a [`Spec`], for training, scoring, sampling and looking inside.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use groma_kernels::{Backend, Buffer, RotaryTable};

use crate::{Checkpoint, Error, Parameter, ParameterStore, Result, Spec, Tensor, Weights};

mod adapter;
mod adapters;
mod block;
mod layers;
pub mod lora;
mod narrowed;
mod outputs;
mod pass;
mod rotary;
pub(crate) mod store;

use adapter::Adapter;
use layers::Model;

pub use pass::Pass;
pub(crate) use pass::{Input, Narrowed};

/// A model ready to run: its function, its parameters and its adapters.
#[derive(Debug)]
pub struct Transformer {
    spec: Spec,
    backend: Arc<dyn Backend>,
    parameters: ParameterStore,
    model: Model,
    rotaries: RwLock<Vec<RotaryTable>>,
    adapters: Vec<Adapter>,
    /// A number of its own for each state that the parameters may be in.
    state: u64,
}

impl Transformer {
    /// Loads `weights` onto `backend`; all parameters are trainable.
    pub fn new(spec: Spec, weights: &Weights, backend: Arc<dyn Backend>) -> Result<Self> {
        let buffers = upload(&spec, weights, &*backend)?;
        Self::of(spec, buffers, backend)
    }

    /// Loads the weights of a checkpoint onto `backend`, and `added` ones that it lacks or has others for. Each goes from its
    /// file to the one place where it is used, packed; all parameters are trainable, and packed until they train (see
    /// [`Transformer::freeze`]).
    pub(crate) fn open(
        spec: Spec,
        checkpoint: &Checkpoint,
        added: &Weights,
        backend: Arc<dyn Backend>,
    ) -> Result<Self> {
        let mut buffers = upload(&spec, added, &*backend)?;
        let wanted: BTreeSet<String> = crate::parameters(&spec).into_iter().map(|parameter| parameter.name).collect();
        checkpoint.stream(&mut |parameter, next| {
            if wanted.contains(&parameter.name) && !buffers.contains_key(&parameter.name) {
                let (rows, width) = matrix(&parameter.shape);
                buffers.insert(parameter.name.clone(), backend.weight(rows, width, next)?);
            }
            Ok(())
        })?;
        Self::of(spec, buffers, backend)
    }

    fn of(spec: Spec, mut buffers: BTreeMap<String, Buffer>, backend: Arc<dyn Backend>) -> Result<Self> {
        let mut parameters = ParameterStore::default();
        for parameter in crate::parameters(&spec) {
            let buffer = buffers
                .remove(&parameter.name)
                .ok_or_else(|| Error::Weights { problem: format!("{} is missing", parameter.name) })?;
            let (rows, width) = matrix(&parameter.shape);
            parameters.insert(parameter.name, rows, width, true, buffer);
        }
        let model = Model::find(&spec, &parameters)?;
        Ok(Transformer {
            spec,
            backend,
            parameters,
            model,
            rotaries: RwLock::default(),
            adapters: Vec::new(),
            state: new_state(),
        })
    }

    /// The function.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Where it runs.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// All parameters, those of the adapter last.
    pub fn parameters(&self) -> &ParameterStore {
        &self.parameters
    }

    /// All parameters, to be changed.
    pub fn parameters_mut(&mut self) -> &mut ParameterStore {
        self.state = new_state();
        &mut self.parameters
    }

    /// Another number than before where parameters could have changed since, or of another model.
    pub(crate) fn state(&self) -> u64 {
        self.state
    }

    /// Copies the base parameters (without the adapter) to the host.
    pub fn weights(&self) -> Weights {
        self.download(crate::parameters(&self.spec))
    }

    /// Copies the parameters of all heads but the unembedding to the host.
    pub fn head_weights(&self) -> Weights {
        let all = crate::parameters(&self.spec).into_iter();
        self.download(all.filter(|parameter| self.spec.is_head_parameter(&parameter.name)).collect())
    }

    fn download(&self, parameters: Vec<Parameter>) -> Weights {
        let tensors = parameters.into_iter().filter_map(|parameter| {
            let id = self.parameters.id(&parameter.name)?;
            let values = self.backend.download(self.parameters.get(id).buffer());
            Some((parameter.name, Tensor { shape: parameter.shape, values }))
        });
        tensors.collect()
    }

    /// Puts other values in the place of a parameter's.
    ///
    /// # Errors
    /// If there is no such parameter, or it has another size.
    pub fn set_values(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let buffer = self.backend.upload(values);
        let id = self.parameters.id(name).filter(|id| self.parameters.get(*id).len() == values.len());
        let wrong = || format!("there is no parameter {name} of {}", groma_run::counted(values.len(), "value"));
        let id = id.ok_or_else(|| Error::Weights { problem: wrong() })?;
        self.parameters_mut().get_mut(id).set_buffer(buffer);
        Ok(())
    }

    /// Packs all parameters that do not train, for repeated use (see [`Backend::weight`]), and unpacks those that do.
    pub fn freeze(&mut self) {
        let backend = self.backend.clone();
        let ids: Vec<_> = self.parameters.iter().map(|(id, _)| id).collect();
        for id in ids {
            let parameter = self.parameters.get_mut(id);
            let (rows, width, packed) = (parameter.rows, parameter.width, parameter.buffer().is_packed());
            if packed != parameter.trainable {
                continue;
            }
            if packed {
                parameter.set_buffer(parameter.buffer().clone());
            } else if let Ok(made) = packed_weight(&*backend, parameter.buffer(), rows, width) {
                parameter.set_buffer(made);
            }
        }
    }

    /// The same model, adapters included, to read from while this one trains. Weights that are packed here are shared with it,
    /// others are packed from here.
    pub fn frozen_copy(&self) -> Transformer {
        let mut copy = Transformer {
            spec: self.spec.clone(),
            backend: self.backend.clone(),
            parameters: self.parameters.clone(),
            model: self.model.clone(),
            rotaries: RwLock::default(),
            adapters: self.adapters.clone(),
            state: new_state(),
        };
        copy.parameters.set_trainable(|_| false);
        copy.freeze();
        copy
    }
}

fn new_state() -> u64 {
    static STATES: AtomicU64 = AtomicU64::new(0);
    STATES.fetch_add(1, Ordering::Relaxed)
}

/// Buffers of all parameters of `spec` that there are weights for.
fn upload(spec: &Spec, weights: &Weights, backend: &dyn Backend) -> Result<BTreeMap<String, Buffer>> {
    let mut buffers = BTreeMap::new();
    for parameter in crate::parameters(spec) {
        let Some(tensor) = weights.get(&parameter.name) else { continue };
        if tensor.shape != parameter.shape {
            let problem = format!("{} has shape {:?} instead of {:?}", parameter.name, tensor.shape, parameter.shape);
            return Err(Error::Weights { problem });
        }
        buffers.insert(parameter.name, backend.upload(&tensor.values));
    }
    Ok(buffers)
}

/// The same weight, packed.
fn packed_weight(backend: &dyn Backend, buffer: &Buffer, rows: usize, width: usize) -> io::Result<Buffer> {
    let values = backend.read(buffer);
    let mut rest = &*values;
    backend.weight(rows, width, &mut |to| {
        let (run, after) = rest.split_at(to.len());
        to.copy_from_slice(run);
        rest = after;
        Ok(())
    })
}

/// Rows and width of a parameter's shape; vectors have one row.
fn matrix(shape: &[usize]) -> (usize, usize) {
    match shape {
        [rows, width] => (*rows, *width),
        _ => (1, shape.iter().product()),
    }
}
