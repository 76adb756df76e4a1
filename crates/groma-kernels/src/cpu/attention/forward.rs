//! The forward pass.
use super::block::{Block, Values};
use super::plan::{Task, tasks};
use super::scores::{Softmax, shrink, soften};
use super::{BLOCK, Call, Product, Row, check, small_product};
use crate::cpu::pack::{Operand, pack_panel};
use crate::cpu::parallel::{SharedMut, for_each};
use crate::cpu::tile::{Order, Start};
use crate::pool::Lease;
use std::ops::Range;

/// See [`crate::Backend::attention`].
pub(crate) fn forward(call: &Call<'_>, out: &mut [f32], lse: &mut [f32]) {
    check(call, out.len(), lse.len());
    let tasks = tasks(&call.layout.segments, 0..call.layout.segments.len(), call.group());
    let kv_heads = call.shape.kv_heads;
    let (out, lse) = (SharedMut::new(out), SharedMut::new(lse));
    for_each(tasks.len() * kv_heads, call.work(), |index| {
        let task = &tasks[index / kv_heads];
        let mut rows = Rows::new(call, task, index % kv_heads);
        rows.run(task, index % kv_heads);
        rows.finish(out, lse);
    });
}

/// Rows of at most a tile that lie in one piece of a task.
pub(super) fn tiles(piece_rows: Range<usize>, most: usize) -> impl Iterator<Item = Range<usize>> {
    let parts = piece_rows.len().div_ceil(most).max(1);
    let height = piece_rows.len().div_ceil(parts).max(1);
    let end = piece_rows.end;
    piece_rows.step_by(height).map(move |start| start..end.min(start + height))
}

/// Packs rows of `source` for use as A: `panel[d * padded_rows + i]`.
pub(super) fn pack_rows(call: &Call<'_>, source: &[f32], rows: &[Row], panel: &mut [f32], scratch: &mut [f32]) {
    let dim = call.shape.head_dim;
    for (row, to) in rows.iter().zip(scratch.chunks_exact_mut(dim)) {
        to.copy_from_slice(&source[row.start..][..dim]);
    }
    let operand = Operand::rows(scratch, dim);
    pack_panel(call.cpu.level, panel, operand, 0..rows.len(), 0..dim, call.cpu.level.padded_rows());
}

/// The rows of a task for one key head, and all that is remembered of them from block to block.
struct Rows<'a> {
    call: &'a Call<'a>,
    rows: Vec<Row>,
    /// Rows of each piece of the task.
    pieces: Vec<Range<usize>>,
    /// Tiles, and where their packed queries start.
    tiles: Vec<Range<usize>>,
    /// Packed queries, tile by tile.
    queries: Lease,
    /// Weighted sums of values, relative to the running maximum.
    sums: Lease,
    max: Vec<f32>,
    sum: Vec<f32>,
}

impl<'a> Rows<'a> {
    fn new(call: &'a Call<'a>, task: &Task, kv_head: usize) -> Self {
        let (level, dim) = (call.cpu.level, call.shape.head_dim);
        let mut rows = Vec::new();
        let mut pieces = Vec::with_capacity(task.len());
        for piece in task {
            let start = rows.len();
            rows.extend(call.rows(piece, kv_head));
            pieces.push(start..rows.len());
        }
        let tiles: Vec<_> = pieces.iter().flat_map(|piece| tiles(piece.clone(), level.tile_rows())).collect();
        let panel = dim * level.padded_rows();
        let mut queries = Lease::new(&call.cpu.pool, tiles.len() * panel);
        let mut scratch = Lease::new(&call.cpu.pool, level.tile_rows() * dim);
        for (tile, panel) in tiles.iter().zip(queries.chunks_exact_mut(panel.max(1))) {
            pack_rows(call, call.q, &rows[tile.clone()], panel, &mut scratch);
        }
        let mut sums = Lease::new(&call.cpu.pool, rows.len() * dim);
        sums.fill(0.0);
        let (max, sum) = (vec![f32::NEG_INFINITY; rows.len()], vec![0.0; rows.len()]);
        Self { call, rows, pieces, tiles, queries, sums, max, sum }
    }

    /// Streams over the blocks: those of the ancestors once for all pieces, the others piece by piece.
    fn run(&mut self, task: &Task, kv_head: usize) {
        let (dim, padded) = (self.call.shape.head_dim, self.call.padded_dim());
        let mut keys = Lease::new(&self.call.cpu.pool, dim * BLOCK);
        let mut values = Lease::new(&self.call.cpu.pool, padded * BLOCK);
        let earliest = self.rows.iter().map(|row| row.position).min().unwrap_or(0);
        let first = self.call.first_visible(earliest) / BLOCK;
        let shared_end = self.call.layout.segments[task[0].segment].position / BLOCK;
        let last_visible = |rows: &[Row]| rows.last().map_or(0, |row| row.position + 1);
        let mut step = |this: &mut Self, piece: usize, index: usize, end: usize, rows: Range<usize>| {
            let block = Block::new(&this.call.layout.segments[task[piece].segment], index, end);
            this.call.gather_transposed(&block, this.call.k, kv_head, &mut keys, &mut values);
            match this.call.in_place(&block, this.call.v, kv_head) {
                Some(values) => this.block(&block, &keys, &values, rows),
                None => {
                    this.call.gather(&block, this.call.v, kv_head, &mut values);
                    let whole = Values { rows: &values, stride: padded, count: block.len() };
                    this.block(&block, &keys, &[whole], rows);
                }
            }
        };
        for index in first..shared_end {
            step(self, 0, index, usize::MAX, 0..self.rows.len());
        }
        for piece in 0..task.len() {
            let rows = self.pieces[piece].clone();
            let end = last_visible(&self.rows[rows.clone()]);
            let first = self.call.first_visible(self.rows[rows.start].position) / BLOCK;
            for index in shared_end.max(first)..end.div_ceil(BLOCK) {
                step(self, piece, index, end, rows.clone());
            }
        }
    }

    /// Takes one block into account for the tiles inside `rows`.
    fn block(&mut self, block: &Block, keys: &[f32], values: &[Values<'_>], rows: Range<usize>) {
        let (cpu, dim) = (self.call.cpu, self.call.shape.head_dim);
        let panel = dim * cpu.level.padded_rows();
        let mut scores = [0.0; 16 * BLOCK];
        let mut shrinks = [1.0; 16];
        for (index, tile) in self.tiles.iter().enumerate() {
            if tile.start < rows.start || tile.end > rows.end {
                continue;
            }
            let visible: [Range<usize>; 16] = std::array::from_fn(|i| match self.rows[tile.clone()].get(i) {
                Some(row) => block.visible(self.call, row.position),
                None => 0..0,
            });
            let seen = visible.iter().map(|range| range.end).max().unwrap_or(0);
            if visible.iter().all(Range::is_empty) {
                continue;
            }
            let count = tile.len();
            let scores = &mut scores[..count * BLOCK];
            let a = &self.queries[index * panel..][..panel];
            let product =
                Product { order: Order::Packed, a, b: keys, b_stride: BLOCK, rows: count, columns: seen, k: dim };
            small_product(cpu, product, scores, BLOCK, Start::Zero);
            let state = Softmax {
                max: &mut self.max[tile.clone()],
                sum: &mut self.sum[tile.clone()],
                shrink: &mut shrinks[..count],
            };
            soften(cpu.level, scores, state, &visible[..count], &self.call.shape);
            let sums = &mut self.sums[tile.start * dim..tile.end * dim];
            shrink(cpu.level, sums, &shrinks[..count]);
            let mut first = 0;
            for &Values { rows: b, stride: b_stride, count: run } in values {
                let (order, k) = (Order::Rows64, run.min(seen.saturating_sub(first)));
                let product = Product { order, a: &scores[first..], b, b_stride, rows: count, columns: dim, k };
                small_product(cpu, product, sums, dim, Start::Result);
                first += k;
            }
        }
    }

    /// Divides by the sums of exponentials.
    fn finish(&self, out: SharedMut<'_>, lse: SharedMut<'_>) {
        let dim = self.call.shape.head_dim;
        for (i, row) in self.rows.iter().enumerate() {
            // SAFETY: the queries of a layout are covered once, so this row belongs to this task and key head alone.
            let (out, lse) = unsafe { (out.slice(row.start, dim), lse.slice(row.index, 1)) };
            let factor = 1.0 / self.sum[i];
            out.iter_mut().zip(&self.sums[i * dim..]).for_each(|(out, sum)| *out = sum * factor);
            lse[0] = self.max[i] + self.sum[i].ln();
        }
    }
}
