//! The key/value cache: the upper part of a token tree whose rows have been computed already.

use std::sync::Arc;

use groma_kernels::{Backend, KEY_PANEL, KeyOrder, Var};

use crate::Spec;
use crate::inference::prefixes::{Kept, Known, PrefixCache};

/// Where the keys and values of a pass go, and which others its queries see.
#[derive(Debug)]
pub(crate) enum Cache<'a> {
    /// Into these rows of a cache, of which the layout's keys are rows; and what is kept of them beyond the call.
    Rows(&'a mut KvCache, Arc<[u32]>, Option<(&'a mut PrefixCache, Kept)>),
    /// Among the rows of a tree of which some are known.
    Among(&'a mut PrefixCache, &'a Known),
}

impl Cache<'_> {
    /// Takes a layer's keys and values of the pass; returns all that its queries may see.
    pub(crate) fn write(&mut self, layer: usize, k: &Var, v: &Var) -> (Var, Var) {
        match self {
            Cache::Rows(cache, rows, kept) => {
                if let Some((prefixes, kept)) = kept {
                    prefixes.put(layer, (k, v), kept);
                }
                cache.write(layer, rows, k, v)
            }
            Cache::Among(prefixes, known) => known.join(prefixes, layer, k, v),
        }
    }

    /// How the keys lie that [`Cache::write`] returns.
    pub(crate) fn key_order(&self) -> KeyOrder {
        match self {
            Cache::Rows(..) => KeyOrder::Cached,
            Cache::Among(..) => KeyOrder::Rows,
        }
    }
}

/// Keys and values of every layer for up to `capacity` tokens, in rows that the owner hands out.
///
/// A row belongs to a token of some path; which rows a query sees is said by its attention layout. So one prompt's rows
/// serve any number of continuations. They lie as every step reads them, see [`KeyOrder::Cached`].
#[derive(Debug)]
pub(crate) struct KvCache {
    backend: Arc<dyn Backend>,
    /// Per layer: keys, values; `[rows, kv_heads * head_dim]`.
    layers: Vec<(Var, Var)>,
    rows: usize,
    kv_heads: usize,
}

impl KvCache {
    /// An empty cache for the model of `spec`.
    pub(crate) fn new(spec: &Spec, backend: Arc<dyn Backend>, capacity: usize) -> Self {
        let width = spec.kv_heads * spec.head_dim;
        // Whole panels of keys, and the unused one that their order asks for.
        let rows = capacity.next_multiple_of(KEY_PANEL) + KEY_PANEL;
        let part = || Var::constant(backend.zeros(rows * width), rows, width);
        let layers = spec.layers.iter().map(|_| (part(), part())).collect();
        KvCache { backend, layers, rows, kv_heads: spec.kv_heads }
    }

    /// Rows of the keys and values that [`Cache::write`] returns.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Takes the rows of a tree that are known, which are rows of this cache too.
    pub(crate) fn fill(&mut self, prefixes: &PrefixCache, known: &Kept) {
        for layer in 0..self.layers.len() {
            let (k, v) = prefixes.take(layer, &known.to);
            self.write(layer, &known.from, &k, &v);
        }
    }

    /// Writes the keys and values of new tokens into `rows` of a layer, and returns the whole layer.
    fn write(&mut self, layer: usize, rows: &[u32], k: &Var, v: &Var) -> (Var, Var) {
        let (keys, values) = &mut self.layers[layer];
        Var::cache_rows((keys, values), &*self.backend, rows, (k, v), self.kv_heads);
        (keys.clone(), values.clone())
    }
}
