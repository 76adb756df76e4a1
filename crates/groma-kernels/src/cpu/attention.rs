//! Attention over a forest of segments, streaming over keys with an online softmax (Milakov & Gimelshein 2018; Dao et al.
//! 2022), so that no matrix of queries by keys ever exists.
//!
//! Keys come in blocks of 64 that are aligned to path positions: block `b` of a query holds the keys of positions
//! `64 b..64 b + 64` of its path, gathered from as many spans as they lie in. Hence a row's bits do not depend on how its
//! path is cut into segments, on the other rows, or on threads.
pub(crate) mod applied;
mod backward;
mod block;
mod forward;
mod pattern;
mod plan;
mod scores;

use super::Cpu;
use super::tile::{Order, Start, Tile};
use crate::{AttentionLayout, AttentionShape, KEY_PANEL, KeyOrder};
pub(crate) use backward::{Output, backward};
pub(crate) use forward::forward;
pub(crate) use pattern::pattern;

/// Keys in a block.
const BLOCK: usize = 64;

/// The inputs of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) cpu: &'a Cpu,
    pub(crate) q: &'a [f32],
    pub(crate) k: &'a [f32],
    pub(crate) v: &'a [f32],
    pub(crate) layout: &'a AttentionLayout,
    pub(crate) shape: AttentionShape,
}

/// One row of the problem of one key head: a query of one of the heads that share it.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// Index of its first element in the queries and the output.
    start: usize,
    /// Index in the log-sum-exp.
    index: usize,
    /// Path position.
    position: usize,
}

impl Call<'_> {
    /// Query heads that share a key head.
    fn group(&self) -> usize {
        self.shape.heads / self.shape.kv_heads
    }

    /// Width of a head, padded to whole panels.
    fn padded_dim(&self) -> usize {
        self.shape.head_dim.next_multiple_of(self.cpu.level.tile_columns())
    }

    /// Elementary operations of the forward pass, roughly.
    fn work(&self) -> usize {
        let pairs: usize = self.layout.segments.iter().map(|s| s.len * (s.position + s.len)).sum();
        pairs * self.shape.heads * self.shape.head_dim
    }

    /// First path position that a query at `position` sees.
    fn first_visible(&self, position: usize) -> usize {
        self.shape.window.map_or(0, |window| (position + 1).saturating_sub(window))
    }
}

/// Panics unless the buffers have the lengths that layout and shape say, which the kernels rely on.
fn check(call: &Call<'_>, out: usize, lse: usize) {
    let AttentionShape { heads, kv_heads, head_dim, .. } = call.shape;
    let (queries, keys) = (call.layout.queries, call.layout.keys);
    assert!(kv_heads > 0 && heads.is_multiple_of(kv_heads), "key heads do not divide the heads");
    assert!(call.q.len() == queries * heads * head_dim && out == call.q.len() && lse == queries * heads);
    assert!(call.k.len() == keys * kv_heads * head_dim && call.v.len() == call.k.len());
    assert!(call.shape.key_order == KeyOrder::Rows || keys.is_multiple_of(KEY_PANEL));
}

/// Where the operands of a small product lie; see [`Tile`].
#[derive(Clone, Copy, Debug)]
struct Product<'a> {
    order: Order,
    /// A, of `rows` rows and `k` columns in `order`.
    a: &'a [f32],
    /// B, `k` rows, `b_stride` apart, padded to whole panels.
    b: &'a [f32],
    b_stride: usize,
    rows: usize,
    columns: usize,
    k: usize,
}

/// `c = start + a b` for a result of at most a tile's rows and any number of columns, `c_stride` apart.
fn small_product(cpu: &Cpu, product: Product<'_>, c: &mut [f32], c_stride: usize, start: Start) {
    let Product { order, a, b, b_stride, rows, columns, k } = product;
    if rows == 0 || columns == 0 {
        return;
    }
    let width = cpu.level.tile_columns();
    let a_needed = match order {
        Order::Packed => k * cpu.level.padded_rows(),
        Order::Rows64 => (rows - 1) * BLOCK + k,
        Order::Columns64 => k.saturating_sub(1) * BLOCK + rows,
    };
    let padded = columns.next_multiple_of(width);
    assert!(a.len() >= a_needed && b.len() >= k.saturating_sub(1) * b_stride + padded * usize::from(k > 0));
    assert!(padded <= b_stride && c.len() >= (rows - 1) * c_stride + columns);
    for first in (0..columns).step_by(width) {
        let count = width.min(columns - first);
        let tile = Tile {
            steps: k,
            a: a.as_ptr(),
            b: b.as_ptr().wrapping_add(first),
            b_stride,
            panel_stride: 0,
            c: c.as_mut_ptr().wrapping_add(first),
            c_stride,
            rows,
            columns: count,
            start,
            next: c.as_ptr(),
        };
        // SAFETY: the asserts above cover what the tile reads and writes.
        unsafe { cpu.level.tile(order, rows, count)(&tile) };
    }
}
