//! Values on a tape, and how the backward pass has them again.

use std::sync::Arc;

use super::key::{Key, ParameterId};
use crate::{Activation, Backend, Buffer, NormShape};

/// A matrix of activations or weights on a tape. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Var {
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) buffer: Arc<Buffer>,
    /// `None`: no gradient flows here.
    pub(super) key: Option<Key>,
    /// How to have the values again, where that is cheaper than keeping them.
    pub(super) recipe: Option<Arc<Recipe>>,
}

/// Values that are made again in the backward pass.
#[derive(Debug)]
pub(super) enum Recipe {
    Activation { x: Var, kind: Activation },
    Gated { gate: Var, up: Var, kind: Activation },
    Norm { x: Var, weight: Option<Var>, bias: Option<Arc<Buffer>>, shape: NormShape },
    Dropout { x: Saved, keep: f32, seed: u64 },
}

impl Recipe {
    pub(super) fn values(&self, backend: &dyn Backend) -> Buffer {
        match self {
            Recipe::Activation { x, kind } => {
                let mut y = backend.scratch(x.buffer.len());
                backend.activation(&mut y, &x.buffer, *kind);
                y
            }
            Recipe::Gated { gate, up, kind } => {
                let mut y = backend.scratch(gate.buffer.len());
                backend.gated(&mut y, &gate.buffer, &up.buffer, *kind);
                y
            }
            Recipe::Norm { x, weight, bias, shape } => {
                let (mut y, mut stats) = (backend.scratch(x.buffer.len()), backend.scratch(2 * shape.rows));
                let weight = weight.as_ref().map(|weight| &*weight.buffer);
                backend.norm(&mut y, &mut stats, &x.buffer, weight, bias.as_deref(), *shape);
                y
            }
            Recipe::Dropout { x, keep, seed } => {
                let x = x.values(backend);
                let mut y = backend.scratch(x.len());
                backend.dropout(&mut y, &x, *keep, *seed);
                y
            }
        }
    }
}

/// An input that the backward pass reads.
#[derive(Debug)]
pub(super) enum Saved {
    Kept(Arc<Buffer>),
    Again(Arc<Recipe>),
}

impl Saved {
    pub(super) fn of(x: &Var) -> Self {
        match &x.recipe {
            Some(recipe) => Saved::Again(recipe.clone()),
            None => Saved::Kept(x.buffer.clone()),
        }
    }

    pub(super) fn values(&self, backend: &dyn Backend) -> Arc<Buffer> {
        match self {
            Saved::Kept(buffer) => buffer.clone(),
            Saved::Again(recipe) => Arc::new(recipe.values(backend)),
        }
    }
}

impl Var {
    /// A parameter; its gradient is collected when `trainable`.
    pub fn parameter(id: ParameterId, buffer: Arc<Buffer>, rows: usize, width: usize, trainable: bool) -> Self {
        assert_eq!(buffer.len(), rows * width, "a parameter's buffer has its shape");
        Var { rows, width, buffer, key: trainable.then_some(Key::Parameter(id)), recipe: None }
    }

    /// A value that nothing differentiates (until it is watched).
    pub fn constant(buffer: Buffer, rows: usize, width: usize) -> Self {
        assert_eq!(buffer.len(), rows * width, "a constant's buffer has its shape");
        Var { rows, width, buffer: Arc::new(buffer), key: None, recipe: None }
    }

    /// Overwrites the listed rows with those of `new`; copies the buffer first if another variable shares it.
    pub fn scatter_rows(&mut self, backend: &dyn Backend, index: &[u32], new: &Var) {
        let width = self.width;
        backend.scatter_rows(self.overwritten(index, new), &new.buffer, index, width);
    }

    /// Overwrites the listed rows of keys and values in [`crate::KeyOrder::Cached`] with those of `new`.
    pub fn cache_rows(
        cache: (&mut Var, &mut Var),
        backend: &dyn Backend,
        index: &[u32],
        new: (&Var, &Var),
        kv_heads: usize,
    ) {
        let (keys, values) = (cache.0.overwritten(index, new.0), cache.1.overwritten(index, new.1));
        backend.cache_rows(keys, values, &new.0.buffer, &new.1.buffer, index, kv_heads);
    }

    fn overwritten(&mut self, index: &[u32], new: &Var) -> &mut Buffer {
        assert!(new.width == self.width && new.rows == index.len(), "the new rows fit");
        assert!(index.iter().all(|&i| (i as usize) < self.rows), "row indices lie within the matrix");
        self.recipe = None;
        Arc::make_mut(&mut self.buffer)
    }

    /// Remembers how the values are made, if a gradient flows here.
    pub(super) fn made_by(self, recipe: impl FnOnce() -> Recipe) -> Self {
        let recipe = self.key.map(|_| Arc::new(recipe()));
        Var { recipe, ..self }
    }

    /// The same values, through which no gradient flows.
    pub fn detached(&self) -> Self {
        Var { key: None, recipe: None, ..self.clone() }
    }

    /// Whether a gradient flows here.
    pub fn is_tracked(&self) -> bool {
        self.key.is_some()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Length of a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The values, `rows x width`, row-major.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }
}
