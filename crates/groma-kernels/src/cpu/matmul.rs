//! Matrix products.
//!
//! `C[m, n] = start + A[m, k] B[k, n]`, cut as in Goto & van de Geijn (2008, "Anatomy of high-performance matrix
//! multiplication"): A is packed once; each task packs the panels of B that it needs and runs all of its rows of A
//! through them. Tasks split rows and columns, never `k`, so that neither the number of threads nor of rows changes a bit
//! (see [`super::tile`]).
use super::Level;
use super::pack::{Operand, Packed, pack_panel};
use super::parallel::{SharedMut, for_each, is_worth};
use super::tile::{Order, Start, Tile, TileFunction};
use crate::pool::{Lease, Pool};
use std::ops::Range;
use std::sync::Arc;

/// Depth of a block of B that stays in the first cache.
const DEPTH: usize = 512;
/// Panels of B that a task packs at a time.
const PANELS: usize = 8;
/// Panels of A that stay in the second cache.
const A_PANELS: usize = 24;
/// Largest depth that is packed at once, so that a long sum over rows needs bounded memory.
const PACKED_DEPTH: usize = 2048;
/// Most rows that are packed at once.
const PACKED_ROWS: usize = 4096;
/// Tasks per thread that even out the work.
const TASKS_PER_THREAD: usize = 4;

/// The right-hand operand.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Right<'a> {
    /// As it lies in memory; packed on the way.
    Plain(Operand<'a>),
    /// Packed before: `n` columns and `k` inner indices of it, from a panel and an inner index on.
    Packed {
        /// The whole.
        packed: &'a Packed,
        /// First panel.
        panel: usize,
        /// First inner index.
        inner: usize,
    },
}

/// What the result starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Initial<'a> {
    /// Zero: C is overwritten.
    Zero,
    /// C: the product is added.
    Result,
    /// One value for each column: C is overwritten.
    Bias(&'a [f32]),
}

/// Rows, columns and inner dimension of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

/// `count` things cut into `parts` nearly equal runs.
#[derive(Clone, Copy, Debug)]
struct Cut {
    count: usize,
    parts: usize,
}

impl Cut {
    /// As few runs of at most `longest` as there may be.
    fn at_most(count: usize, longest: usize) -> Self {
        Self { count, parts: count.div_ceil(longest).max(1) }
    }

    fn range(self, part: usize) -> Range<usize> {
        let (base, extra) = (self.count / self.parts, self.count % self.parts);
        let start = part * base + part.min(extra);
        start..start + base + usize::from(part < extra)
    }
}

/// The product. `c` is `[m, n]`.
pub(crate) fn multiply(
    level: Level,
    pool: &Arc<Pool>,
    size: Size,
    a: Operand<'_>,
    b: Right<'_>,
    c: &mut [f32],
    initial: Initial<'_>,
) {
    let Size { m, n, k } = size;
    assert!(c.len() == m * n, "the result has another shape");
    a.check(m, k);
    match b {
        Right::Plain(b) => b.check(n, k),
        Right::Packed { packed, panel, inner } => packed.check(level, panel, n, inner + k),
    }
    if let Initial::Bias(bias) = initial {
        assert!(bias.len() == n, "the bias has another width");
    }
    if m == 0 || n == 0 {
        return;
    }
    let c = SharedMut::new(c);
    let depths = Cut::at_most(k, PACKED_DEPTH);
    for rows in (0..m).step_by(PACKED_ROWS) {
        for depth in 0..depths.parts {
            let product = Product {
                level,
                pool,
                n,
                a,
                b,
                c,
                initial: if depth == 0 { initial } else { Initial::Result },
                k: depths.range(depth),
                first_row: rows,
                rows: Cut::at_most(m.min(rows + PACKED_ROWS) - rows, level.tile_rows()),
                panels: n.div_ceil(level.tile_columns()),
            };
            product.run();
        }
    }
}

/// A product whose A is packed as a whole.
struct Product<'a> {
    level: Level,
    pool: &'a Arc<Pool>,
    n: usize,
    a: Operand<'a>,
    b: Right<'a>,
    c: SharedMut<'a>,
    initial: Initial<'a>,
    /// Inner indices.
    k: Range<usize>,
    /// Row of C with which the first panel of A starts.
    first_row: usize,
    /// Rows, cut into panels of A.
    rows: Cut,
    /// Panels of B.
    panels: usize,
}

impl Product<'_> {
    fn run(&self) {
        let work = self.rows.count * self.n * self.k.len();
        let packed = self.pack_left();
        let (row_parts, panel_parts) = self.tasks(work);
        let (rows, panels) =
            (Cut { count: self.rows.parts, parts: row_parts }, Cut { count: self.panels, parts: panel_parts });
        for_each(row_parts * panel_parts, work, |task| {
            self.task(&packed, rows.range(task / panel_parts), panels.range(task % panel_parts));
        });
    }

    /// All of A, panel by panel.
    fn pack_left(&self) -> Lease {
        let padded = self.level.padded_rows();
        let panel_len = self.k.len() * padded;
        let mut packed = Lease::new(self.pool, self.rows.parts * panel_len);
        let shared = SharedMut::new(&mut packed);
        for_each(self.rows.parts, self.rows.count * self.k.len() * 2, |panel| {
            // SAFETY: each panel has its own place.
            let to = unsafe { shared.slice(panel * panel_len, panel_len) };
            let rows = self.rows.range(panel);
            let rows = self.first_row + rows.start..self.first_row + rows.end;
            pack_panel(self.level, to, self.a, rows, self.k.clone(), padded);
        });
        packed
    }

    /// Into how many runs the panels of A and of B are cut.
    fn tasks(&self, work: usize) -> (usize, usize) {
        if !is_worth(work) {
            return (1, 1);
        }
        let wanted = (rayon::current_num_threads() * TASKS_PER_THREAD).min(work >> 16);
        let columns = self.panels.div_ceil(PANELS).max(wanted.min(self.panels));
        if columns >= wanted {
            return (1, columns);
        }
        (wanted.div_ceil(columns).min(self.rows.parts), columns)
    }

    /// The tiles of some panels of A with some of B.
    fn task(&self, packed: &[f32], rows: Range<usize>, panels: Range<usize>) {
        let width = self.level.tile_columns();
        let depths = Cut::at_most(self.k.len(), DEPTH);
        let longest = depths.range(0).len();
        let mut scratch = match self.b {
            Right::Plain(_) => Lease::new(self.pool, panels.len().min(PANELS) * longest * width),
            Right::Packed { .. } => Lease::new(self.pool, 0),
        };
        for first in panels.clone().step_by(PANELS) {
            let panels = first..panels.end.min(first + PANELS);
            for depth in 0..depths.parts {
                let k = depths.range(depth);
                if let Right::Plain(b) = self.b {
                    for (panel, to) in panels.clone().zip(scratch.chunks_exact_mut((longest * width).max(1))) {
                        let inner = self.k.start + k.start..self.k.start + k.end;
                        pack_panel(self.level, to, b, panel * width..self.n.min((panel + 1) * width), inner, width);
                    }
                }
                let block = Block { first, k, scratch: &scratch, stride: longest * width };
                for start in rows.clone().step_by(A_PANELS) {
                    self.panels(packed, start..rows.end.min(start + A_PANELS), panels.clone(), &block);
                }
            }
        }
    }

    /// The tiles of some panels of A with a block of some panels of B.
    fn panels(&self, packed: &[f32], rows: Range<usize>, panels: Range<usize>, block: &Block<'_>) {
        let mut panel = panels.start;
        let wide = if rows.len() == 1 { self.level.wide_tile(self.rows.range(rows.start).len()) } else { None };
        if let Some((count, tile)) = wide {
            while panel + count <= panels.end {
                self.tile(packed, rows.start, panel..panel + count, block, Some(tile), rows.start);
                panel += count;
            }
        }
        for panel in panel..panels.end {
            for part in rows.clone() {
                self.tile(packed, part, panel..panel + 1, block, None, (part + 1).min(rows.end - 1));
            }
        }
    }

    /// A block of B from a panel on, and the distance of its panels.
    fn right<'b>(&'b self, panels: &Range<usize>, block: &'b Block<'_>) -> (&'b [f32], usize) {
        let width = self.level.tile_columns();
        let (values, stride) = match self.b {
            Right::Plain(_) => (&block.scratch[(panels.start - block.first) * block.stride..], block.stride),
            Right::Packed { packed, panel, inner } => {
                (packed.panels_from(panel + panels.start, inner + self.k.start + block.k.start), packed.panel_stride())
            }
        };
        (&values[..(panels.len() - 1) * stride + block.k.len() * width], stride)
    }

    /// One panel of A with a block of one panel of B, or of as many as the `wide` tile takes. `next` is the panel of A whose
    /// tile comes next.
    fn tile(
        &self,
        packed: &[f32],
        part: usize,
        panels: Range<usize>,
        block: &Block<'_>,
        wide: Option<TileFunction>,
        next: usize,
    ) {
        let (width, padded, k) = (self.level.tile_columns(), self.level.padded_rows(), &block.k);
        let first_column = panels.start * width;
        let columns = (panels.len() * width).min(self.n - first_column);
        let start = match self.initial {
            _ if k.start > 0 => Start::Result,
            Initial::Zero => Start::Zero,
            Initial::Result => Start::Result,
            Initial::Bias(bias) => Start::Columns(bias[first_column..].as_ptr()),
        };
        let rows = self.rows.range(part).len();
        let corner = |part: usize| (self.first_row + self.rows.range(part).start) * self.n + first_column;
        let (b, panel_stride) = self.right(&panels, block);
        let tile = Tile {
            k: k.len(),
            a: packed[(part * self.k.len() + k.start) * padded..][..k.len() * padded].as_ptr(),
            b: b.as_ptr(),
            b_stride: width,
            panel_stride,
            c: self.c.pointer(corner(part), (rows - 1) * self.n + columns),
            c_stride: self.n,
            columns,
            start,
            next: self.c.hint(corner(next)),
        };
        let function = wide.unwrap_or_else(|| self.level.tile(Order::Packed, rows, columns));
        // SAFETY: A and B are slices of the lengths that the tile reads; its part of C is inside C, and no other task has
        // tiles with this panel of A and of B. The function is one for this many rows and at least these columns.
        unsafe { function(&tile) };
    }
}

/// The inner indices that a task is at, and B for these if it packs B itself.
struct Block<'a> {
    /// First packed panel.
    first: usize,
    /// Counted from the product's first.
    k: Range<usize>,
    scratch: &'a [f32],
    /// Distance of two packed panels.
    stride: usize,
}
