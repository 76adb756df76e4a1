//! What a tape remembers: operations, with what their backward passes read.

use std::ops::Range;
use std::sync::Arc;

use super::head_var::TeacherVar;
use super::key::Key;
use super::var::{Saved, Var};
use crate::layout::AttentionLayout;
use crate::{
    Activation, AttentionShape, Backend, Buffer, Comparison, DivergenceOutput, Edit, HeadOutput, HeadShape, NormShape,
    RotaryShape, RotaryStyle, ThresholdShape,
};

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

/// One of the linear layers of an operation.
#[derive(Debug)]
pub(super) struct Layer {
    /// Its output.
    pub(super) node: u32,
    pub(super) w: Var,
    pub(super) bias: Option<Key>,
}

/// The caller's part of [`Tape::closure`].
pub(super) struct Gradient<'m>(pub(super) Box<Backward<'m>>);

pub(super) type Backward<'m> = dyn FnOnce(&dyn Backend, &Buffer) -> Vec<Buffer> + 'm;

impl std::fmt::Debug for Gradient<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Gradient")
    }
}

/// A part of a model that runs again in the backward pass, see [`Tape::recomputed`].
pub(super) struct Part<'m>(pub(super) Box<Forward<'m>>);

pub(super) type Forward<'m> = dyn Fn(&mut Tape<'m>, &Var) -> Var + 'm;

impl std::fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Part")
    }
}

/// One recorded operation, with the inputs that its backward pass reads.
#[derive(Debug)]
pub(super) enum Op<'m> {
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
        comparison: Comparison,
        output: Arc<DivergenceOutput>,
        shape: HeadShape,
    },
}

/// Records operations and differentiates them.. `'m` is what [recomputed](Tape::recomputed) parts may
/// borrow.
#[derive(Debug)]
pub struct Tape<'m> {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) recording: bool,
    pub(super) ops: Vec<(u32, Op<'m>)>,
    pub(super) next: u32,
    pub(super) watched: Vec<u32>,
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

    pub(super) fn fresh(&mut self) -> u32 {
        self.next += 1;
        self.next - 1
    }

    /// Wraps an output; records `op` when one of its inputs is tracked.
    pub(super) fn push(
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
}
