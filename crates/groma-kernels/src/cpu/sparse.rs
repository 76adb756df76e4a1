//! What makes a row sparse: its largest values, and thresholds.
use super::parallel::{SharedMut, for_each, for_rows};
use crate::{Threshold, ThresholdShape};

/// Elementary operations that an element takes, roughly.
const COST: usize = 8;

/// Indices of the `k` largest values of a row, the lower ones among equals.
fn largest<'a>(row: &[f32], k: usize, order: &'a mut Vec<u32>) -> &'a [u32] {
    order.clear();
    order.extend(0..row.len() as u32);
    if k == 0 || k >= row.len() {
        return &order[..k.min(row.len())];
    }
    let value = |index: &u32| row[*index as usize];
    order.select_nth_unstable_by(k - 1, |a, b| value(b).total_cmp(&value(a)).then(a.cmp(b)));
    &order[..k]
}

/// `y` is `x` where it is among the `k` largest of its row, else 0.
pub(crate) fn top_k(y: &mut [f32], x: &[f32], width: usize, k: usize) {
    for_rows(y, width, COST, |first, chunk| {
        let mut order = Vec::with_capacity(width);
        for (y, x) in chunk.chunks_exact_mut(width).zip(x[first * width..].chunks_exact(width)) {
            y.fill(0.0);
            largest(x, k, &mut order).iter().for_each(|&i| y[i as usize] = x[i as usize]);
        }
    });
}

/// `dx += dy` where `x` is among the `k` largest of its row.
pub(crate) fn top_k_backward(dx: &mut [f32], dy: &[f32], x: &[f32], width: usize, k: usize) {
    for_rows(dx, width, COST, |first, chunk| {
        let mut order = Vec::with_capacity(width);
        let rows = x[first * width..].chunks_exact(width).zip(dy[first * width..].chunks_exact(width));
        for (dx, (x, dy)) in chunk.chunks_exact_mut(width).zip(rows) {
            largest(x, k, &mut order).iter().for_each(|&i| dx[i as usize] += dy[i as usize]);
        }
    });
}

/// See [`crate::Backend::threshold`].
pub(crate) fn threshold(y: &mut [f32], x: &[f32], theta: &[f32], shape: ThresholdShape) {
    let width = shape.width;
    for_rows(y, width, COST, |first, chunk| {
        for (y, x) in chunk.chunks_exact_mut(width).zip(x[first * width..].chunks_exact(width)) {
            for ((y, &x), &theta) in y.iter_mut().zip(x).zip(theta) {
                let passed = if shape.kind == Threshold::Jump { x } else { 1.0 };
                *y = if x > theta { passed } else { 0.0 };
            }
        }
    });
}

/// `dx` of [`crate::Backend::threshold_backward`].
pub(crate) fn threshold_backward_input(dx: &mut [f32], dy: &[f32], x: &[f32], theta: &[f32], shape: ThresholdShape) {
    if shape.kind == Threshold::Step {
        return;
    }
    let width = shape.width;
    for_rows(dx, width, COST, |first, chunk| {
        let rows = x[first * width..].chunks_exact(width).zip(dy[first * width..].chunks_exact(width));
        for (dx, (x, dy)) in chunk.chunks_exact_mut(width).zip(rows) {
            for (((dx, &x), &dy), &theta) in dx.iter_mut().zip(x).zip(dy).zip(theta) {
                *dx += if x > theta { dy } else { 0.0 };
            }
        }
    });
}

/// `d_theta` of [`crate::Backend::threshold_backward`]: row by row, tasks split the columns.
pub(crate) fn threshold_backward_theta(
    d_theta: &mut [f32],
    dy: &[f32],
    x: &[f32],
    theta: &[f32],
    shape: ThresholdShape,
) {
    const COLUMNS: usize = 64;
    let (width, bandwidth) = (shape.width, shape.bandwidth);
    let sums = SharedMut::new(d_theta);
    for_each(width.div_ceil(COLUMNS), dy.len() * COST, |task| {
        let start = task * COLUMNS;
        let len = COLUMNS.min(width - start);
        // SAFETY: this task alone uses these elements.
        let sums = unsafe { sums.slice(start, len) };
        for (dy, x) in dy.chunks_exact(width).zip(x.chunks_exact(width)) {
            let columns = sums.iter_mut().zip(&theta[start..]).zip(x[start..].iter().zip(&dy[start..]));
            for ((sum, &theta), (&x, &dy)) in columns {
                if ((x - theta) / bandwidth).abs() < 0.5 {
                    let height = if shape.kind == Threshold::Jump { theta } else { 1.0 };
                    *sum -= height / bandwidth * dy;
                }
            }
        }
    });
}
