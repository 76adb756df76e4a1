//! The forward pass.
use super::block::{Block, PanelKeys, Values};
use super::plan::{Joint, joint, tasks};
use super::scores::{Softmax, shrink, soften};
use super::{BLOCK, Call, Product, Row, check, small_product};
use crate::cpu::operand::Operand;
use crate::cpu::pack::pack_panel;
use crate::cpu::parallel::{SharedMut, for_each};
use crate::cpu::tile::{Order, Start};
use crate::pool::Lease;
use crate::{KEY_PANEL, KeyOrder};
use std::ops::Range;

/// See [`crate::Backend::attention`].
pub(crate) fn forward(call: &Call<'_>, out: &mut [f32], lse: &mut [f32]) {
    check(call, out.len(), lse.len());
    let segments = &call.layout.segments;
    let tasks = joint(segments, tasks(segments, 0..segments.len(), call.group()), call.group());
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

/// The keys of a block.
enum Keys<'a> {
    /// Turned for the block: `[d * 64 + key]`.
    Turned(&'a [f32]),
    /// Where they lie.
    InPanels(Vec<PanelKeys>),
}

/// The rows of a task for one key head, and all that is remembered of them from block to block.
struct Rows<'a> {
    call: &'a Call<'a>,
    rows: Vec<Row>,
    /// Rows of each piece of the task.
    pieces: Vec<Range<usize>>,
    /// Of several small pieces first those across them, for what all see; then those of each piece.
    tiles: Vec<Range<usize>>,
    across: usize,
    memory: Memory,
}

/// One lease for a task: what [`Parts`] says, side by side.
struct Memory {
    lease: Lease,
    queries: usize,
    sums: usize,
    scratch: usize,
    rows: usize,
}

/// The parts of a task's memory.
struct Parts<'a> {
    /// Packed queries, tile by tile.
    queries: &'a mut [f32],
    /// Weighted sums of values, relative to the running maximum.
    sums: &'a mut [f32],
    /// What is needed for a block, or to pack a tile; read in whole vectors, so it starts like these.
    scratch: &'a mut [f32],
    /// Running maximum of each row's scores.
    max: &'a mut [f32],
    /// Running sum of each row's exponentials.
    sum: &'a mut [f32],
}

impl Memory {
    fn parts(&mut self) -> Parts<'_> {
        let (queries, rest) = self.lease.split_at_mut(self.queries);
        let (sums, rest) = rest.split_at_mut(self.sums);
        let (scratch, rest) = rest.split_at_mut(self.scratch);
        let (max, sum) = rest.split_at_mut(self.rows);
        Parts { queries, sums, scratch, max, sum }
    }
}

impl<'a> Rows<'a> {
    fn new(call: &'a Call<'a>, task: &Joint, kv_head: usize) -> Self {
        let (level, dim) = (call.cpu.level, call.shape.head_dim);
        let mut rows = Vec::new();
        let mut pieces: Vec<Range<usize>> = Vec::with_capacity(task.pieces.len());
        for piece in &task.pieces {
            let start = rows.len();
            rows.extend(call.rows(piece, kv_head));
            pieces.push(start..rows.len());
        }
        let most = level.tile_rows();
        let are_small = pieces.len() > 1 && 2 * rows.len() <= pieces.len() * most && task.blocks > 0;
        let across: Vec<_> = if are_small { tiles(0..rows.len(), most).collect() } else { Vec::new() };
        let own = pieces.iter().flat_map(|piece| tiles(piece.clone(), most));
        let (tiles, across): (Vec<_>, usize) = (across.iter().cloned().chain(own).collect(), across.len());
        let panel = dim * level.padded_rows();
        let (queries, sums) = (tiles.len() * panel, rows.len() * dim);
        let scratch = (level.tile_rows() * dim).max(call.block_scratch());
        let lease = Lease::new(&call.cpu.pool, queries + sums + scratch + 2 * rows.len());
        let mut memory = Memory { lease, queries, sums, scratch, rows: rows.len() };
        let parts = memory.parts();
        for (tile, panel) in tiles.iter().zip(parts.queries.chunks_exact_mut(panel.max(1))) {
            pack_rows(call, call.q, &rows[tile.clone()], panel, parts.scratch);
        }
        parts.sums.fill(0.0);
        parts.max.fill(f32::NEG_INFINITY);
        parts.sum.fill(0.0);
        Self { call, rows, pieces, tiles, across, memory }
    }

    /// Streams over the blocks: those that all pieces see once for all, the others piece by piece.
    fn run(&mut self, task: &Joint, kv_head: usize) {
        let earliest = self.rows.iter().map(|row| row.position).min().unwrap_or(0);
        let first = self.call.first_visible(earliest) / BLOCK;
        let (segments, shared_end) = (&self.call.layout.segments, task.blocks);
        let shared = if self.across > 0 { 0..self.across } else { 0..self.tiles.len() };
        for index in first..shared_end {
            let block = Block::new(&segments[task.pieces[0].segment], index, usize::MAX);
            self.block(&block, kv_head, (0..self.rows.len(), shared.clone()));
        }
        for (piece, rows) in task.pieces.iter().zip(self.pieces.clone()) {
            let end = self.rows[rows.clone()].last().map_or(0, |row| row.position + 1);
            let first = self.call.first_visible(self.rows[rows.start].position) / BLOCK;
            for index in shared_end.max(first)..end.div_ceil(BLOCK) {
                let block = Block::new(&segments[piece.segment], index, end);
                self.block(&block, kv_head, (rows.clone(), self.across..self.tiles.len()));
            }
        }
    }

    /// Takes one block into account for those of some tiles that lie inside `rows`.
    fn block(&mut self, block: &Block, kv_head: usize, (rows, among): (Range<usize>, Range<usize>)) {
        let call = self.call;
        let (cpu, dim) = (call.cpu, call.shape.head_dim);
        let panel = dim * cpu.level.padded_rows();
        let Parts { queries, sums, max, sum, scratch } = self.memory.parts();
        let (keys, values) = call.operands(block, kv_head, scratch);
        let mut scores = [0.0; 16 * BLOCK];
        let mut shrinks = [1.0; 16];
        for (index, tile) in self.tiles.iter().enumerate().take(among.end).skip(among.start) {
            if tile.start < rows.start || tile.end > rows.end {
                continue;
            }
            let visible: [Range<usize>; 16] = std::array::from_fn(|i| match self.rows[tile.clone()].get(i) {
                Some(row) => block.visible(call, row.position),
                None => 0..0,
            });
            let seen = visible.iter().map(|range| range.end).max().unwrap_or(0);
            if visible.iter().all(Range::is_empty) {
                continue;
            }
            let count = tile.len();
            let scores = &mut scores[..count * BLOCK];
            call.scores(&queries[index * panel..][..panel], count, &keys, seen, scores);
            let state =
                Softmax { max: &mut max[tile.clone()], sum: &mut sum[tile.clone()], shrink: &mut shrinks[..count] };
            soften(cpu.level, scores, state, &visible[..count], &call.shape);
            let sums = &mut sums[tile.start * dim..tile.end * dim];
            shrink(cpu.level, sums, &shrinks[..count]);
            let mut first = 0;
            for &Values { rows: b, stride: b_stride, count: run } in &values {
                let (order, k) = (Order::Rows64, run.min(seen.saturating_sub(first)));
                let product = Product { order, a: &scores[first..], b, b_stride, rows: count, columns: dim, k };
                small_product(cpu, product, sums, dim, Start::Result);
                first += k;
            }
        }
    }

    /// Divides by the sums of exponentials.
    fn finish(&mut self, out: SharedMut<'_>, lse: SharedMut<'_>) {
        let dim = self.call.shape.head_dim;
        let Parts { sums, max, sum, .. } = self.memory.parts();
        for (i, row) in self.rows.iter().enumerate() {
            // SAFETY: the queries of a layout are covered once, so this row belongs to this task and key head alone.
            let (out, lse) = unsafe { (out.slice(row.start, dim), lse.slice(row.index, 1)) };
            let factor = 1.0 / sum[i];
            out.iter_mut().zip(&sums[i * dim..]).for_each(|(out, sum)| *out = sum * factor);
            lse[0] = max[i] + sum[i].ln();
        }
    }
}

impl<'a> Call<'a> {
    /// Memory for keys and values of a block that are not read where they lie.
    fn block_scratch(&self) -> usize {
        let (dim, padded) = (self.shape.head_dim, self.padded_dim());
        let in_place = self.shape.key_order == KeyOrder::Cached && dim == padded;
        if in_place { 0 } else { (dim + padded) * BLOCK }
    }

    /// The keys and values of a block for products.
    fn operands<'b>(&self, block: &Block, kv_head: usize, scratch: &'b mut [f32]) -> (Keys<'b>, Vec<Values<'b>>)
    where
        'a: 'b,
    {
        let (keys, values) = scratch.split_at_mut(scratch.len().min(self.shape.head_dim * BLOCK));
        let keys = if self.shape.key_order == KeyOrder::Cached {
            Keys::InPanels(self.in_panels(block, kv_head).collect())
        } else {
            self.gather_transposed(block, self.k, kv_head, keys, values);
            Keys::Turned(keys)
        };
        let values = self.in_place(block, self.v, kv_head).unwrap_or_else(|| {
            self.gather_values(block, self.v, kv_head, values);
            vec![Values { rows: values, stride: self.padded_dim(), count: block.len() }]
        });
        (keys, values)
    }

    /// The raw scores of a tile of packed queries with the first `seen` keys of a block, rows of a block's width.
    fn scores(&self, queries: &[f32], rows: usize, keys: &Keys<'_>, seen: usize, scores: &mut [f32]) {
        let k = self.shape.head_dim;
        let mut part = |b: &[f32], b_stride, first: usize, columns| {
            let product = Product { order: Order::Packed, a: queries, b, b_stride, rows, columns, k };
            small_product(self.cpu, product, &mut scores[first..], BLOCK, Start::Zero);
        };
        match keys {
            Keys::Turned(keys) => part(keys, BLOCK, 0, seen),
            Keys::InPanels(panels) => {
                for keys in panels {
                    part(&self.k[keys.start..], KEY_PANEL, keys.first, keys.count.min(seen.saturating_sub(keys.first)));
                }
            }
        }
    }
}
