//! A loop for parameters that belong to no transformer: the same optimizer, schedule and checkpoints.

use std::path::Path;
use std::sync::Arc;

use groma_kernels::{Backend, Cotangent, Gradients, HeadVar, Tape, Var, together};
use groma_run::atomic::{AtomicDirectory, verify_directory};
use groma_run::{Files, read_json};
use serde::{Deserialize, Serialize};

use super::{AdamWSettings, Optimizer, Scheduler, fill_tensor, learning_rate, write_tensors};
use crate::{Error, ParameterStore, Result, SafetensorsFile};

const STATE: &str = "state.json";
const WEIGHTS: &str = "weights.safetensors";
const MOMENTS: &str = "moments.safetensors";
/// Largest `state.json` that is read, in bytes.
const STATE_BYTES_LIMIT: u64 = 1 << 20;

/// How parameters are fitted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitSettings {
    /// Steps in all.
    pub steps: u64,
    /// The highest learning rate.
    pub learning_rate: f64,
    /// Steps until it is reached.
    pub warmup_steps: u64,
    /// How it goes on.
    pub scheduler: Scheduler,
    /// The optimizer's.
    pub adamw: AdamWSettings,
}

/// Parameters being fitted. What a step computes is to depend on its number alone: then a fit that was saved and resumed
/// gives the same bits as one that never was.
#[derive(Debug)]
pub struct Fit {
    backend: Arc<dyn Backend>,
    parameters: ParameterStore,
    settings: FitSettings,
    optimizer: Optimizer,
    step: u64,
}

/// What a step goes down.
#[derive(Debug)]
pub enum Loss {
    /// A scalar `[1, 1]` on the tape.
    Value(Var),
    /// The mean negative log-probability of a head's targets.
    Targets(HeadVar),
}

impl From<Var> for Loss {
    fn from(value: Var) -> Self {
        Loss::Value(value)
    }
}

impl From<HeadVar> for Loss {
    fn from(head: HeadVar) -> Self {
        Loss::Targets(head)
    }
}

impl Loss {
    fn value(&self, backend: &dyn Backend) -> f64 {
        match self {
            Loss::Value(var) => backend.download(var.buffer()).iter().map(|&x| f64::from(x)).sum(),
            Loss::Targets(head) => {
                let logps = &head.output().logp;
                -logps.iter().map(|&logp| f64::from(logp)).sum::<f64>() / logps.len().max(1) as f64
            }
        }
    }

    /// Runs the tape backwards.
    fn backward(&self, tape: Tape, gradients: &mut Gradients) {
        match self {
            Loss::Value(var) => {
                let one = tape.backend().upload(&[1.0]);
                tape.backward(vec![Cotangent::Value(var, one)], gradients);
            }
            Loss::Targets(head) => {
                let count = head.output().logp.len();
                let d_logp = vec![-1.0 / count.max(1) as f32; count];
                tape.backward(vec![Cotangent::Head { head, d_logp: &d_logp, d_entropy: &[] }], gradients);
            }
        }
    }
}

/// What a checkpoint says of itself.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct State {
    step: u64,
    settings: FitSettings,
}

impl Fit {
    /// Begins.
    pub fn new(backend: Arc<dyn Backend>, parameters: ParameterStore, settings: FitSettings) -> Self {
        let optimizer = Optimizer::new(&parameters, &*backend);
        Fit { backend, parameters, settings, optimizer, step: 0 }
    }

    /// Steps done.
    pub fn done(&self) -> u64 {
        self.step
    }

    /// Whether all steps are done.
    pub fn is_done(&self) -> bool {
        self.step >= self.settings.steps
    }

    /// The parameters.
    pub fn parameters(&self) -> &ParameterStore {
        &self.parameters
    }

    /// The parameters, for what is done to them between steps (a norm that is kept, a unit that is revived).
    pub fn parameters_mut(&mut self) -> &mut ParameterStore {
        &mut self.parameters
    }

    /// Ends; what was fitted.
    pub fn finish(self) -> ParameterStore {
        self.parameters
    }

    /// One step down the gradient of what `loss` leaves on the tape; returns its value. The parameters of this fit alone
    /// change, whatever else trains on the tape.
    ///
    /// # Errors
    /// Those of `loss`; and where a number is not finite, which leaves the parameters as they were.
    pub fn step<'m>(&mut self, loss: impl FnOnce(&mut Tape<'m>, &ParameterStore) -> Result<Loss>) -> Result<f64> {
        let mut tape = Tape::recording(self.backend.clone());
        let step = self.step + 1;
        together(|| {
            let loss = loss(&mut tape, &self.parameters)?;
            let value = loss.value(&*self.backend);
            let mut gradients = Gradients::new();
            loss.backward(tape, &mut gradients);
            let own = gradients.iter().filter(|(id, _)| self.optimizer.moments.contains_key(id));
            let norm = own.map(|(_, gradient)| self.backend.sum_of_squares(gradient)).sum::<f64>().sqrt();
            if !value.is_finite() || !norm.is_finite() {
                let problem = format!("at step {step} the loss is {value} and the norm of its gradient {norm}");
                return Err(Error::Fit { problem });
            }
            let FitSettings { scheduler, learning_rate: peak, warmup_steps, steps, adamw } = &self.settings;
            let lr = learning_rate(*scheduler, *peak, step, (*warmup_steps, *steps));
            let target = (&mut self.parameters, &*self.backend);
            self.optimizer.step(target, &gradients, adamw, (step, lr), norm)?;
            self.step = step;
            Ok(value)
        })
    }

    /// Writes a checkpoint, whole or not at all.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn save(&self, files: &Files, path: &Path) -> Result<()> {
        let mut target = AtomicDirectory::create_on(files, path)?;
        let state = State { step: self.step, settings: self.settings };
        let json = serde_json::to_vec_pretty(&state)
            .map_err(|source| Error::Fit { problem: format!("cannot write {STATE}: {source}") })?;
        target.write(STATE, &json)?;
        let weights: Vec<_> = self.parameters.iter().map(|(_, p)| (p.name.clone(), p.buffer())).collect();
        write_tensors(&mut target, WEIGHTS, &*self.backend, &weights)?;
        let mut moments = Vec::new();
        for (&id, both) in &self.optimizer.moments {
            let name = &self.parameters.get(id).name;
            moments.push((format!("m.{name}"), &both.m));
            moments.push((format!("v.{name}"), &both.v));
        }
        write_tensors(&mut target, MOMENTS, &*self.backend, &moments)?;
        Ok(target.commit()?)
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    /// If it is damaged, has other settings, or does not fit the parameters.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        verify_directory(path)?;
        let state: State = read_json(&path.join(STATE), STATE_BYTES_LIMIT)?;
        if state.settings != self.settings {
            return Err(Error::Fit { problem: format!("{} was written with other settings", path.display()) });
        }
        let mut weights = SafetensorsFile::open(&path.join(WEIGHTS))?;
        let mut moments = SafetensorsFile::open(&path.join(MOMENTS))?;
        let ids: Vec<_> = self.parameters.iter().map(|(id, _)| id).collect();
        for id in ids {
            let parameter = self.parameters.get_mut(id);
            let name = parameter.name.clone();
            let target = parameter.buffer_mut().ok_or_else(|| Error::ParameterHeld { name: name.clone() })?;
            fill_tensor(&mut weights, &name, target, &*self.backend)?;
            if let Some(both) = self.optimizer.moments.get_mut(&id) {
                fill_tensor(&mut moments, &format!("m.{name}"), &mut both.m, &*self.backend)?;
                fill_tensor(&mut moments, &format!("v.{name}"), &mut both.v, &*self.backend)?;
            }
        }
        self.step = state.step;
        Ok(())
    }
}
