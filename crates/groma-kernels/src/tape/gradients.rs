//! Gradients, of parameters and of what was watched.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::key::{Key, ParameterId};
use super::var::Var;
use crate::{Backend, Buffer};

/// Gradients of parameters, summed over backward passes.
#[derive(Debug, Default)]
pub struct Gradients {
    pub(super) buffers: BTreeMap<ParameterId, Buffer>,
}

impl Gradients {
    /// No gradients yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The gradient of a parameter; `None` if nothing reached it.
    pub fn get(&self, id: ParameterId) -> Option<&Buffer> {
        self.buffers.get(&id)
    }

    /// All gradients, by parameter.
    pub fn iter(&self) -> impl Iterator<Item = (ParameterId, &Buffer)> {
        self.buffers.iter().map(|(id, buffer)| (*id, buffer))
    }

    /// Root of the sum of squares over all gradients; NaN and infinities come through.
    pub fn norm(&self, backend: &dyn Backend) -> f64 {
        self.buffers.values().map(|buffer| backend.sum_of_squares(buffer)).sum::<f64>().sqrt()
    }

    /// Forgets all gradients.
    pub fn clear(&mut self) {
        self.buffers.clear();
    }
}

/// Gradients of the values that were watched.
#[derive(Debug, Default)]
pub struct WatchedGradients {
    pub(super) buffers: BTreeMap<u32, Arc<Buffer>>,
}

impl WatchedGradients {
    /// The gradient at a watched variable; `None` if it was not watched or nothing reached it.
    pub fn get(&self, var: &Var) -> Option<&Buffer> {
        match var.key {
            Some(Key::Node(node)) => self.buffers.get(&node).map(Arc::as_ref),
            _ => None,
        }
    }
}
