//! The backward pass: probabilities are computed again from the log-sum-exp, block by block.
use super::block::Block;
use super::forward::{pack_rows, tiles};
use super::plan::{Task, tasks};
use super::scores::{Known, gradient};
use super::{BLOCK, Call, Product, Row, check, small_product};
use crate::KeyOrder;
use crate::cpu::parallel::{SharedMut, for_each};
use crate::cpu::tile::{Order, Start};
use crate::pool::Lease;
use std::ops::Range;

/// What the forward pass left, and the gradient of its output.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output<'a> {
    pub(crate) d_out: &'a [f32],
    pub(crate) out: &'a [f32],
    pub(crate) lse: &'a [f32],
}

/// Gradients of queries, keys and values.
#[derive(Clone, Copy, Debug)]
struct Gradients<'a> {
    dq: SharedMut<'a>,
    dk: SharedMut<'a>,
    dv: SharedMut<'a>,
}

/// See [`crate::Backend::attention_backward`]. Trees and key heads run in parallel; within one, segments add to the keys
/// that they share in their order.
pub(crate) fn backward(call: &Call<'_>, dq: &mut [f32], dk: &mut [f32], dv: &mut [f32], output: Output<'_>) {
    check(call, output.out.len(), output.lse.len());
    assert!(call.shape.key_order == KeyOrder::Rows, "turned keys are for forward passes");
    assert!(output.d_out.len() == call.q.len() && dq.len() == call.q.len());
    assert!(dk.len() == call.k.len() && dv.len() == call.k.len());
    let kv_heads = call.shape.kv_heads;
    let to = Gradients { dq: SharedMut::new(dq), dk: SharedMut::new(dk), dv: SharedMut::new(dv) };
    for_each(call.layout.trees.len() * kv_heads, call.work() * 3, |index| {
        let tree = call.layout.trees[index / kv_heads].clone();
        for task in tasks(&call.layout.segments, tree, call.group()) {
            Rows::new(call, output, &task, index % kv_heads).run(&task, to);
        }
    });
}

/// The rows of a task for one key head.
struct Rows<'a> {
    call: &'a Call<'a>,
    kv_head: usize,
    rows: Vec<Row>,
    pieces: Vec<Range<usize>>,
    tiles: Vec<Range<usize>>,
    /// Packed queries and output gradients, tile by tile.
    q_panels: Lease,
    d_panels: Lease,
    /// The same as rows of `padded_dim`.
    q_rows: Lease,
    d_rows: Lease,
    /// Gradients of the queries.
    dq: Lease,
    lse: Vec<f32>,
    delta: Vec<f32>,
}

/// One block of keys and values, in the orders that the products read, and room for its gradients.
struct Buffers {
    k_rows: Lease,
    k_columns: Lease,
    v_columns: Lease,
    /// Probabilities and gradients of scores: a row of 64 for each row of the task.
    p: Lease,
    ds: Lease,
    d_keys: Lease,
}

/// Copies rows to a stride of `padded`, the padding 0.
fn pad_rows(source: &[f32], rows: &[Row], dim: usize, padded: usize, to: &mut [f32]) {
    for (row, to) in rows.iter().zip(to.chunks_exact_mut(padded)) {
        to[..dim].copy_from_slice(&source[row.start..][..dim]);
        to[dim..].fill(0.0);
    }
}

impl<'a> Rows<'a> {
    fn new(call: &'a Call<'a>, output: Output<'_>, task: &Task, kv_head: usize) -> Self {
        let (level, pool) = (call.cpu.level, &call.cpu.pool);
        let (dim, padded) = (call.shape.head_dim, call.padded_dim());
        let mut rows = Vec::new();
        let mut pieces = Vec::with_capacity(task.len());
        for piece in task {
            let start = rows.len();
            rows.extend(call.rows(piece, kv_head));
            pieces.push(start..rows.len());
        }
        let tiles: Vec<_> = pieces.iter().flat_map(|piece| tiles(piece.clone(), level.tile_rows())).collect();
        let panel = dim * level.padded_rows();
        let mut q_panels = Lease::new(pool, tiles.len() * panel);
        let mut d_panels = Lease::new(pool, tiles.len() * panel);
        let mut scratch = Lease::new(pool, level.tile_rows() * dim);
        for (i, tile) in tiles.iter().enumerate() {
            let range = i * panel..(i + 1) * panel;
            pack_rows(call, call.q, &rows[tile.clone()], &mut q_panels[range.clone()], &mut scratch);
            pack_rows(call, output.d_out, &rows[tile.clone()], &mut d_panels[range], &mut scratch);
        }
        let mut q_rows = Lease::new(pool, rows.len() * padded);
        let mut d_rows = Lease::new(pool, rows.len() * padded);
        pad_rows(call.q, &rows, dim, padded, &mut q_rows);
        pad_rows(output.d_out, &rows, dim, padded, &mut d_rows);
        let mut dq = Lease::new(pool, rows.len() * dim);
        dq.fill(0.0);
        let dot = |row: &Row| {
            let pairs = output.out[row.start..][..dim].iter().zip(&output.d_out[row.start..]);
            pairs.map(|(out, d_out)| out * d_out).sum()
        };
        let delta = rows.iter().map(dot).collect();
        let lse = rows.iter().map(|row| output.lse[row.index]).collect();
        Self { call, kv_head, rows, pieces, tiles, q_panels, d_panels, q_rows, d_rows, dq, lse, delta }
    }

    fn run(mut self, task: &Task, to: Gradients<'_>) {
        let (dim, padded) = (self.call.shape.head_dim, self.call.padded_dim());
        let lease = |len| Lease::new(&self.call.cpu.pool, len);
        let mut buffers = Buffers {
            k_rows: lease(BLOCK * padded),
            k_columns: lease(BLOCK * dim),
            v_columns: lease(BLOCK * dim),
            p: lease(self.rows.len() * BLOCK),
            ds: lease(self.rows.len() * BLOCK),
            d_keys: lease(BLOCK * dim),
        };
        let segment = |piece: usize| &self.call.layout.segments[task[piece].segment];
        let earliest = self.rows.iter().map(|row| row.position).min().unwrap_or(0);
        let shared_end = segment(0).position / BLOCK;
        let mut steps = Vec::new();
        for index in self.call.first_visible(earliest) / BLOCK..shared_end {
            steps.push((Block::new(segment(0), index, usize::MAX), 0..self.rows.len()));
        }
        for (piece, rows) in self.pieces.iter().enumerate() {
            let end = self.rows[rows.clone()].last().map_or(0, |row| row.position + 1);
            let first = self.call.first_visible(self.rows[rows.start].position) / BLOCK;
            for index in shared_end.max(first)..end.div_ceil(BLOCK) {
                steps.push((Block::new(segment(piece), index, end), rows.clone()));
            }
        }
        for (block, rows) in steps {
            self.block(&block, &mut buffers, rows, to);
        }
        for (row, dq) in self.rows.iter().zip(self.dq.chunks_exact(dim)) {
            // SAFETY: the queries of a layout are covered once, so this row belongs to this task and key head alone.
            let total = unsafe { to.dq.slice(row.start, dim) };
            total.iter_mut().zip(dq).for_each(|(total, dq)| *total += dq);
        }
    }

    /// The gradients that pass through one block.
    fn block(&mut self, block: &Block, buffers: &mut Buffers, rows: Range<usize>, to: Gradients<'_>) {
        let call = self.call;
        // Values are only read as columns; the key rows are gathered last, as they lend their place before.
        call.gather_transposed(block, call.v, self.kv_head, &mut buffers.v_columns, &mut buffers.k_rows);
        call.gather_transposed(block, call.k, self.kv_head, &mut buffers.k_columns, &mut buffers.k_rows);
        call.gather_keys(block, call.k, self.kv_head, &mut buffers.k_rows);
        let mut touched = rows.end..rows.start;
        for index in 0..self.tiles.len() {
            let tile = self.tiles[index].clone();
            if tile.start >= rows.start && tile.end <= rows.end && self.tile(index, block, buffers) {
                touched = touched.start.min(tile.start)..touched.end.max(tile.end);
            }
        }
        self.keys(block, &buffers.p, &self.d_rows, &mut buffers.d_keys, &touched, to.dv);
        self.keys(block, &buffers.ds, &self.q_rows, &mut buffers.d_keys, &touched, to.dk);
    }

    /// Probabilities and gradients of scores of one tile, and what they add to the queries' gradient; whether the tile
    /// sees the block.
    fn tile(&mut self, index: usize, block: &Block, buffers: &mut Buffers) -> bool {
        let (call, tile) = (self.call, self.tiles[index].clone());
        let (cpu, dim, padded) = (call.cpu, call.shape.head_dim, call.padded_dim());
        let panel = dim * cpu.level.padded_rows();
        let visible: [Range<usize>; 16] = std::array::from_fn(|i| match self.rows[tile.clone()].get(i) {
            Some(row) => block.visible(call, row.position),
            None => 0..0,
        });
        let seen = visible.iter().map(|range| range.end).max().unwrap_or(0);
        let range = tile.start * BLOCK..tile.end * BLOCK;
        let (p, ds) = (&mut buffers.p[range.clone()], &mut buffers.ds[range]);
        if visible.iter().all(Range::is_empty) {
            p.fill(0.0);
            ds.fill(0.0);
            return false;
        }
        let by_columns = |a, b, to: &mut [f32]| {
            let rows = tile.len();
            let product = Product { order: Order::Packed, a, b, b_stride: BLOCK, rows, columns: seen, k: dim };
            small_product(cpu, product, to, BLOCK, Start::Zero);
        };
        by_columns(&self.q_panels[index * panel..][..panel], &buffers.k_columns, p);
        by_columns(&self.d_panels[index * panel..][..panel], &buffers.v_columns, ds);
        let known = Known { lse: &self.lse[tile.clone()], delta: &self.delta[tile.clone()] };
        gradient(cpu.level, p, ds, known, &visible[..tile.len()], &call.shape);
        let dq = &mut self.dq[tile.start * dim..tile.end * dim];
        let b = &buffers.k_rows;
        let product =
            Product { order: Order::Rows64, a: ds, b, b_stride: padded, rows: tile.len(), columns: dim, k: seen };
        small_product(cpu, product, dq, dim, Start::Result);
        true
    }

    /// Adds `weightsᵀ rows` to the gradient of the block's keys or values.
    fn keys(
        &self,
        block: &Block,
        weights: &[f32],
        source: &[f32],
        sums: &mut [f32],
        touched: &Range<usize>,
        to: SharedMut<'_>,
    ) {
        let (cpu, dim, padded) = (self.call.cpu, self.call.shape.head_dim, self.call.padded_dim());
        if touched.is_empty() {
            return;
        }
        let (weights, source) = (&weights[touched.start * BLOCK..], &source[touched.start * padded..]);
        for keys in tiles(0..block.len(), cpu.level.tile_rows()) {
            let product = Product {
                order: Order::Columns64,
                a: &weights[keys.start..],
                b: source,
                b_stride: padded,
                rows: keys.len(),
                columns: dim,
                k: touched.len(),
            };
            small_product(cpu, product, &mut sums[keys.start * dim..], dim, Start::Zero);
        }
        let rows = block.runs.iter().flat_map(|&(start, count)| start..start + count);
        for (row, sums) in rows.zip(sums.chunks_exact(dim)) {
            // SAFETY: trees share no key rows, and within a tree this task alone works on this key head.
            let total = unsafe { to.slice((row * self.call.shape.kv_heads + self.kv_head) * dim, dim) };
            total.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
    }
}
