//! Matrix products.
//!
//! `C[m, n] = start + A[m, k] B[k, n]`, cut as in Goto & van de Geijn (2008, "Anatomy of high-performance matrix
//! multiplication"): A is packed once; B by the tasks, each the panels that it needs, or once for all of them where rows are
//! cut, too, or where several products have it. Tasks split rows and columns, never `k`, so that neither the number of
//! threads nor of rows changes a bit (see [`super::tile`]).
use super::arithmetic::Arithmetic;
use super::operand::Operand;
use super::packed::Packed;
use super::parallel::{SharedMut, for_each, is_worth};
use super::tile::{Start, Tile, TileFunction};
use crate::pool::{Lease, Pool, Stay};
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
/// With so few panels of A, B is read once, or from the second cache.
const STREAMED_PANELS: usize = 2;
/// Largest B that is packed as a whole so that the tasks of one product share it.
const SHARED: usize = 1 << 22;
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
        /// First inner index, with which a step starts.
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
    arithmetic: Arithmetic,
    pool: &Arc<Pool>,
    size: Size,
    a: Operand<'_>,
    b: Right<'_>,
    c: &mut [f32],
    initial: Initial<'_>,
) {
    multiply_all(arithmetic, pool, size.k, vec![One { m: size.m, n: size.n, a, b, c, initial }]);
}

/// One of several products with the same inner dimension.
#[derive(Debug)]
pub(crate) struct One<'a> {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) a: Operand<'a>,
    pub(crate) b: Right<'a>,
    /// `[m, n]`.
    pub(crate) c: &'a mut [f32],
    pub(crate) initial: Initial<'a>,
}

impl One<'_> {
    /// Panics unless the operands cover the product; returns how it is computed.
    fn check(&self, arithmetic: Arithmetic, k: usize) -> Arithmetic {
        assert!(self.c.len() == self.m * self.n, "the result has another shape");
        self.a.check(self.m, k);
        if let Initial::Bias(bias) = self.initial {
            assert!(bias.len() == self.n, "the bias has another width");
        }
        match self.b {
            Right::Plain(b) => {
                b.check(self.n, k);
                arithmetic
            }
            Right::Packed { packed, panel, inner } => {
                assert!(inner.is_multiple_of(arithmetic.step()), "a packed operand is used from within a step on");
                packed.check(arithmetic, panel, self.n, inner + k);
                packed.arithmetic()
            }
        }
    }
}

/// Several products with the same inner dimension: the same results as one by one. An operand that several of them have is
/// packed once, and threads go from one product to the next without waiting.
pub(crate) fn multiply_all(arithmetic: Arithmetic, pool: &Arc<Pool>, k: usize, mut all: Vec<One<'_>>) {
    let ways: Vec<Arithmetic> = all.iter().map(|one| one.check(arithmetic, k)).collect();
    let most_rows = all.iter().filter(|one| one.n > 0).map(|one| one.m).max().unwrap_or(0);
    let step = arithmetic.step();
    let depths = Cut::at_most(k.div_ceil(step), PACKED_DEPTH / step);
    for depth in 0..depths.parts {
        for first_row in (0..most_rows).step_by(PACKED_ROWS) {
            let steps = depths.range(depth);
            let products = all.iter_mut().zip(&ways).filter(|(one, _)| one.m > first_row && one.n > 0);
            let products = products.map(|(one, &arithmetic)| Product {
                arithmetic,
                pool,
                n: one.n,
                inner: k,
                a: one.a,
                b: match one.b {
                    Right::Plain(operand) => Source::Plain(operand),
                    Right::Packed { packed, panel, inner } => {
                        Source::Packed { packed, panel, step: inner / step + steps.start }
                    }
                },
                c: SharedMut::new(one.c),
                initial: if depth == 0 { one.initial } else { Initial::Result },
                steps: (steps.start, steps.end),
                first_row,
                rows: Cut::at_most(one.m.min(first_row + PACKED_ROWS) - first_row, arithmetic.tile_rows()),
                panels: one.n.div_ceil(arithmetic.tile_columns()),
            });
            run(&products.collect::<Vec<_>>());
        }
    }
}

/// Runs products side by side.
fn run(products: &[Product<'_>]) {
    let work = products.iter().map(Product::work).sum();
    let (places, packed) = packed_rights(products, work);
    let with_right = |(product, place): (_, &Option<usize>)| {
        let product: &Product<'_> = product;
        place.and_then(|place| packed[place].as_ref()).map_or(*product, |packed| product.with_right(packed))
    };
    let products: Vec<Product<'_>> = products.iter().zip(&places).map(with_right).collect();
    let lefts = Distinct::of(products.iter().map(|product| Some((product.a, product.rows.count))));
    let packed: Vec<Lease> = lefts.first.iter().map(|&first| products[first].packed_left()).collect();
    let mut tasks = 0;
    let mut parts = Vec::with_capacity(products.len());
    for (product, place) in products.iter().zip(&lefts.places) {
        let (row_parts, panel_parts) = product.tasks(work);
        let rows = Cut { count: product.rows.parts, parts: row_parts };
        let panels = Cut { count: product.panels, parts: panel_parts };
        parts.push((tasks, product, &packed[place.unwrap_or(0)], rows, panels));
        tasks += row_parts * panel_parts;
    }
    for_each(tasks, work, |task| {
        let (first, product, left, rows, panels) = parts[parts.partition_point(|part| part.0 <= task) - 1];
        let task = task - first;
        product.task(left, rows.range(task / panels.parts), panels.range(task % panels.parts));
    });
}

/// Each B that several products or tasks share, packed as a whole; of the others, each task packs what it needs. For each
/// product, which is its own.
fn packed_rights(products: &[Product<'_>], work: usize) -> (Vec<Option<usize>>, Vec<Option<Packed>>) {
    let Distinct { first, places } = Distinct::of(products.iter().map(|product| match product.b {
        Source::Plain(b) => Some((b, product.n)),
        Source::Packed { .. } => None,
    }));
    let shared = |place: usize| {
        let users = places.iter().filter(|&&other| other == Some(place)).count();
        users > 1 || products[first[place]].tasks(work).0 > 1
    };
    let pack = |place: usize| shared(place).then(|| products[first[place]].packed_right()).flatten();
    let packed = (0..first.len()).map(pack).collect();
    (places, packed)
}

/// Operands that several products may have.
struct Distinct {
    /// For each, the first product that has it.
    first: Vec<usize>,
    /// For each product that has one, which.
    places: Vec<Option<usize>>,
}

impl Distinct {
    /// Of operands and their sizes across the inner dimension.
    fn of<'a>(operands: impl Iterator<Item = Option<(Operand<'a>, usize)>>) -> Self {
        let mut known: Vec<(Operand<'a>, usize)> = Vec::new();
        let mut distinct = Distinct { first: Vec::new(), places: Vec::new() };
        for (product, operand) in operands.enumerate() {
            distinct.places.push(operand.map(|(operand, size)| {
                known.iter().position(|&(other, count)| other.is(operand) && count == size).unwrap_or_else(|| {
                    known.push((operand, size));
                    distinct.first.push(product);
                    known.len() - 1
                })
            }));
        }
        distinct
    }
}

/// Where a product finds B.
#[derive(Clone, Copy)]
enum Source<'a> {
    /// As it lies in memory; each task packs what it needs.
    Plain(Operand<'a>),
    /// Packed, from a panel and a step on.
    Packed { packed: &'a Packed, panel: usize, step: usize },
}

/// A product whose A is packed as a whole.
#[derive(Clone, Copy)]
struct Product<'a> {
    arithmetic: Arithmetic,
    pool: &'a Arc<Pool>,
    n: usize,
    /// Inner indices of the whole.
    inner: usize,
    a: Operand<'a>,
    b: Source<'a>,
    c: SharedMut<'a>,
    initial: Initial<'a>,
    /// Steps along the inner dimension: first and end.
    steps: (usize, usize),
    /// Row of C with which the first panel of A starts.
    first_row: usize,
    /// Rows, cut into panels of A.
    rows: Cut,
    /// Panels of B.
    panels: usize,
}

impl<'a> Product<'a> {
    /// The same with a packed B.
    fn with_right(&self, packed: &'a Packed) -> Self {
        Product { b: Source::Packed { packed, panel: 0, step: 0 }, ..*self }
    }

    /// Multiply-adds.
    fn work(&self) -> usize {
        self.rows.count * self.n * self.all_indices().len()
    }

    /// The inner indices of all steps.
    fn all_indices(&self) -> Range<usize> {
        self.indices(&(self.steps.0..self.steps.1))
    }

    fn step_count(&self) -> usize {
        self.steps.1 - self.steps.0
    }

    /// The inner indices of some steps.
    fn indices(&self, steps: &Range<usize>) -> Range<usize> {
        let step = self.arithmetic.step();
        steps.start * step..self.inner.min(steps.end * step)
    }

    /// Whether there are so few rows that B only passes through, and need not be cut for a cache. Then a thread gets one
    /// run of panels, as handing out more would take as long as some products do.
    fn streams(&self) -> bool {
        self.rows.parts <= STREAMED_PANELS && matches!(self.b, Source::Packed { .. })
    }

    /// All of B, if it lies plain.
    fn packed_right(&self) -> Option<Packed> {
        let Source::Plain(b) = self.b else { return None };
        Some(Packed::new(self.arithmetic, self.pool, b, self.n, self.all_indices(), Stay::Short))
    }

    /// All of A, panel by panel.
    fn packed_left(&self) -> Lease {
        let panel_len = self.step_count() * self.arithmetic.left_words();
        let k = self.all_indices();
        let mut packed = Lease::new(self.pool, self.rows.parts * panel_len);
        let shared = SharedMut::new(&mut packed);
        for_each(self.rows.parts, self.rows.count * k.len() * 2, |panel| {
            // SAFETY: each panel has its own place.
            let to = unsafe { shared.slice(panel * panel_len, panel_len) };
            let rows = self.rows.range(panel);
            let rows = self.first_row + rows.start..self.first_row + rows.end;
            self.arithmetic.pack_left(to, self.a, rows, k.clone());
        });
        packed
    }

    /// Into how many runs the panels of A and of B are cut, if the products beside it and itself take so much work.
    fn tasks(&self, together: usize) -> (usize, usize) {
        if !is_worth(together) {
            return (1, 1);
        }
        let work = self.work();
        let per_thread = if self.streams() { 1 } else { TASKS_PER_THREAD };
        let wanted = (rayon::current_num_threads() * per_thread).min(work >> 16).max(1);
        if self.streams() {
            return (1, wanted.clamp(1, self.panels));
        }
        // A task takes several panels of B, so that it brings A into the second cache for more than one.
        let columns = self.panels.div_ceil(PANELS);
        let shares = matches!(self.b, Source::Packed { .. }) || work / self.rows.count <= SHARED;
        let row_parts = if shares { wanted.div_ceil(columns).min(self.rows.parts) } else { 1 };
        (row_parts, wanted.div_ceil(row_parts).max(columns).min(self.panels))
    }

    /// The tiles of some panels of A with some of B.
    fn task(&self, packed: &[f32], rows: Range<usize>, panels: Range<usize>) {
        let _ready = self.arithmetic.prepare_thread();
        let words = self.arithmetic.right_words();
        let depth = if self.streams() { PACKED_DEPTH } else { DEPTH };
        let depths = Cut::at_most(self.step_count(), depth / self.arithmetic.step());
        let stride = depths.range(0).len() * words;
        let mut scratch = match self.b {
            Source::Plain(_) => Lease::new(self.pool, panels.len().min(PANELS) * stride),
            Source::Packed { .. } => Lease::new(self.pool, 0),
        };
        for first in panels.clone().step_by(PANELS) {
            let panels = first..panels.end.min(first + PANELS);
            for depth in 0..depths.parts {
                let steps = depths.range(depth);
                if let Source::Plain(b) = self.b {
                    let all = self.steps.0 + steps.start..self.steps.0 + steps.end;
                    for (panel, to) in panels.clone().zip(scratch.chunks_exact_mut(stride.max(1))) {
                        self.pack_right(&mut to[..steps.len() * words], b, panel, &all);
                    }
                }
                let block = Block { first, steps, scratch: &scratch, stride };
                for start in rows.clone().step_by(A_PANELS) {
                    self.panels(packed, start..rows.end.min(start + A_PANELS), panels.clone(), &block);
                }
            }
        }
    }

    /// Some steps of one panel of B.
    fn pack_right(&self, to: &mut [f32], b: Operand<'_>, panel: usize, steps: &Range<usize>) {
        let width = self.arithmetic.tile_columns();
        let columns = panel * width..self.n.min((panel + 1) * width);
        self.arithmetic.pack_right(to, b, columns, self.indices(steps));
    }

    /// The tiles of some panels of A with a block of some panels of B.
    fn panels(&self, packed: &[f32], rows: Range<usize>, panels: Range<usize>, block: &Block<'_>) {
        let mut panel = panels.start;
        let wide = if rows.len() == 1 { self.arithmetic.wide_tile(self.rows.range(rows.start).len()) } else { None };
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
        let words = self.arithmetic.right_words();
        let (values, stride) = match self.b {
            Source::Plain(_) => (&block.scratch[(panels.start - block.first) * block.stride..], block.stride),
            Source::Packed { packed, panel, step } => {
                (packed.panels_from(panel + panels.start, step + block.steps.start), packed.panel_stride())
            }
        };
        (&values[..(panels.len() - 1) * stride + block.steps.len() * words], stride)
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
        let (width, words, steps) = (self.arithmetic.tile_columns(), self.arithmetic.left_words(), &block.steps);
        let first_column = panels.start * width;
        let columns = (panels.len() * width).min(self.n - first_column);
        let start = match self.initial {
            _ if steps.start > 0 => Start::Result,
            Initial::Zero => Start::Zero,
            Initial::Result => Start::Result,
            Initial::Bias(bias) => Start::Columns(bias[first_column..].as_ptr()),
        };
        let rows = self.rows.range(part).len();
        let corner = |part: usize| (self.first_row + self.rows.range(part).start) * self.n + first_column;
        let (b, panel_stride) = self.right(&panels, block);
        let tile = Tile {
            steps: steps.len(),
            a: packed[(part * self.step_count() + steps.start) * words..][..steps.len() * words].as_ptr(),
            b: b.as_ptr(),
            b_stride: self.arithmetic.right_words(),
            panel_stride,
            c: self.c.pointer(corner(part), (rows - 1) * self.n + columns),
            c_stride: self.n,
            rows,
            columns,
            start,
            next: self.c.hint(corner(next)),
        };
        let function = wide.unwrap_or_else(|| self.arithmetic.tile(rows, columns));
        // SAFETY: A and B are slices of the lengths that the tile reads; its part of C is inside C, and no other task has
        // tiles with this panel of A and of B. The function is one for this many rows and at least these columns.
        unsafe { function(&tile) };
    }
}

/// The steps that a task is at, and B for these if it packs B itself.
struct Block<'a> {
    /// First packed panel.
    first: usize,
    /// Counted from the product's first.
    steps: Range<usize>,
    scratch: &'a [f32],
    /// Distance of two packed panels.
    stride: usize,
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::Level;

    fn values(len: usize, factor: usize) -> Vec<f32> {
        (0..len).map(|i| (i * factor % 1013) as f32 / 1013.0 - 0.5).collect()
    }

    /// AMX's packing, edges and order of steps: AMX where there is any, its model on processors without it, and AVX-512
    /// BF16 see the same rounded operands, and their sums differ by rounding alone.
    #[test]
    fn the_tiles_of_amx_agree_with_vectors() {
        let kinds: &[Arithmetic] = match Level::detected() {
            Level::AmxBf16 => &[Arithmetic::AmxModel, Arithmetic::Amx],
            Level::Avx512Bf16 => &[Arithmetic::AmxModel],
            _ => &[],
        };
        println!("with vectors are compared: {kinds:?}");
        kinds.iter().for_each(|&kind| tiles_agree_with_vectors(kind));
    }

    fn tiles_agree_with_vectors(kind: Arithmetic) {
        let pool = Arc::new(Pool::default());
        for (m, n, k) in [(1, 1, 1), (16, 32, 32), (17, 33, 31), (70, 90, 100), (32, 64, 600), (5, 40, 2100)] {
            let (a, b, bias) = (values(m * k, 7919), values(n * k, 104_729), values(n, 31));
            let run = |arithmetic, turned: bool, packed: bool, initial: Initial<'_>| {
                let stride = if turned { m } else { k };
                let left = Operand { data: &a, stride, inner_is_contiguous: !turned };
                let stride = if turned { n } else { k };
                let right = Operand { data: &b, stride, inner_is_contiguous: !turned };
                let whole = Packed::new(arithmetic, &pool, right, n, 0..k, Stay::Short);
                let right = match packed {
                    true => Right::Packed { packed: &whole, panel: 0, inner: 0 },
                    false => Right::Plain(right),
                };
                let mut c = vec![0.25; m * n];
                multiply(arithmetic, &pool, Size { m, n, k }, left, right, &mut c, initial);
                c
            };
            for initial in [Initial::Zero, Initial::Result, Initial::Bias(&bias)] {
                for turned in [false, true] {
                    let want = run(Arithmetic::Bf16, turned, false, initial);
                    let got = run(kind, turned, false, initial);
                    assert_eq!(got, run(kind, turned, true, initial), "packed before or on the way");
                    for (got, want) in got.iter().zip(&want) {
                        assert!(
                            (got - want).abs() <= 1e-5 * (k as f32).sqrt(),
                            "{kind:?} {m} x {n} x {k}: {got} {want}"
                        );
                    }
                }
            }
        }
    }
}
