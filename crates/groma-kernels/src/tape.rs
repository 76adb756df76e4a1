//! A small tape over the kernels: it remembers which operations ran on which buffers, and runs them backwards.
//!
//! It is no tensor library: every value is a matrix of rows, and there are as many operations as transformers need.
//! Nothing that nobody asked for is kept: an operation is recorded only if a parameter that trains, or a variable that is
//! [watched](Tape::watch), lies behind it; without a recording tape the same code runs as plain inference, and buffers
//! return to the backend's pool as soon as the model code drops their variables.
//!
//! Shapes are checked by assertion: a mismatch is an error of the calling code, never of its data.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use crate::layout::AttentionLayout;
use crate::{
    Activation, AttentionShape, Backend, Buffer, Divergence, DivergenceOutput, Edit, HeadOutput, HeadShape, NormKind,
    NormShape, RotaryShape, RotaryStyle, ThresholdShape,
};

mod backward;
mod head;
mod instruments;
mod linears;
mod var;

pub use head::{DivergenceVar, HeadVar, TeacherVar};
use instruments::Gradient;
use linears::Layer;
pub use var::Var;
use var::{Recipe, Saved};

/// Identifies a parameter across steps; chosen by the owner of the parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParameterId(pub u32);

/// Where a gradient belongs: an intermediate value of this tape, or a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Node(u32),
    Parameter(ParameterId),
}

/// How the groups of a fused projection are cut out of its columns; see [`Backend::columns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Columns {
    /// First column of the first group.
    pub start: usize,
    /// Distance between the starts of two groups.
    pub stride: usize,
    /// Number of groups.
    pub groups: usize,
    /// Columns in a group.
    pub run: usize,
}

/// Parameters of [`Tape::norm`] that are not its input.
#[derive(Clone, Copy, Debug)]
pub struct NormParameters<'a> {
    /// Multiplies the normalised row.
    pub weight: Option<&'a Var>,
    /// Added at the end.
    pub bias: Option<&'a Var>,
    /// Which statistics.
    pub kind: NormKind,
    /// Under the root.
    pub eps: f32,
    /// Added to the weight.
    pub weight_offset: f32,
}

/// Parameters of [`Tape::rotary`].
#[derive(Clone, Debug)]
pub struct RotaryTable {
    /// `[positions, rotated]`: cosines, then sines.
    pub table: Arc<Buffer>,
    /// Leading elements of a head that are rotated.
    pub rotated: usize,
    /// Pairing.
    pub style: RotaryStyle,
}

/// Where a backward pass starts: the gradient of the loss with respect to something on the tape.
#[derive(Debug)]
pub enum Cotangent<'a> {
    /// Of a value.
    Value(&'a Var, Buffer),
    /// Of log-probabilities, and of entropies where `d_entropy` is not empty.
    Head {
        /// The head's result.
        head: &'a HeadVar,
        /// One a log-probability.
        d_logp: &'a [f32],
        /// One a row, or empty.
        d_entropy: &'a [f32],
    },
    /// Of divergences from a teacher.
    Divergence {
        /// What they are those of.
        divergence: &'a DivergenceVar,
        /// One a row.
        d_value: &'a [f32],
    },
}

/// Gradients of parameters, summed over backward passes.
#[derive(Debug, Default)]
pub struct Gradients {
    buffers: BTreeMap<ParameterId, Buffer>,
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
    buffers: BTreeMap<u32, Arc<Buffer>>,
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

/// A part of a model that runs again in the backward pass, see [`Tape::recomputed`].
struct Part<'m>(Box<Forward<'m>>);

type Forward<'m> = dyn Fn(&mut Tape<'m>, &Var) -> Var + 'm;

impl std::fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Part")
    }
}

/// One recorded operation, with the inputs that its backward pass reads.
#[derive(Debug)]
enum Op<'m> {
    Recomputed {
        x: Var,
        part: Part<'m>,
    },
    Embed {
        table: Key,
        table_len: usize,
        width: usize,
        ids: Arc<[u32]>,
    },
    Linears {
        x: Option<Key>,
        rows: usize,
        /// For the gradients of weights, where one is wanted.
        inputs: Option<Saved>,
        layers: Vec<Layer>,
    },
    Norm {
        x: Var,
        weight: Option<Var>,
        bias: Option<Key>,
        stats: Buffer,
        shape: NormShape,
    },
    Rotary {
        x: Key,
        table: RotaryTable,
        positions: Arc<[u32]>,
        shape: RotaryShape,
    },
    Attention {
        q: Var,
        k: Var,
        v: Var,
        out: Arc<Buffer>,
        lse: Buffer,
        layout: Arc<AttentionLayout>,
        shape: AttentionShape,
    },
    Activation {
        x: Var,
        kind: Activation,
    },
    Gated {
        gate: Var,
        up: Var,
        kind: Activation,
    },
    Add {
        a: Option<Key>,
        b: Option<Key>,
        factor: f32,
    },
    Scale {
        x: Key,
        factor: f32,
    },
    Columns {
        x: Key,
        rows: usize,
        width: usize,
        columns: Columns,
    },
    GatherRows {
        x: Key,
        rows: usize,
        width: usize,
        index: Arc<[u32]>,
    },
    Dropout {
        x: Key,
        keep: f32,
        seed: u64,
    },
    Edit {
        x: Var,
        rows: Arc<[u32]>,
        columns: Range<usize>,
        edit: Arc<Edit>,
    },
    Multiply {
        a: Var,
        b: Var,
    },
    SquaredError {
        a: Var,
        b: Var,
    },
    Softmax {
        x: Key,
        y: Arc<Buffer>,
        width: usize,
    },
    TopK {
        x: Var,
        k: usize,
    },
    Threshold {
        x: Var,
        theta: Var,
        shape: ThresholdShape,
    },
    ReplaceRows {
        x: Option<Key>,
        new: Option<Key>,
        index: Arc<[u32]>,
        width: usize,
    },
    ApplyPattern {
        pattern: Var,
        v: Var,
        queries: usize,
        shape: AttentionShape,
    },
    Closure {
        inputs: Vec<Option<Key>>,
        gradient: Gradient<'m>,
    },
    Head {
        hidden: Var,
        unembed: Var,
        targets: Arc<[u32]>,
        output: Arc<HeadOutput>,
        logits: Option<Buffer>,
        shape: HeadShape,
    },
    Divergence {
        hidden: Var,
        unembed: Var,
        teacher: TeacherVar,
        kind: Divergence,
        output: Arc<DivergenceOutput>,
        shape: HeadShape,
    },
}

/// Records operations and differentiates them.. `'m` is what [recomputed](Tape::recomputed) parts may
/// borrow.
#[derive(Debug)]
pub struct Tape<'m> {
    backend: Arc<dyn Backend>,
    recording: bool,
    ops: Vec<(u32, Op<'m>)>,
    next: u32,
    watched: Vec<u32>,
}

impl<'m> Tape<'m> {
    /// A tape that records whatever leads to trainable parameters or watched values.
    pub fn recording(backend: Arc<dyn Backend>) -> Self {
        Tape { backend, recording: true, ops: Vec::new(), next: 0, watched: Vec::new() }
    }

    /// A tape that records nothing: plain inference.
    pub fn inference(backend: Arc<dyn Backend>) -> Self {
        Tape { recording: false, ..Self::recording(backend) }
    }

    /// The kernels below.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Whether gradients can be asked for.
    pub fn is_recording(&self) -> bool {
        self.recording
    }

    /// Marks a value: its gradient will be returned by [`Tape::backward`], and operations after it are recorded.
    /// On a tape that does not record, the value comes back as it is.
    pub fn watch(&mut self, x: Var) -> Var {
        if !self.recording {
            return x;
        }
        let node = match x.key {
            Some(Key::Node(node)) => node,
            _ => self.fresh(),
        };
        self.watched.push(node);
        Var { key: Some(Key::Node(node)), ..x }
    }

    /// What `part` makes of `x`, without keeping anything from within: the backward pass runs the part again (activation
    /// recomputation, Chen et al. 2016). `part` must compute the same each time; gradients are then the same to the bit,
    /// as long as nothing in the part reads a parameter, or a watched value, that is also read outside of it.
    pub fn recomputed(&mut self, x: &Var, part: impl Fn(&mut Tape<'m>, &Var) -> Var + 'm) -> Var {
        if !self.recording {
            return part(self, x);
        }
        let y = part(&mut Tape::inference(self.backend.clone()), &Var { key: None, ..x.clone() });
        let node = self.fresh();
        self.ops.push((node, Op::Recomputed { x: x.clone(), part: Part(Box::new(part)) }));
        Var { key: Some(Key::Node(node)), recipe: None, ..y }
    }

    fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// Wraps an output; records `op` when one of its inputs is tracked.
    fn push(
        &mut self,
        buffer: Buffer,
        rows: usize,
        width: usize,
        tracked: bool,
        op: impl FnOnce(&Arc<Buffer>) -> Op<'m>,
    ) -> Var {
        let buffer = Arc::new(buffer);
        let key = (self.recording && tracked).then(|| {
            let node = self.fresh();
            self.ops.push((node, op(&buffer)));
            Key::Node(node)
        });
        Var { rows, width, buffer, key, recipe: None }
    }

    /// Rows of `table` by id; ids must be below the table's rows.
    pub fn embed(&mut self, table: &Var, ids: &Arc<[u32]>) -> Var {
        assert!(ids.iter().all(|&id| (id as usize) < table.rows), "token ids are below the vocabulary size");
        let mut out = self.backend.scratch(ids.len() * table.width);
        self.backend.embed(&mut out, &table.buffer, ids, table.width);
        let (key, len, width) = (table.key, table.buffer.len(), table.width);
        self.push(out, ids.len(), width, key.is_some(), |_| Op::Embed {
            table: key_of(key),
            table_len: len,
            width,
            ids: ids.clone(),
        })
    }

    /// Normalises rows of `width` values; `x` may hold several such runs in a row (heads).
    pub fn norm(&mut self, x: &Var, width: usize, parameters: NormParameters) -> Var {
        assert_eq!(x.width % width, 0, "a row is a whole number of normalised runs");
        let NormParameters { weight, bias, kind, eps, weight_offset } = parameters;
        assert!(weight.is_none_or(|w| w.buffer.len() == width), "a norm's weight has its width");
        let shape = NormShape { rows: x.buffer.len() / width, width, kind, eps, weight_offset };
        let mut y = self.backend.scratch(x.buffer.len());
        let mut stats = self.backend.scratch(2 * shape.rows);
        let (w, b) = (weight.map(|w| &*w.buffer), bias.map(|b| &*b.buffer));
        self.backend.norm(&mut y, &mut stats, &x.buffer, w, b, shape);
        let tracked = [Some(x), weight, bias].iter().flatten().any(|v| v.key.is_some());
        self.push(y, x.rows, x.width, tracked, |_| Op::Norm {
            x: x.clone(),
            weight: weight.cloned(),
            bias: bias.and_then(|b| b.key),
            stats,
            shape,
        })
        .made_by(|| Recipe::Norm {
            x: x.clone(),
            weight: weight.cloned(),
            bias: bias.map(|bias| bias.buffer.clone()),
            shape,
        })
    }

    /// Rotates the heads of each row by its position.
    pub fn rotary(&mut self, x: &Var, table: &RotaryTable, positions: &Arc<[u32]>, head_dim: usize) -> Var {
        assert_eq!(positions.len(), x.rows, "each row has a position");
        let known = table.table.len() / table.rotated;
        assert!(positions.iter().all(|&p| (p as usize) < known), "positions are within the rotary table");
        let shape = RotaryShape {
            rows: x.rows,
            heads: x.width / head_dim,
            head_dim,
            rotated: table.rotated,
            style: table.style,
        };
        let mut y = self.backend.scratch(x.buffer.len());
        self.backend.rotary(&mut y, &x.buffer, &table.table, positions, shape);
        self.push(y, x.rows, x.width, x.key.is_some(), |_| Op::Rotary {
            x: key_of(x.key),
            table: table.clone(),
            positions: positions.clone(),
            shape,
        })
    }

    /// Attention over a forest; q `[queries, heads * head_dim]`, k and v `[keys, kv_heads * head_dim]`.
    pub fn attention(
        &mut self,
        q: &Var,
        k: &Var,
        v: &Var,
        layout: &Arc<AttentionLayout>,
        shape: AttentionShape,
    ) -> Var {
        assert_eq!((q.rows, k.rows, v.rows), (layout.queries, layout.keys, layout.keys), "buffers fit the layout");
        assert_eq!((q.width, k.width), (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim), "heads fit");
        let mut out = self.backend.scratch(q.buffer.len());
        let mut lse = self.backend.scratch(q.rows * shape.heads);
        self.backend.attention(&mut out, &mut lse, &q.buffer, &k.buffer, &v.buffer, layout, shape);
        let tracked = q.key.is_some() || k.key.is_some() || v.key.is_some();
        self.push(out, q.rows, q.width, tracked, |out| Op::Attention {
            q: q.clone(),
            k: k.clone(),
            v: v.clone(),
            out: out.clone(),
            lse,
            layout: layout.clone(),
            shape,
        })
    }

    /// The attention probabilities, `heads * queries` rows of `keys` columns; never recorded.
    pub fn attention_pattern(&self, q: &Var, k: &Var, layout: &AttentionLayout, shape: AttentionShape) -> Var {
        let mut pattern = self.backend.zeros(shape.heads * layout.queries * layout.keys);
        self.backend.attention_pattern(&mut pattern, &q.buffer, &k.buffer, layout, shape);
        Var::constant(pattern, shape.heads * layout.queries, layout.keys)
    }

    /// `f(x)`.
    pub fn activation(&mut self, x: &Var, kind: Activation) -> Var {
        let mut y = self.backend.scratch(x.buffer.len());
        self.backend.activation(&mut y, &x.buffer, kind);
        let y = self.push(y, x.rows, x.width, x.key.is_some(), |_| Op::Activation { x: x.clone(), kind });
        y.made_by(|| Recipe::Activation { x: x.clone(), kind })
    }

    /// `f(gate) * up`.
    pub fn gated(&mut self, gate: &Var, up: &Var, kind: Activation) -> Var {
        assert_eq!((gate.rows, gate.width), (up.rows, up.width), "gate and up have one shape");
        let mut y = self.backend.scratch(gate.buffer.len());
        self.backend.gated(&mut y, &gate.buffer, &up.buffer, kind);
        let tracked = gate.key.is_some() || up.key.is_some();
        let y =
            self.push(y, gate.rows, gate.width, tracked, |_| Op::Gated { gate: gate.clone(), up: up.clone(), kind });
        y.made_by(|| Recipe::Gated { gate: gate.clone(), up: up.clone(), kind })
    }

    /// `a + b`.
    pub fn add(&mut self, a: &Var, b: &Var) -> Var {
        assert_eq!((a.rows, a.width), (b.rows, b.width), "both sides of an addition have one shape");
        let mut y = self.backend.scratch(a.buffer.len());
        self.backend.add(&mut y, &a.buffer, &b.buffer);
        self.push_add(y, a, b, 1.0)
    }

    /// `a + factor * b`.
    pub fn add_scaled(&mut self, a: &Var, b: &Var, factor: f32) -> Var {
        assert_eq!((a.rows, a.width), (b.rows, b.width), "both sides of an addition have one shape");
        let mut y = (*a.buffer).clone();
        self.backend.add_scaled(&mut y, &b.buffer, factor);
        self.push_add(y, a, b, factor)
    }

    fn push_add(&mut self, y: Buffer, a: &Var, b: &Var, factor: f32) -> Var {
        let tracked = a.key.is_some() || b.key.is_some();
        self.push(y, a.rows, a.width, tracked, |_| Op::Add { a: a.key, b: b.key, factor })
    }

    /// `factor * x`.
    pub fn scale(&mut self, x: &Var, factor: f32) -> Var {
        let mut y = self.backend.scratch(x.buffer.len());
        self.backend.scale(&mut y, &x.buffer, factor);
        self.push(y, x.rows, x.width, x.key.is_some(), |_| Op::Scale { x: key_of(x.key), factor })
    }

    /// Cuts groups of columns out of each row.
    pub fn columns(&mut self, x: &Var, columns: Columns) -> Var {
        let Columns { start, stride, groups, run } = columns;
        assert!(groups > 0 && start + (groups - 1) * stride + run <= x.width, "columns lie within the row");
        let mut y = self.backend.scratch(x.rows * groups * run);
        self.backend.columns(&mut y, &x.buffer, x.rows, x.width, start, stride, groups, run);
        self.push(y, x.rows, groups * run, x.key.is_some(), |_| Op::Columns {
            x: key_of(x.key),
            rows: x.rows,
            width: x.width,
            columns,
        })
    }

    /// The rows listed, in that order; a row may be listed more than once.
    pub fn gather_rows(&mut self, x: &Var, index: &Arc<[u32]>) -> Var {
        assert!(index.iter().all(|&i| (i as usize) < x.rows), "row indices lie within the matrix");
        let mut y = self.backend.scratch(index.len() * x.width);
        self.backend.gather_rows(&mut y, &x.buffer, index, x.width);
        self.push(y, index.len(), x.width, x.key.is_some(), |_| Op::GatherRows {
            x: key_of(x.key),
            rows: x.rows,
            width: x.width,
            index: index.clone(),
        })
    }

    /// Zeroes each element with probability `1 - keep` and divides the rest by `keep`; a function of `seed` alone.
    pub fn dropout(&mut self, x: &Var, keep: f32, seed: u64) -> Var {
        let mut y = self.backend.scratch(x.buffer.len());
        self.backend.dropout(&mut y, &x.buffer, keep, seed);
        let y = self.push(y, x.rows, x.width, x.key.is_some(), |_| Op::Dropout { x: key_of(x.key), keep, seed });
        y.made_by(|| Recipe::Dropout { x: Saved::of(x), keep, seed })
    }

    /// Applies an [`Edit`] to `columns` of the listed rows (each at most once).
    pub fn edit(&mut self, x: Var, rows: &Arc<[u32]>, columns: Range<usize>, edit: &Arc<Edit>) -> Var {
        assert!(columns.end <= x.width, "columns lie within the row");
        assert!(rows.iter().all(|&row| (row as usize) < x.rows), "row indices lie within the matrix");
        let (height, width) = (x.rows, x.width);
        if !self.recording || x.key.is_none() {
            let mut y = Arc::unwrap_or_clone(x.buffer);
            self.backend.edit(&mut y, rows, width, columns, edit);
            return Var::constant(y, height, width);
        }
        let mut y = (*x.buffer).clone();
        self.backend.edit(&mut y, rows, width, columns.clone(), edit);
        let (rows, edit) = (rows.clone(), edit.clone());
        self.push(y, height, width, true, |_| Op::Edit { x, rows, columns, edit })
    }
}

/// The key of an input whose operation is recorded only when it has one.
fn key_of(key: Option<Key>) -> Key {
    key.unwrap_or(Key::Node(u32::MAX))
}
