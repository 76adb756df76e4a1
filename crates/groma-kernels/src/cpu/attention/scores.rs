//! What happens to a tile of scores between the products: scale, cap, mask, softmax, and the gradient of all that.
use super::BLOCK;
use crate::AttentionShape;
use crate::cpu::elementwise::combine;
use crate::cpu::math::{exp, tanh};
use crate::cpu::simd::{Vector, multiversion};
use std::ops::Range;

/// Running state of the online softmax of some rows.
#[derive(Debug)]
pub(super) struct Softmax<'a> {
    /// Largest score so far.
    pub(super) max: &'a mut [f32],
    /// Sum of exponentials, relative to `max`.
    pub(super) sum: &'a mut [f32],
    /// What this block shrinks earlier sums by.
    pub(super) shrink: &'a mut [f32],
}

/// Scaled and capped scores and the slope of that; the slope is only computed where it is used.
#[inline(always)]
fn scaled<V: Vector>(raw: V, shape: &AttentionShape) -> (V, V) {
    let scale = V::splat(shape.scale);
    match shape.softcap {
        None => (raw.mul(scale), scale),
        Some(cap) => {
            let t = tanh(raw.mul(scale).div(V::splat(cap)));
            (t.mul(V::splat(cap)), V::splat(1.0).sub(t.mul(t)).mul(scale))
        }
    }
}

#[inline(always)]
fn exp_one<V: Vector>(x: f32) -> f32 {
    let mut value = [0.0];
    // SAFETY: one value is written to where there is one.
    unsafe { exp(V::splat(x)).store_first(value.as_mut_ptr(), 1) };
    value[0]
}

/// The whole vectors that hold some values of a block; the others are not computed.
#[inline(always)]
fn vectors<V: Vector>(visible: &Range<usize>) -> Range<usize> {
    visible.start / V::LANES * V::LANES..visible.end.next_multiple_of(V::LANES)
}

#[inline(always)]
fn soften_with<V: Vector>(scores: &mut [f32], state: Softmax<'_>, visible: &[Range<usize>], shape: &AttentionShape) {
    for (i, (row, visible)) in scores.chunks_exact_mut(BLOCK).zip(visible).enumerate() {
        if visible.is_empty() {
            row.fill(0.0);
            state.shrink[i] = 1.0;
            continue;
        }
        let vectors = vectors::<V>(visible);
        row[..vectors.start].fill(0.0);
        row[vectors.end..].fill(0.0);
        let at = row.as_mut_ptr();
        let mut largest = V::splat(f32::NEG_INFINITY);
        // SAFETY: a row has a block of values, a multiple of every vector's length.
        unsafe {
            for j in vectors.clone().step_by(V::LANES) {
                scaled(V::load(at.add(j)), shape).0.store(at.add(j));
            }
            row[vectors.start..visible.start].fill(f32::NEG_INFINITY);
            row[visible.end..vectors.end].fill(f32::NEG_INFINITY);
            for j in vectors.clone().step_by(V::LANES) {
                largest = largest.max(V::load(at.add(j)));
            }
            let max = state.max[i].max(largest.largest());
            let mut sum = V::zero();
            for j in vectors.step_by(V::LANES) {
                let p = exp(V::load(at.add(j)).sub(V::splat(max)));
                p.store(at.add(j));
                sum = sum.add(p);
            }
            state.shrink[i] = exp_one::<V>(state.max[i] - max);
            state.max[i] = max;
            state.sum[i] = state.sum[i] * state.shrink[i] + sum.sum();
        }
    }
}

/// Per-row inputs of the gradient.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'a> {
    /// Log-sum-exp of the row's scores.
    pub(super) lse: &'a [f32],
    /// Inner product of the row's output and its gradient.
    pub(super) delta: &'a [f32],
}

#[inline(always)]
fn gradient_with<V: Vector>(
    scores: &mut [f32],
    d_scores: &mut [f32],
    known: Known<'_>,
    visible: &[Range<usize>],
    shape: &AttentionShape,
) {
    let rows = scores.chunks_exact_mut(BLOCK).zip(d_scores.chunks_exact_mut(BLOCK)).zip(visible);
    for (i, ((row, d_row), visible)) in rows.enumerate() {
        let (at, d_at) = (row.as_mut_ptr(), d_row.as_mut_ptr());
        let (lse, delta) = (V::splat(known.lse[i]), V::splat(known.delta[i]));
        for j in vectors::<V>(visible).step_by(V::LANES) {
            // SAFETY: a row has a block of values, a multiple of every vector's length.
            unsafe {
                let (score, slope) = scaled(V::load(at.add(j)), shape);
                let p = exp(score.sub(lse));
                p.store(at.add(j));
                p.mul(V::load(d_at.add(j)).sub(delta)).mul(slope).store(d_at.add(j));
            }
        }
        for row in [row, d_row] {
            row[..visible.start].fill(0.0);
            row[visible.end..].fill(0.0);
        }
    }
}

#[inline(always)]
fn shrink_with<V: Vector>(sums: &mut [f32], factors: &[f32]) {
    let dim = sums.len() / factors.len().max(1);
    for (row, &factor) in sums.chunks_exact_mut(dim.max(1)).zip(factors) {
        if factor != 1.0 {
            combine([row], [], |_: [V; 0], [old]| [old.mul(V::splat(factor))]);
        }
    }
}

multiversion! {
    /// Turns rows of raw scores (a block wide) into exponentials relative to the running maximum, 0 where not visible, and
    /// brings the running state forward.
    pub(super) fn soften(scores: &mut [f32], state: Softmax<'_>, visible: &[Range<usize>], shape: &AttentionShape) = soften_with;
    /// Turns raw scores into probabilities, and gradients of probabilities into gradients of raw scores.
    pub(super) fn gradient(
        scores: &mut [f32], d_scores: &mut [f32], known: Known<'_>, visible: &[Range<usize>], shape: &AttentionShape,
    ) = gradient_with;
    /// Multiplies each row by its factor.
    pub(super) fn shrink(sums: &mut [f32], factors: &[f32]) = shrink_with;
}
