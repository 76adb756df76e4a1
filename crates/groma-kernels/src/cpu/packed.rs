//! A whole operand as packed B.
use super::arithmetic::Arithmetic;
use super::operand::Operand;
use super::parallel::{SharedMut, for_each};
use crate::pool::{Lease, Pool, Stay};
use std::ops::Range;
use std::sync::Arc;

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
