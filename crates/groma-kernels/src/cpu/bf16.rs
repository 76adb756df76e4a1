//! Products of pairs in bf16, summed in f32: AVX-512's instruction, and packing for it and for AMX.
//!
//! A packed operand holds words of 32 bits, each the bf16 of two values that follow each other along the inner dimension,
//! the first in the lower half. Values are rounded to the nearest, ties to even; subnormal ones become 0, as do subnormal
//! sums (the instructions do so). A missing last value is 0.
use super::multiply_add::MultiplyAdd;
use super::operand::Operand;
use super::simd::{Vector, avx512::Avx512};
use std::arch::x86_64::*;
use std::ops::Range;

/// Words of a block that is turned at once, both ways.
const BLOCK: usize = 16;

/// Two `k` a step: words of pairs, multiplied and added in f32.
pub(crate) struct Pairs;

impl MultiplyAdd for Pairs {
    type Vector = Avx512;

    #[inline(always)]
    fn multiply_add(a: Avx512, b: Avx512, sum: Avx512) -> Avx512 {
        // SAFETY: used only behind the check that the processor has AVX-512 BF16; all bit patterns are words of pairs.
        unsafe {
            let (a, b) = (_mm512_castps_si512(a.bits()), _mm512_castps_si512(b.bits()));
            let (a, b) = (std::mem::transmute::<__m512i, __m512bh>(a), std::mem::transmute::<__m512i, __m512bh>(b));
            Avx512::from_bits(_mm512_dpbf16_ps(sum.bits(), a, b))
        }
    }
}

/// In what order a packed panel holds its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WordOrder {
    /// Pair after pair: word `(i, pair)` at `pair * padded + i`.
    Pairs,
    /// In blocks of 16 pairs, row after row: at `(pair / 16 * padded + i) * 16 + pair % 16`.
    Rows,
}

/// Packs the values `(i, k)` with `i` in a range of at most `padded`, and `k` in a range, as words; rows up to the padding
/// and pairs up to the end of the panel are 0.
///
/// # Safety
/// The processor has AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
pub(crate) unsafe fn pack(
    panel: &mut [f32],
    source: Operand<'_>,
    i: Range<usize>,
    k: Range<usize>,
    padded: usize,
    order: WordOrder,
) {
    source.check(i.end, k.end);
    assert!(i.len() <= padded && padded.is_multiple_of(BLOCK) && panel.len().is_multiple_of(padded));
    let pairs = panel.len() / padded;
    assert!(k.len() <= 2 * pairs && (order == WordOrder::Pairs || pairs.is_multiple_of(BLOCK)));
    for first in (0..padded).step_by(BLOCK) {
        let rows = i.len().saturating_sub(first).min(BLOCK);
        for pair in (0..pairs).step_by(BLOCK) {
            let values = k.len().saturating_sub(2 * pair).min(2 * BLOCK);
            let count = (pairs - pair).min(BLOCK);
            let at = Corner { i: i.start + first, k: k.start + 2 * pair, rows, values };
            let (from, step) = match order {
                WordOrder::Pairs => (pair * padded + first, padded),
                WordOrder::Rows => (pair * padded + first * BLOCK, BLOCK),
            };
            // SAFETY: the source covers the corner's rows and values, by the check.
            let words = unsafe { if source.inner_is_contiguous { along(source, at) } else { across(source, at) } };
            let lines = if source.inner_is_contiguous == (order == WordOrder::Pairs) { turned(&words) } else { words };
            for (line, words) in lines.iter().enumerate().take(count) {
                panel[from + line * step..][..BLOCK].copy_from_slice(words);
            }
        }
    }
}

/// A block of the source: its corner, and how much of it there is.
#[derive(Clone, Copy)]
struct Corner {
    i: usize,
    k: usize,
    rows: usize,
    values: usize,
}

/// Words in f32's clothes.
type Words = [[f32; BLOCK]; BLOCK];

/// The words of a block whose pairs lie side by side: a line an `i`.
///
/// # Safety
/// The corner's rows and values are inside the source.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn along(source: Operand<'_>, at: Corner) -> Words {
    let mut words = [[0.0; BLOCK]; BLOCK];
    let (low, high) = (at.values.min(BLOCK), at.values.saturating_sub(BLOCK));
    for (row, line) in words.iter_mut().enumerate().take(at.rows) {
        let from = source.data.as_ptr().wrapping_add((at.i + row) * source.stride + at.k);
        // SAFETY: so many values are there by the caller's promise; a line holds a vector.
        unsafe {
            let (low, high) = (Avx512::load_first(from, low), Avx512::load_first(from.wrapping_add(BLOCK), high));
            let pairs = _mm512_cvtne2ps_pbh(high.bits(), low.bits());
            _mm512_storeu_si512(line.as_mut_ptr().cast(), std::mem::transmute::<__m512bh, __m512i>(pairs));
        }
    }
    words
}

/// The words of a block whose pairs lie a row apart: a line a pair.
///
/// # Safety
/// The corner's rows and values are inside the source.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
unsafe fn across(source: Operand<'_>, at: Corner) -> Words {
    let mut words = [[0.0; BLOCK]; BLOCK];
    for (pair, line) in words.iter_mut().enumerate().take(at.values.div_ceil(2)) {
        let half = |k: usize| {
            let count = if k < at.values { at.rows } else { 0 };
            let from = source.data.as_ptr().wrapping_add((at.k + k) * source.stride + at.i);
            // SAFETY: so many values are there by the caller's promise.
            unsafe {
                let values = _mm512_cvtneps_pbh(Avx512::load_first(from, count).bits());
                _mm512_cvtepu16_epi32(std::mem::transmute::<__m256bh, __m256i>(values))
            }
        };
        let word = _mm512_or_si512(half(2 * pair), _mm512_slli_epi32::<16>(half(2 * pair + 1)));
        // SAFETY: a line holds a vector.
        unsafe { _mm512_storeu_si512(line.as_mut_ptr().cast(), word) };
    }
    words
}

/// The transpose.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma")]
fn turned(words: &Words) -> Words {
    let mut turned = [[0.0; BLOCK]; BLOCK];
    // SAFETY: both hold 16 rows of 16 words.
    unsafe { Avx512::transpose(words.as_ptr().cast(), BLOCK, BLOCK, turned.as_mut_ptr().cast(), BLOCK) };
    turned
}
