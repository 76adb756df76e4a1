//! The softmax of rows.
use super::Level;
use super::elementwise::map;
use super::math::exp;
use super::parallel::for_rows;
use super::simd::{Vector, multiversion};

/// Elementary operations that an element takes, roughly.
const COST: usize = 16;

#[inline(always)]
fn exp_below_with<V: Vector>(y: &mut [f32], x: &[f32], max: f32) {
    map(y, x, |x: V| exp(x.sub(V::splat(max))));
}

multiversion! {
    fn exp_below(y: &mut [f32], x: &[f32], max: f32) = exp_below_with;
}

/// `y = e^x / sum e^x` of each row.
pub(crate) fn forward(level: Level, y: &mut [f32], x: &[f32], width: usize) {
    for_rows(y, width, COST, |first, chunk| {
        for (y, x) in chunk.chunks_exact_mut(width).zip(x[first * width..].chunks_exact(width)) {
            let max = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            exp_below(level, y, x, max);
            let sum: f64 = y.iter().map(|&y| f64::from(y)).sum();
            y.iter_mut().for_each(|y| *y = (f64::from(*y) / sum) as f32);
        }
    });
}

/// `dx += y (dy - sum dy y)` of each row.
pub(crate) fn backward(dx: &mut [f32], dy: &[f32], y: &[f32], width: usize) {
    for_rows(dx, width, COST, |first, chunk| {
        let rows = y[first * width..].chunks_exact(width).zip(dy[first * width..].chunks_exact(width));
        for (dx, (y, dy)) in chunk.chunks_exact_mut(width).zip(rows) {
            let mean: f64 = y.iter().zip(dy).map(|(&y, &dy)| f64::from(y) * f64::from(dy)).sum();
            for ((dx, &y), &dy) in dx.iter_mut().zip(y).zip(dy) {
                *dx += (f64::from(y) * (f64::from(dy) - mean)) as f32;
            }
        }
    });
}
