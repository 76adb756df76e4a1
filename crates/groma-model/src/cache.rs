//! The key/value cache: the upper part of a token tree whose rows have been computed already.

use std::sync::Arc;

use groma_kernels::{Backend, Var};

use crate::Spec;

/// Keys and values of every layer for up to `capacity` tokens, in rows that the owner hands out.
///
/// A row belongs to a token of some path; which rows a query sees is said by its attention layout. So one prompt's rows
/// serve any number of continuations.
#[derive(Debug)]
pub(crate) struct KvCache {
    backend: Arc<dyn Backend>,
    /// Per layer: keys, values; `[capacity, kv_heads * head_dim]`.
    layers: Vec<(Var, Var)>,
}

impl KvCache {
    /// An empty cache for the model of `spec`.
    pub(crate) fn new(spec: &Spec, backend: Arc<dyn Backend>, capacity: usize) -> Self {
        let width = spec.kv_heads * spec.head_dim;
        let part = || Var::constant(backend.zeros(capacity * width), capacity, width);
        let layers = spec.layers.iter().map(|_| (part(), part())).collect();
        KvCache { backend, layers }
    }

    /// Writes the keys and values of new tokens into `rows` of a layer, and returns the whole layer.
    pub(crate) fn write(&mut self, layer: usize, rows: &[u32], k: &Var, v: &Var) -> (Var, Var) {
        let (keys, values) = &mut self.layers[layer];
        for (part, new) in [(&mut *keys, k), (&mut *values, v)] {
            part.scatter_rows(&*self.backend, rows, new);
        }
        (keys.clone(), values.clone())
    }
}
