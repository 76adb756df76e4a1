//! Prefixes that were computed, kept from one pass to the next, and from one call to the next: the rest of a target, the next
//! turn of a dialogue, a judge's second question cost what is new in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use groma_kernels::{Backend, Var};

use crate::{AdapterChoice, Spec, TokenTree, Transformer, View};

/// The parent of a first token.
const NOTHING: u32 = u32::MAX;

/// Keys and values of token paths, for [`crate::inference::score::score_from`] and [`crate::inference::generate::generate_from`].
///
/// What is found in it has the bits that it would be computed with again. It forgets everything when it meets another model,
/// another adapter, or the same model after its parameters could have changed. Views with hooks neither use nor fill it: what
/// hook code does cannot be compared with what it did, and what it read would not be read again.
#[derive(Debug)]
pub struct PrefixCache {
    backend: Arc<dyn Backend>,
    /// The most tokens that it holds; what comes beyond them is not kept.
    limit: usize,
    /// The row of a token behind another's.
    rows: BTreeMap<(u32, u32), u32>,
    /// Per layer: keys, values; `[capacity, kv_heads * head_dim]`.
    layers: Vec<(Var, Var)>,
    /// Of which state of which model.
    of: Option<(u64, AdapterChoice)>,
    computed: usize,
    reused: usize,
}

/// Rows of a pass that are kept, and where.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) from: Vec<u32>,
    pub(crate) to: Vec<u32>,
}

/// A tree before it is computed: which of its rows are there, and which are to be.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Rows of the tree that are there, and where.
    pub(crate) there: Kept,
    /// The others, and those whose hidden states are asked for; ascending.
    pub(crate) new: Vec<u32>,
    /// Of `new`, by place in it.
    pub(crate) keep: Kept,
    /// Per row of the tree, where it is or will be.
    pub(crate) places: Vec<Option<u32>>,
}

impl PrefixCache {
    /// Empty, for at most `limit` tokens (each takes `2 * layers * kv_heads * head_dim` numbers).
    pub fn new(transformer: &Transformer, limit: usize) -> Self {
        let (backend, limit) = (transformer.backend().clone(), limit.min(NOTHING as usize));
        PrefixCache { backend, limit, rows: BTreeMap::new(), layers: Vec::new(), of: None, computed: 0, reused: 0 }
    }

    /// Tokens held.
    pub fn tokens(&self) -> usize {
        self.rows.len()
    }

    /// Rows that calls with this cache have computed.
    pub fn computed(&self) -> usize {
        self.computed
    }

    /// Rows that calls found here instead.
    pub fn reused(&self) -> usize {
        self.reused
    }

    /// Forgets all tokens.
    pub fn clear(&mut self) {
        self.rows.clear();
        self.layers.clear();
    }

    /// Forgets all but the first tokens of a path, as many of them as it holds.
    pub(crate) fn retain(&mut self, path: &[u32]) {
        let mut above = NOTHING;
        let places = path.iter().map_while(|&token| {
            above = *self.rows.get(&(above, token))?;
            Some(above)
        });
        let places: Vec<u32> = places.collect();
        let layers = std::mem::take(&mut self.layers);
        self.clear();
        if !places.is_empty() {
            let chain = (0..).zip(path).take(places.len());
            self.rows =
                chain.map(|(row, &token)| ((u32::checked_sub(row, 1).unwrap_or(NOTHING), token), row)).collect();
            let part = |all| rows_of(all, &places, &*self.backend);
            self.layers = layers.iter().map(|(keys, values)| (part(keys), part(values))).collect();
        }
    }

    /// Made ready for calls of a model; `None` where the view has hooks.
    pub(crate) fn ready(&mut self, transformer: &Transformer, view: &View) -> Option<&mut Self> {
        if !view.hooks.is_empty() {
            return None;
        }
        let of = Some((transformer.state(), view.adapter.clone()));
        if self.of != of {
            self.clear();
            (self.of, self.backend) = (of, transformer.backend().clone());
        }
        Some(self)
    }

    /// Finds the rows of a tree of which the hidden states of `wanted` (ascending) are asked for, and makes room for those
    /// that are not there; where `kept` lists the rows of a path, for these alone.
    pub(crate) fn find(&mut self, tree: &TokenTree, wanted: &[u32], kept: Option<&[u32]>, spec: &Spec) -> Known {
        let keeps = |row: usize| kept.is_none_or(|kept| kept.binary_search(&(row as u32)).is_ok());
        let mut known = Known { places: vec![None; tree.len()], ..Known::default() };
        for segment in tree.segments() {
            let mut above = match tree.parent(segment).and_then(|parent| tree.last_row(parent)) {
                Some(row) => known.places[row],
                None => Some(NOTHING),
            };
            for row in tree.rows(segment) {
                let found = above.and_then(|above| self.rows.get(&(above, tree.tokens()[row])).copied());
                if found.is_none() || wanted.binary_search(&(row as u32)).is_ok() {
                    known.new.push(row as u32);
                }
                if let (Some(place), false) = (found, known.new.last() == Some(&(row as u32))) {
                    known.there.from.push(row as u32);
                    known.there.to.push(place);
                }
                above = found.or_else(|| self.place(above.filter(|_| keeps(row)), tree.tokens()[row]));
                known.places[row] = above;
                if let (None, Some(place)) = (found, above) {
                    known.keep.from.push(known.new.len() as u32 - 1);
                    known.keep.to.push(place);
                }
            }
        }
        self.computed += known.new.len();
        self.reused += known.there.from.len();
        self.grow(spec);
        known
    }

    /// Where a computed token behind the one at `above` is kept, if there is room.
    pub(crate) fn next(&mut self, above: Option<u32>, token: u32, spec: &Spec) -> Option<u32> {
        self.computed += 1;
        let place = self.place(above, token);
        self.grow(spec);
        place
    }

    fn place(&mut self, above: Option<u32>, token: u32) -> Option<u32> {
        let key = (above?, token);
        let next = self.rows.len();
        match self.rows.get(&key) {
            Some(&place) => Some(place),
            None if next < self.limit => {
                self.rows.insert(key, next as u32);
                Some(next as u32)
            }
            None => None,
        }
    }

    /// Makes room for all rows.
    fn grow(&mut self, spec: &Spec) {
        let backend = &*self.backend;
        let (width, capacity) = (spec.kv_heads * spec.head_dim, self.layers.first().map_or(0, |(k, _)| k.rows()));
        if self.rows.len() <= capacity {
            return;
        }
        let more = self.rows.len().next_power_of_two().min(self.limit);
        let old: Arc<[u32]> = (0..capacity as u32).collect();
        let larger = |part: Option<&Var>| {
            let mut all = Var::constant(backend.scratch(more * width), more, width);
            if let Some(part) = part {
                all.scatter_rows(backend, &old, part);
            }
            all
        };
        let layers = (0..spec.layers.len()).map(|layer| self.layers.get(layer));
        self.layers = layers.map(|both| (larger(both.map(|both| &both.0)), larger(both.map(|both| &both.1)))).collect();
    }

    /// The kept keys and values of a layer, in the order of `places`.
    pub(crate) fn take(&self, layer: usize, places: &[u32]) -> (Var, Var) {
        let (keys, values) = &self.layers[layer];
        (rows_of(keys, places, &*self.backend), rows_of(values, places, &*self.backend))
    }

    /// Keeps rows of a layer's new keys and values.
    pub(crate) fn put(&mut self, layer: usize, (k, v): (&Var, &Var), kept: &Kept) {
        if kept.to.is_empty() {
            return;
        }
        let backend = &*self.backend;
        let (keys, values) = &mut self.layers[layer];
        keys.scatter_rows(backend, &kept.to, &rows_of(k, &kept.from, backend));
        values.scatter_rows(backend, &kept.to, &rows_of(v, &kept.from, backend));
    }
}

impl Known {
    /// All keys and values of the tree's layer, of which `k` and `v` are new.
    pub(crate) fn join(&self, prefixes: &mut PrefixCache, layer: usize, k: &Var, v: &Var) -> (Var, Var) {
        prefixes.put(layer, (k, v), &self.keep);
        let all = |new: &Var, there: Var| {
            let (rows, width) = (self.places.len(), new.width());
            let mut joined = Var::constant(prefixes.backend.scratch(rows * width), rows, width);
            joined.scatter_rows(&*prefixes.backend, &self.there.from, &there);
            joined.scatter_rows(&*prefixes.backend, &self.new, new);
            joined
        };
        if self.there.from.is_empty() {
            return (k.clone(), v.clone());
        }
        let (keys, values) = prefixes.take(layer, &self.there.to);
        (all(k, keys), all(v, values))
    }
}

fn rows_of(all: &Var, index: &[u32], backend: &dyn Backend) -> Var {
    let mut rows = backend.scratch(index.len() * all.width());
    backend.gather_rows(&mut rows, all.buffer(), index, all.width());
    Var::constant(rows, index.len(), all.width())
}
