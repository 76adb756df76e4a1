//! Packing: the operands of a product in the order in which its inner loop reads them.
//!
//! A is cut into panels of a few rows, B into panels of [`Level::tile_columns`] columns; in a panel, the elements of one
//! `k` lie side by side.
use super::Level;
use super::arithmetic::Arithmetic;
use super::half::{Half, word};
use super::parallel::{SharedMut, for_each};
use super::simd::{Vector, multiversion};
use crate::pool::{Lease, Pool, Stay};
use std::ops::Range;
use std::sync::Arc;

/// One operand as it lies in memory. `i` counts rows of A or columns of B, `k` the inner dimension.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operand<'a> {
    /// The elements.
    pub(crate) data: &'a [f32],
    /// Distance of two rows of `data`.
    pub(crate) stride: usize,
    /// Element `(i, k)` is `data[i * stride + k]` if so, else `data[k * stride + i]`.
    pub(crate) inner_is_contiguous: bool,
}

impl<'a> Operand<'a> {
    /// Rows along `i`: `data[i * stride + k]`.
    pub(crate) fn rows(data: &'a [f32], stride: usize) -> Self {
        Self { data, stride, inner_is_contiguous: true }
    }

    /// Rows along `k`: `data[k * stride + i]`.
    pub(crate) fn columns(data: &'a [f32], stride: usize) -> Self {
        Self { data, stride, inner_is_contiguous: false }
    }

    /// Whether both are the same elements in the same order.
    pub(crate) fn is(&self, other: Operand<'_>) -> bool {
        let order = (self.stride, self.inner_is_contiguous) == (other.stride, other.inner_is_contiguous);
        order && std::ptr::eq(self.data, other.data)
    }

    /// Panics unless all elements below the given ends are there.
    pub(crate) fn check(&self, i_end: usize, k_end: usize) {
        let (rows, width) = if self.inner_is_contiguous { (i_end, k_end) } else { (k_end, i_end) };
        let needed = if rows == 0 || width == 0 { 0 } else { (rows - 1) * self.stride + width };
        assert!(needed <= self.data.len() && width <= self.stride.max(1), "an operand is shorter than its shape");
    }
}

/// Copies the elements `(i, k)` with `i` in a range of at most `padded`, `k` in a range, to `panel[(k - k0) * padded + i - i0]`;
/// the rest up to the padding is 0.
#[inline(always)]
fn pack_panel_with<V: Vector>(panel: &mut [f32], source: Operand<'_>, i: Range<usize>, k: Range<usize>, padded: usize) {
    source.check(i.end, k.end);
    let (count, depth) = (i.len(), k.len());
    assert!(count <= padded && padded.is_multiple_of(V::LANES) && panel.len() >= depth * padded);
    let to = panel.as_mut_ptr();
    if source.inner_is_contiguous {
        let whole = depth / V::LANES * V::LANES;
        for first in (0..padded).step_by(V::LANES) {
            let rows = count.saturating_sub(first).min(V::LANES);
            // SAFETY: `check` covers what is read; of missing rows nothing is read, so where they start does not matter.
            let from = source.data.as_ptr().wrapping_add((i.start + first) * source.stride + k.start);
            for block in (0..whole).step_by(V::LANES) {
                // SAFETY: `rows` rows of `LANES` values lie inside the source, `LANES` rows inside the panel, by the asserts.
                unsafe {
                    V::transpose(from.wrapping_add(block), source.stride, rows, to.add(block * padded + first), padded)
                };
            }
            for inner in whole..depth {
                for lane in 0..V::LANES {
                    // SAFETY: as above.
                    unsafe {
                        *to.add(inner * padded + first + lane) =
                            if lane < rows { *from.add(lane * source.stride + inner) } else { 0.0 }
                    };
                }
            }
        }
    } else {
        let from = source.data.as_ptr().wrapping_add(k.start * source.stride + i.start);
        for first in (0..padded).step_by(V::LANES) {
            let valid = count.saturating_sub(first).min(V::LANES);
            for inner in 0..depth {
                // SAFETY: `check` covers the `valid` values that are read (beyond the last column none), the assert the
                // `LANES` that are written.
                unsafe {
                    let from = from.wrapping_add(inner * source.stride + first);
                    let values = if valid == V::LANES { V::load(from) } else { V::load_first(from, valid) };
                    values.store(to.add(inner * padded + first));
                }
            }
        }
    }
}

multiversion! {
    /// Packs one panel; see the file's head.
    pub(crate) fn pack_panel(panel: &mut [f32], source: Operand<'_>, i: Range<usize>, k: Range<usize>, padded: usize) = pack_panel_with;
}

/// Packs one panel of B whose values are exact in 16 bits. In bf16, word `j` of a step holds column `j` in its lower half, and
/// column `lanes + j` in its upper, as a shift or a mask makes vectors of them; in f16 columns lie in their order, as
/// processors convert them.
pub(crate) fn pack_halves(
    level: Level,
    kept: Half,
    panel: &mut [f32],
    source: Operand<'_>,
    columns: Range<usize>,
    k: Range<usize>,
) {
    const DEPTH: usize = 32;
    const WIDEST: usize = 32;
    let (width, lanes) = (level.tile_columns(), level.lanes());
    let mut whole = [0.0; DEPTH * WIDEST];
    for (start, words) in k.clone().step_by(DEPTH).zip(panel.chunks_mut(DEPTH * lanes)) {
        let some = start..k.end.min(start + DEPTH);
        pack_panel(level, &mut whole, source, columns.clone(), some, width);
        for (values, words) in whole.chunks_exact(width).zip(words.chunks_exact_mut(lanes)) {
            let pair = |j: usize| match kept {
                Half::Bf16 => (values[j], values[lanes + j]),
                Half::F16 => (values[2 * j], values[2 * j + 1]),
            };
            for (j, to) in words.iter_mut().enumerate() {
                let (lower, upper) = pair(j);
                *to = word(kept.of(lower), kept.of(upper));
            }
        }
    }
}

/// The whole of an operand as packed B.
#[derive(Debug)]
pub(crate) struct Packed {
    words: Lease,
    arithmetic: Arithmetic,
    columns: usize,
    inner: usize,
}

impl Packed {
    /// Packs some inner indices, from the start of a step on, of all columns.
    pub(crate) fn new(
        arithmetic: Arithmetic,
        pool: &Arc<Pool>,
        source: Operand<'_>,
        columns: usize,
        k: Range<usize>,
        stay: Stay,
    ) -> Self {
        let mut packed = Self::blank(arithmetic, pool, columns, k.len(), stay);
        packed.fill((0, 0), source, columns, k);
        packed
    }

    /// Room for so many columns and inner indices, to be put in.
    pub(crate) fn blank(arithmetic: Arithmetic, pool: &Arc<Pool>, columns: usize, inner: usize, stay: Stay) -> Self {
        let panel_len = inner.div_ceil(arithmetic.step()) * arithmetic.right_words();
        let words = Lease::staying(pool, columns.div_ceil(arithmetic.tile_columns()) * panel_len, stay);
        Self { words, arithmetic, columns, inner }
    }

    /// Packs some columns, from the start of a panel on, and inner indices, from the start of a step on: those of `source`
    /// from its first on.
    pub(crate) fn put(&mut self, columns: Range<usize>, k: Range<usize>, source: Operand<'_>) {
        let (width, step) = (self.arithmetic.tile_columns(), self.arithmetic.step());
        assert!(
            columns.start.is_multiple_of(width) && k.start.is_multiple_of(step),
            "panels and steps are put in whole"
        );
        self.fill((columns.start / width, k.start / step), source, columns.len(), 0..k.len());
    }

    /// Packs `columns` columns and some inner indices of `source` to where a panel and a step begin.
    fn fill(&mut self, (panel, step): (usize, usize), source: Operand<'_>, columns: usize, k: Range<usize>) {
        let (arithmetic, stride) = (self.arithmetic, self.panel_stride());
        let (width, words) = (arithmetic.tile_columns(), arithmetic.right_words());
        let (first, len) = (panel * stride + step * words, k.len().div_ceil(arithmetic.step()) * words);
        let shared = SharedMut::new(&mut self.words);
        for_each(columns.div_ceil(width), columns * k.len(), |panel| {
            // SAFETY: each panel has its own place.
            let to = unsafe { shared.slice(first + panel * stride, len) };
            arithmetic.pack_right(to, source, panel * width..columns.min((panel + 1) * width), k.clone());
        });
    }

    /// Copies a column, of which the values were rounded when it was packed.
    pub(crate) fn column(&self, column: usize, to: &mut [f32]) {
        let (width, stride) = (self.arithmetic.tile_columns(), self.panel_stride());
        assert!(column < self.columns && to.len() == self.inner, "a packed operand has another shape");
        self.arithmetic.unpack_right(&self.words[column / width * stride..][..stride], column % width, to);
    }

    /// Its size.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    /// How products with it are computed.
    pub(crate) fn arithmetic(&self) -> Arithmetic {
        self.arithmetic
    }

    /// Whether it was made for products of this shape, computed so.
    pub(crate) fn fits(&self, arithmetic: Arithmetic, columns: usize, inner: usize) -> bool {
        arithmetic.takes(self.arithmetic) && (self.columns, self.inner) == (columns, inner)
    }

    /// Panics unless there are so many columns from a panel on, and so many inner indices.
    pub(crate) fn check(&self, arithmetic: Arithmetic, panel: usize, columns: usize, inner_end: usize) {
        let end = panel * arithmetic.tile_columns() + columns;
        assert!(
            arithmetic.takes(self.arithmetic) && end <= self.columns && inner_end <= self.inner,
            "a packed operand has another shape"
        );
    }

    /// Everything from a panel's step on.
    pub(crate) fn panels_from(&self, panel: usize, step: usize) -> &[f32] {
        &self.words[panel * self.panel_stride() + step * self.arithmetic.right_words()..]
    }

    /// Distance of two panels.
    pub(crate) fn panel_stride(&self) -> usize {
        self.inner.div_ceil(self.arithmetic.step()) * self.arithmetic.right_words()
    }
}
