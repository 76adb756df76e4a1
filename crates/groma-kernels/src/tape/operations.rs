//! The operations of transformers.

use std::ops::Range;
use std::sync::Arc;

use super::key::key_of;
use super::record::{Columns, Op, RotaryTable, Tape};
use super::var::{Recipe, Saved, Var};
use crate::layout::AttentionLayout;
use crate::{Activation, AttentionShape, Buffer, Edit, NormKind, NormShape, RotaryShape};

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

impl Tape<'_> {
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
