//! Packing: the operands of a product in the order in which its inner loop reads them.
//!
//! A is cut into panels of a few rows, B into panels of [`Level::tile_columns`] columns; in a panel, the elements of one
//! `k` lie side by side.
use super::Level;
use super::half::{Half, word};
use super::operand::Operand;
use super::simd::{Vector, multiversion};
use std::ops::Range;

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
