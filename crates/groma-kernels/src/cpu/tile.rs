//! The inner loop of all products but those of AMX: a small tile of the result, held in registers, over a run of the inner
//! dimension.
//!
//! Every element of the result is one chain of multiply-adds over `k` in rising order, whatever the size of the tile and
//! however the dimensions are cut: cutting `k` only writes the running value to memory and reads it back. So an element's
//! bits depend on its row of A, its column of B, its start and the level's rounding, and on nothing else.
use super::Level;
use super::elementwise::load;
use super::half::Half;
use super::multiply_add::MultiplyAdd;
use super::simd::{Vector, portable::Portable};
use std::marker::PhantomData;

/// One `k` a step, in f32.
struct Fused<V>(PhantomData<V>);

impl<V: Vector> MultiplyAdd for Fused<V> {
    type Vector = V;
}

/// The same with a B of words that hold the upper halves of two values each, one of either vector of a panel: the lower
/// halves are 0.
struct Shifted<V>(PhantomData<V>);

impl<V: Vector> MultiplyAdd for Shifted<V> {
    type Vector = V;

    #[inline(always)]
    unsafe fn columns<const VECTORS: usize>(b: *const f32, panel_stride: usize) -> [V; VECTORS] {
        // SAFETY: the caller's promise.
        std::array::from_fn(|j| unsafe {
            let words = V::load(b.add(j / 2 * panel_stride));
            if j % 2 == 0 { words.lower_halves() } else { words.upper_halves() }
        })
    }
}

/// The same with a B of f16, column after column.
struct Widened<V>(PhantomData<V>);

impl<V: Vector> MultiplyAdd for Widened<V> {
    type Vector = V;

    #[inline(always)]
    unsafe fn columns<const VECTORS: usize>(b: *const f32, panel_stride: usize) -> [V; VECTORS] {
        // SAFETY: the caller's promise.
        std::array::from_fn(|j| unsafe { V::load_f16(b.add(j / 2 * panel_stride).cast::<u16>().add(j % 2 * V::LANES)) })
    }
}

/// What the chains start from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Start {
    /// Zero.
    Zero,
    /// What C holds.
    Result,
    /// One value for each column.
    Columns(*const f32),
}

/// Where element `(i, k)` of A lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// At `k * padded_rows + i`: packed.
    Packed,
    /// At `i * 64 + k`: rows of attention blocks.
    Rows64,
    /// At `k * 64 + i`: the same, transposed.
    Columns64,
}

/// One call: `C[0..rows, 0..columns] = start + A B`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tile {
    /// Steps of the chains.
    pub(crate) steps: usize,
    /// First element of A.
    pub(crate) a: *const f32,
    /// First element of B; rows of B are padded to whole vectors.
    pub(crate) b: *const f32,
    /// Distance of two rows of B.
    pub(crate) b_stride: usize,
    /// Distance of two panels of B, where a tile is wider than one.
    pub(crate) panel_stride: usize,
    /// First element of C.
    pub(crate) c: *mut f32,
    /// Distance of two rows of C.
    pub(crate) c_stride: usize,
    /// Rows of C.
    pub(crate) rows: usize,
    /// Columns of C, at most [`Level::tile_columns`] a panel.
    pub(crate) columns: usize,
    /// What the chains start from.
    pub(crate) start: Start,
    /// First element of the tile of C that comes next, for fetching it early; need not be valid.
    pub(crate) next: *const f32,
}

const PACKED: u8 = 0;
const ROWS_64: u8 = 1;
const COLUMNS_64: u8 = 2;

/// `PADDED` is the distance of two columns of a packed A.
#[inline(always)]
unsafe fn run<M: MultiplyAdd, const ROWS: usize, const VECTORS: usize, const ORDER: u8, const PADDED: usize>(
    tile: &Tile,
) {
    let lanes = M::Vector::LANES;
    let (row_step, k_step) = match ORDER {
        PACKED => (1, PADDED),
        ROWS_64 => (64, 1),
        _ => (1, 64),
    };
    let mut sums = [[M::Vector::zero(); VECTORS]; ROWS];
    let count = |j: usize| tile.columns.saturating_sub(j * lanes);
    // SAFETY: the caller promises that A, B and C may be used as `Tile` says.
    unsafe {
        match tile.start {
            Start::Zero => {}
            Start::Result => {
                for (i, row) in sums.iter_mut().enumerate() {
                    for (j, sum) in row.iter_mut().enumerate() {
                        *sum = load(tile.c.wrapping_add(i * tile.c_stride + j * lanes), count(j));
                    }
                }
            }
            Start::Columns(values) => {
                for j in 0..VECTORS {
                    let value = load(values.wrapping_add(j * lanes), count(j));
                    sums.iter_mut().for_each(|row| row[j] = value);
                }
            }
        }
        for i in 0..ROWS {
            for j in 0..VECTORS {
                M::Vector::prefetch(tile.next.wrapping_add(i * tile.c_stride + j * lanes));
            }
        }
        let (mut a, mut b) = (tile.a, tile.b);
        for _ in 0..tile.steps {
            let columns = M::columns::<VECTORS>(b, tile.panel_stride);
            for (i, row) in sums.iter_mut().enumerate() {
                let value = M::Vector::splat(*a.add(i * row_step));
                for (sum, column) in row.iter_mut().zip(columns) {
                    *sum = M::multiply_add(value, column, *sum);
                }
            }
            a = a.add(k_step);
            b = b.add(tile.b_stride);
        }
        for (i, row) in sums.iter().enumerate() {
            for (j, sum) in row.iter().enumerate() {
                let to = tile.c.wrapping_add(i * tile.c_stride + j * lanes);
                if count(j) >= lanes {
                    sum.store(to);
                } else {
                    sum.store_first(to, count(j));
                }
            }
        }
    }
}

/// A compiled tile.
pub(crate) type TileFunction = unsafe fn(&Tile);

/// The compiled tiles of 1, 2, ... rows, of one vector and of two.
macro_rules! table {
    ($function:ident, $order:expr, $($rows:literal)*) => {
        &[$([$function::<$rows, 1, { $order }> as TileFunction, $function::<$rows, 2, { $order }> as TileFunction]),*]
    };
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn run_avx512<const ROWS: usize, const VECTORS: usize, const ORDER: u8>(tile: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { run::<Fused<super::simd::avx512::Avx512>, ROWS, VECTORS, ORDER, 16>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn run_avx512_shifted<const ROWS: usize, const VECTORS: usize, const ORDER: u8>(tile: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { run::<Shifted<super::simd::avx512::Avx512>, ROWS, VECTORS, ORDER, 16>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
unsafe fn run_avx512_f16<const ROWS: usize, const VECTORS: usize, const ORDER: u8>(tile: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { run::<Widened<super::simd::avx512::Avx512>, ROWS, VECTORS, ORDER, 16>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn run_bf16<const ROWS: usize, const VECTORS: usize, const ORDER: u8>(tile: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { run::<super::bf16::Pairs, ROWS, VECTORS, ORDER, 16>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2<const ROWS: usize, const VECTORS: usize, const ORDER: u8>(tile: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { run::<Fused<super::simd::avx2::Avx2>, ROWS, VECTORS, ORDER, 8>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
unsafe fn run_avx2_shifted<const ROWS: usize, const VECTORS: usize, const ORDER: u8>(tile: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { run::<Shifted<super::simd::avx2::Avx2>, ROWS, VECTORS, ORDER, 8>(tile) }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma,f16c")]
unsafe fn run_avx2_f16<const ROWS: usize, const VECTORS: usize, const ORDER: u8>(tile: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { run::<Widened<super::simd::avx2::Avx2>, ROWS, VECTORS, ORDER, 8>(tile) }
}

unsafe fn run_portable_shifted<const ROWS: usize, const VECTORS: usize, const ORDER: u8>(tile: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { run::<Shifted<Portable>, ROWS, VECTORS, ORDER, 8>(tile) }
}

unsafe fn run_portable_f16<const ROWS: usize, const VECTORS: usize, const ORDER: u8>(tile: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { run::<Widened<Portable>, ROWS, VECTORS, ORDER, 8>(tile) }
}

unsafe fn run_portable<const ROWS: usize, const VECTORS: usize, const ORDER: u8>(tile: &Tile) {
    // SAFETY: the caller's promise.
    unsafe { run::<Fused<Portable>, ROWS, VECTORS, ORDER, 8>(tile) }
}

#[cfg(target_arch = "x86_64")]
static AVX512: [&[[TileFunction; 2]]; 3] = [
    table!(run_avx512, PACKED, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    table!(run_avx512, ROWS_64, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
    table!(run_avx512, COLUMNS_64, 1 2 3 4 5 6 7 8 9 10 11 12 13 14),
];
#[cfg(target_arch = "x86_64")]
static AVX512_SHIFTED: &[[TileFunction; 2]] = table!(run_avx512_shifted, PACKED, 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
#[cfg(target_arch = "x86_64")]
static AVX512_F16: &[[TileFunction; 2]] = table!(run_avx512_f16, PACKED, 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
/// Tiles of pairs in bf16, by rows.
#[cfg(target_arch = "x86_64")]
pub(crate) static BF16: &[[TileFunction; 2]] = table!(run_bf16, PACKED, 1 2 3 4 5 6 7 8 9 10 11 12 13 14);
#[cfg(target_arch = "x86_64")]
static AVX2: [&[[TileFunction; 2]]; 3] = [
    table!(run_avx2, PACKED, 1 2 3 4 5 6),
    table!(run_avx2, ROWS_64, 1 2 3 4 5 6),
    table!(run_avx2, COLUMNS_64, 1 2 3 4 5 6),
];
#[cfg(target_arch = "x86_64")]
static AVX2_SHIFTED: &[[TileFunction; 2]] = table!(run_avx2_shifted, PACKED, 1 2 3 4 5 6);
#[cfg(target_arch = "x86_64")]
static AVX2_F16: &[[TileFunction; 2]] = table!(run_avx2_f16, PACKED, 1 2 3 4 5 6);
static PORTABLE_F16: &[[TileFunction; 2]] = table!(run_portable_f16, PACKED, 1 2 3 4);
static PORTABLE_SHIFTED: &[[TileFunction; 2]] = table!(run_portable_shifted, PACKED, 1 2 3 4);
static PORTABLE: [&[[TileFunction; 2]]; 3] = [
    table!(run_portable, PACKED, 1 2 3 4),
    table!(run_portable, ROWS_64, 1 2 3 4),
    table!(run_portable, COLUMNS_64, 1 2 3 4),
];

/// Tiles over several panels of B, by rows: with few rows, a tile of one panel waits for its few chains of operations.
#[cfg(target_arch = "x86_64")]
static AVX512_WIDE: [(usize, TileFunction); 3] =
    [(4, run_avx512::<1, 8, PACKED>), (2, run_avx512::<2, 4, PACKED>), (2, run_avx512::<3, 4, PACKED>)];
#[cfg(target_arch = "x86_64")]
static AVX512_SHIFTED_WIDE: [(usize, TileFunction); 3] = [
    (4, run_avx512_shifted::<1, 8, PACKED>),
    (2, run_avx512_shifted::<2, 4, PACKED>),
    (2, run_avx512_shifted::<3, 4, PACKED>),
];
#[cfg(target_arch = "x86_64")]
static AVX512_F16_WIDE: [(usize, TileFunction); 3] =
    [(4, run_avx512_f16::<1, 8, PACKED>), (2, run_avx512_f16::<2, 4, PACKED>), (2, run_avx512_f16::<3, 4, PACKED>)];
#[cfg(target_arch = "x86_64")]
pub(crate) static BF16_WIDE: [(usize, TileFunction); 3] =
    [(4, run_bf16::<1, 8, PACKED>), (2, run_bf16::<2, 4, PACKED>), (2, run_bf16::<3, 4, PACKED>)];
#[cfg(target_arch = "x86_64")]
static AVX2_WIDE: [(usize, TileFunction); 2] = [(4, run_avx2::<1, 8, PACKED>), (2, run_avx2::<2, 4, PACKED>)];
#[cfg(target_arch = "x86_64")]
static AVX2_SHIFTED_WIDE: [(usize, TileFunction); 2] =
    [(4, run_avx2_shifted::<1, 8, PACKED>), (2, run_avx2_shifted::<2, 4, PACKED>)];
#[cfg(target_arch = "x86_64")]
static AVX2_F16_WIDE: [(usize, TileFunction); 2] =
    [(4, run_avx2_f16::<1, 8, PACKED>), (2, run_avx2_f16::<2, 4, PACKED>)];

impl Level {
    /// How many panels of B a tile of so many rows can take at once, and its function, if there is one.
    pub(crate) fn wide_tile(self, rows: usize) -> Option<(usize, TileFunction)> {
        match self.in_f32() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => AVX512_WIDE.get(rows - 1).copied(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => AVX2_WIDE.get(rows - 1).copied(),
            _ => None,
        }
    }

    /// [`Level::wide_tile`] for a B of halved words.
    pub(crate) fn wide_halved_tile(self, kept: Half, rows: usize) -> Option<(usize, TileFunction)> {
        match (self.in_f32(), kept) {
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, Half::Bf16) => AVX512_SHIFTED_WIDE.get(rows - 1).copied(),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, Half::F16) => AVX512_F16_WIDE.get(rows - 1).copied(),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, Half::Bf16) => AVX2_SHIFTED_WIDE.get(rows - 1).copied(),
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, Half::F16) => AVX2_F16_WIDE.get(rows - 1).copied(),
            _ => None,
        }
    }

    /// The function for tiles of packed operands, B of halved words.
    pub(crate) fn halved_tile(self, kept: Half, rows: usize, columns: usize) -> TileFunction {
        let table: &[[TileFunction; 2]] = match (self.in_f32(), kept) {
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, Half::Bf16) => AVX512_SHIFTED,
            #[cfg(target_arch = "x86_64")]
            (Level::Avx512, Half::F16) => AVX512_F16,
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, Half::Bf16) => AVX2_SHIFTED,
            #[cfg(target_arch = "x86_64")]
            (Level::Avx2, Half::F16) => AVX2_F16,
            (_, Half::Bf16) => PORTABLE_SHIFTED,
            (_, Half::F16) => PORTABLE_F16,
        };
        table[rows - 1][usize::from(columns > self.lanes())]
    }

    fn tiles(self, order: Order) -> &'static [[TileFunction; 2]] {
        let table: &[&[[TileFunction; 2]]; 3] = match self.in_f32() {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512 => &AVX512,
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => &AVX2,
            _ => &PORTABLE,
        };
        match order {
            Order::Packed => table[usize::from(PACKED)],
            Order::Rows64 => table[usize::from(ROWS_64)],
            Order::Columns64 => table[usize::from(COLUMNS_64)],
        }
    }

    /// Values in a vector.
    pub(crate) fn lanes(self) -> usize {
        if self >= Level::Avx512 { 16 } else { 8 }
    }

    /// Most rows of a tile.
    pub(crate) fn tile_rows(self) -> usize {
        self.tiles(Order::Packed).len()
    }

    /// Distance of two columns of a packed A.
    pub(crate) fn padded_rows(self) -> usize {
        self.lanes()
    }

    /// Most columns of a tile, and the width of a packed panel of B.
    pub(crate) fn tile_columns(self) -> usize {
        2 * self.lanes()
    }

    /// The function for tiles of `rows` rows and `columns` columns.
    pub(crate) fn tile(self, order: Order, rows: usize, columns: usize) -> TileFunction {
        self.tiles(order)[rows - 1][usize::from(columns > self.lanes())]
    }
}
