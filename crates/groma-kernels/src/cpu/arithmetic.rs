//! How products are computed: on what unit, in which numbers, from which order of operands.
use super::half::{Half, half};
use super::operand::Operand;
use super::pack::{pack_halves, pack_panel};
use super::tile::{self, Order, TileFunction};
use super::{Level, Precision};
#[cfg(target_arch = "x86_64")]
use super::{amx, amx_tile, bf16, bf16::WordOrder};
use std::ops::Range;

/// A unit and its numbers.
///
/// All count the inner dimension in steps: what the unit takes at a time. A packed operand holds the same number of words
/// of 32 bits for each step: of A [`Self::left_words`], of B [`Self::right_words`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    /// f32, on vectors.
    F32(Level),
    /// The same, with a B whose values are exact in 16 bits and packed so: half as much to read, the same bits.
    F32Halved(Level, Half),
    /// bf16 in pairs, on vectors of AVX-512.
    #[cfg(target_arch = "x86_64")]
    Bf16,
    /// bf16 on tiles of AMX.
    #[cfg(target_arch = "x86_64")]
    Amx,
    /// What AMX computes, in plain Rust.
    #[cfg(all(test, target_arch = "x86_64"))]
    AmxModel,
}

impl Arithmetic {
    /// The best that a level has for a precision; f32 where it has no bf16.
    pub(crate) fn new(level: Level, precision: Precision) -> Self {
        match (precision, level) {
            #[cfg(target_arch = "x86_64")]
            (Precision::Bf16, Level::AmxBf16) => Arithmetic::Amx,
            #[cfg(target_arch = "x86_64")]
            (Precision::Bf16, Level::Avx512Bf16) => Arithmetic::Bf16,
            _ => Arithmetic::F32(level.in_f32()),
        }
    }

    /// The numbers that operands are rounded to.
    pub(crate) fn precision(self) -> Precision {
        if matches!(self, Arithmetic::F32(_) | Arithmetic::F32Halved(..)) { Precision::F32 } else { Precision::Bf16 }
    }

    /// How a weight is best kept packed, if all its values are exact in bf16.
    pub(crate) fn halved(self) -> Self {
        match self {
            Arithmetic::F32(level) => Arithmetic::F32Halved(level, Half::Bf16),
            _ => self,
        }
    }

    /// What to pack a weight for instead, whose values this did not keep, if products can read that.
    pub(crate) fn next_best(self) -> Option<Self> {
        match self {
            Arithmetic::F32Halved(level, Half::Bf16) => Some(Arithmetic::F32Halved(level, Half::F16)),
            Arithmetic::F32Halved(level, Half::F16) => Some(Arithmetic::F32(level)),
            _ => None,
        }
    }

    /// Whether a B of these values can be had again from what is packed.
    pub(crate) fn keeps(self, values: &[f32]) -> bool {
        match self {
            Arithmetic::F32(_) => true,
            Arithmetic::F32Halved(_, kept) => kept.keeps(values),
            #[cfg(target_arch = "x86_64")]
            _ => Half::Bf16.keeps(values) && !values.iter().any(|value| value.is_subnormal()),
        }
    }

    /// Whether a B packed for `other` serves.
    pub(crate) fn takes(self, other: Self) -> bool {
        self == other || matches!((self, other), (Arithmetic::F32(a), Arithmetic::F32Halved(b, _)) if a == b)
    }

    /// Inner indices in a step.
    pub(crate) fn step(self) -> usize {
        match self {
            Arithmetic::F32(_) | Arithmetic::F32Halved(..) => 1,
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Bf16 => 2,
            #[cfg(target_arch = "x86_64")]
            _ => 32,
        }
    }

    /// Most rows of a tile.
    pub(crate) fn tile_rows(self) -> usize {
        match self {
            Arithmetic::F32(level) | Arithmetic::F32Halved(level, _) => level.tile_rows(),
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Bf16 => tile::BF16.len(),
            #[cfg(target_arch = "x86_64")]
            _ => amx::SIDE,
        }
    }

    /// Most columns of a tile.
    pub(crate) fn tile_columns(self) -> usize {
        match self {
            Arithmetic::F32(level) | Arithmetic::F32Halved(level, _) => level.tile_columns(),
            #[cfg(target_arch = "x86_64")]
            _ => 32,
        }
    }

    /// Words of a panel of A for each step.
    pub(crate) fn left_words(self) -> usize {
        match self {
            Arithmetic::F32(level) | Arithmetic::F32Halved(level, _) => level.padded_rows(),
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Bf16 => 16,
            #[cfg(target_arch = "x86_64")]
            _ => amx::STEP_WORDS,
        }
    }

    /// Words of a panel of B for each step.
    pub(crate) fn right_words(self) -> usize {
        match self {
            Arithmetic::F32(level) => level.tile_columns(),
            Arithmetic::F32Halved(level, _) => level.lanes(),
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Bf16 => 32,
            #[cfg(target_arch = "x86_64")]
            _ => amx::STEP_WORDS,
        }
    }

    /// Packs a panel of A: some rows, at most [`Self::tile_rows`], and inner indices from the start of a step on.
    pub(crate) fn pack_left(self, panel: &mut [f32], source: Operand<'_>, rows: Range<usize>, k: Range<usize>) {
        match self {
            Arithmetic::F32(level) | Arithmetic::F32Halved(level, _) => {
                pack_panel(level, panel, source, rows, k, level.padded_rows());
            }
            // SAFETY: there is bf16 arithmetic only where the processor has AVX-512 BF16 (`Level`, and the tests' check).
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Bf16 => unsafe { bf16::pack(panel, source, rows, k, 16, WordOrder::Pairs) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            _ => unsafe { bf16::pack(panel, source, rows, k, amx::SIDE, WordOrder::Rows) },
        }
    }

    /// Packs a panel of B: some columns, at most [`Self::tile_columns`], and inner indices from the start of a step on.
    pub(crate) fn pack_right(self, panel: &mut [f32], source: Operand<'_>, columns: Range<usize>, k: Range<usize>) {
        match self {
            Arithmetic::F32(level) => pack_panel(level, panel, source, columns, k, level.tile_columns()),
            Arithmetic::F32Halved(level, kept) => pack_halves(level, kept, panel, source, columns, k),
            // SAFETY: as in `pack_left`.
            #[cfg(target_arch = "x86_64")]
            _ => unsafe { bf16::pack(panel, source, columns, k, 32, WordOrder::Pairs) },
        }
    }

    /// The values of one column of a panel of B, as they were packed.
    pub(crate) fn unpack_right(self, panel: &[f32], column: usize, to: &mut [f32]) {
        match self {
            Arithmetic::F32(level) => {
                let words = panel[column..].iter().step_by(level.tile_columns());
                to.iter_mut().zip(words).for_each(|(to, word)| *to = *word);
            }
            Arithmetic::F32Halved(level, kept) => {
                let lanes = level.lanes();
                let (place, upper) = match kept {
                    Half::Bf16 => (column % lanes, column >= lanes),
                    Half::F16 => (column / 2, column % 2 == 1),
                };
                let words = panel[place..].iter().step_by(lanes);
                to.iter_mut().zip(words).for_each(|(to, word)| *to = kept.value(half(*word, upper)));
            }
            #[cfg(target_arch = "x86_64")]
            _ => {
                let words = panel[column..].iter().step_by(32);
                for (pair, word) in to.chunks_mut(2).zip(words) {
                    pair.iter_mut()
                        .zip([false, true])
                        .for_each(|(to, upper)| *to = Half::Bf16.value(half(*word, upper)));
                }
            }
        }
    }

    /// The function for tiles of `rows` rows and `columns` columns.
    pub(crate) fn tile(self, rows: usize, columns: usize) -> TileFunction {
        match self {
            Arithmetic::F32(level) => level.tile(Order::Packed, rows, columns),
            Arithmetic::F32Halved(level, kept) => level.halved_tile(kept, rows, columns),
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Bf16 => tile::BF16[rows - 1][usize::from(columns > 16)],
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Amx => amx_tile::run,
            #[cfg(all(test, target_arch = "x86_64"))]
            Arithmetic::AmxModel => amx_tile::run_model,
        }
    }

    /// How many panels of B a tile of so many rows can take at once, and its function, if there is one.
    pub(crate) fn wide_tile(self, rows: usize) -> Option<(usize, TileFunction)> {
        match self {
            Arithmetic::F32(level) => level.wide_tile(rows),
            Arithmetic::F32Halved(level, kept) => level.wide_halved_tile(kept, rows),
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Bf16 => tile::BF16_WIDE.get(rows - 1).copied(),
            #[cfg(target_arch = "x86_64")]
            _ => None,
        }
    }

    /// Prepares the thread for tiles; they may run while the result lives.
    pub(crate) fn prepare_thread(self) -> Prepared {
        match self {
            // SAFETY: there is this arithmetic only where the process may use AMX.
            #[cfg(target_arch = "x86_64")]
            Arithmetic::Amx => Prepared::Amx(unsafe { amx::Configured::new() }),
            _ => Prepared::AsItIs,
        }
    }
}

/// A thread that is ready for tiles.
#[derive(Debug)]
pub(crate) enum Prepared {
    /// Nothing was to be done.
    AsItIs,
    /// AMX is set up.
    #[cfg(target_arch = "x86_64")]
    Amx(#[allow(dead_code, reason = "held for its drop")] amx::Configured),
}
