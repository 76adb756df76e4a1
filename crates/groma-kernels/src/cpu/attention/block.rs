//! Blocks of keys and values, gathered along a path.
use super::{BLOCK, Call};
use crate::cpu::operand::Operand;
use crate::cpu::pack::pack_panel;
use crate::{AttentionSegment, KEY_PANEL, KeyOrder, KeySpan};
use std::ops::Range;

/// The keys of some positions of a path, as runs of rows of the key buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// Path positions.
    pub(super) positions: Range<usize>,
    /// First row and number of rows of each run.
    pub(super) runs: Vec<(usize, usize)>,
}

impl Block {
    /// Block `index` of the path to a segment, as far as position `end`.
    pub(super) fn new(segment: &AttentionSegment, index: usize, end: usize) -> Self {
        let positions = index * BLOCK..end.min((index + 1) * BLOCK);
        let own = KeySpan { start: segment.key_start, len: segment.len, position: segment.position };
        let first = segment.ancestors.partition_point(|span| span.position + span.len <= positions.start);
        let mut runs = Vec::with_capacity(1);
        let mut position = positions.start;
        for span in segment.ancestors[first..].iter().chain([&own]) {
            if position >= positions.end {
                break;
            }
            let count = (span.position + span.len).min(positions.end).saturating_sub(position);
            if count > 0 {
                runs.push((span.start + (position - span.position), count));
                position += count;
            }
        }
        assert_eq!(position, positions.end, "a segment's ancestors leave a gap");
        Self { positions, runs }
    }

    /// Number of keys.
    pub(super) fn len(&self) -> usize {
        self.positions.len()
    }

    /// Which keys of the block a query sees, as a range of indices into it.
    pub(super) fn visible(&self, call: &Call<'_>, position: usize) -> Range<usize> {
        let first = call.first_visible(position).saturating_sub(self.positions.start).min(self.len());
        let end = (position + 1).saturating_sub(self.positions.start).min(self.len());
        first..end.max(first)
    }
}

/// A run of the rows of a block's values, `stride` apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values<'a> {
    pub(super) rows: &'a [f32],
    pub(super) stride: usize,
    pub(super) count: usize,
}

/// Some keys of a block, side by side in a panel of [`crate::KeyOrder::Cached`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PanelKeys {
    /// The first in the block.
    pub(super) first: usize,
    /// How many.
    pub(super) count: usize,
    /// Index of the first key's first element.
    pub(super) start: usize,
}

impl Call<'_> {
    /// The keys of a head of the block where they lie in their panels.
    pub(super) fn in_panels(&self, block: &Block, kv_head: usize) -> impl Iterator<Item = PanelKeys> {
        let (dim, heads) = (self.shape.head_dim, self.shape.kv_heads);
        let mut first = 0;
        block.runs.iter().flat_map(move |&(start, count)| {
            let before = first;
            first += count;
            let panels = start / KEY_PANEL..(start + count).div_ceil(KEY_PANEL);
            panels.map(move |panel| {
                let rows = start.max(panel * KEY_PANEL)..(start + count).min((panel + 1) * KEY_PANEL);
                PanelKeys {
                    first: before + rows.start - start,
                    count: rows.len(),
                    start: (panel * heads + kv_head) * dim * KEY_PANEL + rows.start % KEY_PANEL,
                }
            })
        })
    }

    /// The values of a head of the block where they lie, run by run, if no row needs padding.
    pub(super) fn in_place<'a>(&self, block: &Block, values: &'a [f32], kv_head: usize) -> Option<Vec<Values<'a>>> {
        let dim = self.shape.head_dim;
        let (start, stride) = self.values_of(kv_head);
        let run = |&(first, count): &(usize, usize)| Values { rows: &values[start + first * stride..], stride, count };
        (dim == self.padded_dim()).then(|| block.runs.iter().map(run).collect())
    }

    /// Where a head's values start, and the distance of its rows.
    fn values_of(&self, kv_head: usize) -> (usize, usize) {
        let (dim, heads) = (self.shape.head_dim, self.shape.kv_heads);
        match self.shape.key_order {
            KeyOrder::Rows => (kv_head * dim, heads * dim),
            KeyOrder::Cached => (kv_head * self.layout.keys * dim, dim),
        }
    }

    /// Copies the values of a head of the block to rows of `padded_dim`, the padding 0.
    pub(super) fn gather_values(&self, block: &Block, values: &[f32], kv_head: usize, to: &mut [f32]) {
        self.gather(block, values, self.values_of(kv_head), to);
    }

    /// The same for keys in rows.
    pub(super) fn gather_keys(&self, block: &Block, keys: &[f32], kv_head: usize, to: &mut [f32]) {
        let (dim, heads) = (self.shape.head_dim, self.shape.kv_heads);
        self.gather(block, keys, (kv_head * dim, heads * dim), to);
    }

    fn gather(&self, block: &Block, source: &[f32], (start, stride): (usize, usize), to: &mut [f32]) {
        let (dim, padded) = (self.shape.head_dim, self.padded_dim());
        let rows = block.runs.iter().flat_map(|&(first, count)| first..first + count);
        for (row, to) in rows.zip(to.chunks_exact_mut(padded)) {
            to[..dim].copy_from_slice(&source[start + row * stride..][..dim]);
            to[dim..].fill(0.0);
        }
    }

    /// Writes the transpose of a head of the block's rows of `source`: `to[d * 64 + key]`, missing keys 0. `scratch` has
    /// room for a block of rows.
    pub(super) fn gather_transposed(
        &self,
        block: &Block,
        source: &[f32],
        kv_head: usize,
        to: &mut [f32],
        scratch: &mut [f32],
    ) {
        let dim = self.shape.head_dim;
        let operand = if let [(start, _)] = block.runs[..] {
            Operand::rows(&source[(start * self.shape.kv_heads + kv_head) * dim..], self.shape.kv_heads * dim)
        } else {
            self.gather_keys(block, source, kv_head, scratch);
            Operand::rows(scratch, self.padded_dim())
        };
        pack_panel(self.cpu.level, to, operand, 0..block.len(), 0..dim, BLOCK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_crosses_spans() {
        let ancestors = vec![KeySpan { start: 100, len: 60, position: 0 }, KeySpan { start: 7, len: 3, position: 60 }];
        let segment = AttentionSegment { query_start: 0, len: 50, key_start: 300, position: 63, ancestors };
        assert_eq!(Block::new(&segment, 0, 80).runs, [(100, 60), (7, 3), (300, 1)]);
        assert_eq!(Block::new(&segment, 1, 80).runs, [(301, 16)]);
        assert_eq!(Block::new(&segment, 1, 80).positions, 64..80);
    }
}
