//! RMSNorm (Zhang & Sennrich 2019) and LayerNorm (Ba et al. 2016).
use super::Cpu;
use super::elementwise::combine;
use super::parallel::{SharedMut, for_each, rows_per_chunk};
use super::simd::{Vector, multiversion};
use crate::pool::Lease;
use crate::{NormKind, NormShape};
use std::ops::Range;

/// Rows whose weight gradients are summed before they are added to the others'.
const GRADIENT_ROWS: usize = 64;

/// `sum over i of f(a[i], b[i])`.
#[inline(always)]
fn sum_pairs<V: Vector>(a: &[f32], b: &[f32], f: impl Fn(V, V) -> V) -> f32 {
    const CHAINS: usize = 4;
    assert_eq!(a.len(), b.len());
    let mut sums = [V::zero(); CHAINS];
    let mut i = 0;
    while i + CHAINS * V::LANES <= a.len() {
        for (chain, sum) in sums.iter_mut().enumerate() {
            let at = i + chain * V::LANES;
            // SAFETY: all chains' elements are inside both slices.
            unsafe { *sum = sum.add(f(V::load(a.as_ptr().add(at)), V::load(b.as_ptr().add(at)))) };
        }
        i += CHAINS * V::LANES;
    }
    let mut tail = 0.0;
    while i < a.len() {
        let count = V::LANES.min(a.len() - i);
        let mut lanes = [0.0; 16];
        // SAFETY: `count` elements from `i` on are inside both slices; the lanes hold any vector.
        unsafe {
            let values = f(V::load_first(a.as_ptr().add(i), count), V::load_first(b.as_ptr().add(i), count));
            values.store_first(lanes.as_mut_ptr(), count);
        }
        tail += lanes.iter().sum::<f32>();
        i += count;
    }
    sums[0].add(sums[1]).add(sums[2].add(sums[3])).sum() + tail
}

/// The operands of a forward call that rows share.
#[derive(Clone, Copy, Debug)]
struct Affine<'a> {
    weight: Option<&'a [f32]>,
    bias: Option<&'a [f32]>,
}

#[inline(always)]
fn forward_with<V: Vector>(y: &mut [f32], stats: &mut [f32], x: &[f32], affine: Affine<'_>, shape: NormShape) {
    let width = shape.width;
    let scale = 1.0 / width as f32;
    for ((y, stats), x) in y.chunks_exact_mut(width).zip(stats.chunks_exact_mut(2)).zip(x.chunks_exact(width)) {
        let mean = match shape.kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => sum_pairs(x, x, |x: V, _| x) * scale,
        };
        let square = sum_pairs(x, x, |x: V, _| {
            let centred = x.sub(V::splat(mean));
            centred.mul(centred)
        });
        let reciprocal = 1.0 / (square * scale + shape.eps).sqrt();
        stats.copy_from_slice(&[mean, reciprocal]);
        let normed = |x: V| x.sub(V::splat(mean)).mul(V::splat(reciprocal));
        let offset = V::splat(shape.weight_offset);
        match (affine.weight, affine.bias) {
            (None, None) => combine([y], [x], |[x]: [V; 1], _| [normed(x)]),
            (Some(w), None) => combine([y], [x, w], |[x, w]: [V; 2], _| [normed(x).mul(w.add(offset))]),
            (None, Some(b)) => combine([y], [x, b], |[x, b]: [V; 2], _| [normed(x).add(b)]),
            (Some(w), Some(b)) => combine([y], [x, w, b], |[x, w, b]: [V; 3], _| [normed(x).fma(w.add(offset), b)]),
        }
    }
}

/// The gradient of the inputs of some rows. `scaled` has room for a row.
#[inline(always)]
fn backward_input_with<V: Vector>(
    dx: &mut [f32],
    scaled: &mut [f32],
    [dy, x, stats]: [&[f32]; 3],
    weight: Option<&[f32]>,
    shape: NormShape,
) {
    let width = shape.width;
    let rows = dy.chunks_exact(width).zip(x.chunks_exact(width)).zip(stats.chunks_exact(2));
    for (dx, ((dy, x), stats)) in dx.chunks_exact_mut(width).zip(rows) {
        let (mean, reciprocal) = (V::splat(stats[0]), V::splat(stats[1]));
        let offset = V::splat(shape.weight_offset);
        match weight {
            None => scaled.copy_from_slice(dy),
            Some(w) => combine([&mut *scaled], [dy, w], |[dy, w]: [V; 2], _| [dy.mul(w.add(offset))]),
        }
        let normed = |x: V| x.sub(mean).mul(reciprocal);
        let along = sum_pairs(scaled, x, |g: V, x| g.mul(normed(x))) / width as f32;
        let shift = match shape.kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => sum_pairs(scaled, scaled, |g: V, _| g) / width as f32,
        };
        let (along, shift) = (V::splat(along), V::splat(shift));
        combine([dx], [&*scaled, x], |[g, x]: [V; 2], [dx]| {
            [g.sub(shift).sub(normed(x).mul(along)).fma(reciprocal, dx)]
        });
    }
}

/// The gradients of weight and bias from some rows.
#[inline(always)]
fn backward_affine_with<V: Vector>(dw: &mut [f32], db: &mut [f32], [dy, x, stats]: [&[f32]; 3], width: usize) {
    for ((dy, x), stats) in dy.chunks_exact(width).zip(x.chunks_exact(width)).zip(stats.chunks_exact(2)) {
        let (mean, reciprocal) = (V::splat(stats[0]), V::splat(stats[1]));
        combine([&mut *dw, &mut *db], [dy, x], |[dy, x]: [V; 2], [dw, db]| {
            [x.sub(mean).mul(reciprocal).fma(dy, dw), db.add(dy)]
        });
    }
}

multiversion! {
    fn forward_rows(y: &mut [f32], stats: &mut [f32], x: &[f32], affine: Affine<'_>, shape: NormShape) = forward_with;
    fn backward_input_rows(
        dx: &mut [f32], scaled: &mut [f32], inputs: [&[f32]; 3], weight: Option<&[f32]>, shape: NormShape,
    ) = backward_input_with;
    fn backward_affine_rows(dw: &mut [f32], db: &mut [f32], inputs: [&[f32]; 3], width: usize) = backward_affine_with;
}

/// Ranges of `step` rows.
fn row_range(chunk: usize, step: usize, rows: usize) -> Range<usize> {
    chunk * step..rows.min((chunk + 1) * step)
}

/// See [`crate::Backend::norm`].
pub(crate) fn forward(
    cpu: &Cpu,
    y: &mut [f32],
    stats: &mut [f32],
    x: &[f32],
    (weight, bias): (Option<&[f32]>, Option<&[f32]>),
    shape: NormShape,
) {
    let (width, step) = (shape.width, rows_per_chunk(shape.width));
    let affine = Affine { weight, bias };
    let (y, stats) = (SharedMut::new(y), SharedMut::new(stats));
    for_each(shape.rows.div_ceil(step), shape.rows * width * 2, |chunk| {
        let rows = row_range(chunk, step, shape.rows);
        // SAFETY: each task has its own rows.
        let (y, stats) =
            unsafe { (y.slice(rows.start * width, rows.len() * width), stats.slice(rows.start * 2, rows.len() * 2)) };
        forward_rows(cpu.level, y, stats, &x[rows.start * width..rows.end * width], affine, shape);
    });
}

/// The inputs of a backward call, cut to some rows.
fn cut<'a>([dy, x, stats]: [&'a [f32]; 3], rows: &Range<usize>, width: usize) -> [&'a [f32]; 3] {
    let wide = rows.start * width..rows.end * width;
    [&dy[wide.clone()], &x[wide], &stats[rows.start * 2..rows.end * 2]]
}

/// `dx` of [`crate::Backend::norm_backward`]; inputs: dy, x, stats.
pub(crate) fn backward_input(cpu: &Cpu, dx: &mut [f32], inputs: [&[f32]; 3], weight: Option<&[f32]>, shape: NormShape) {
    let (width, step) = (shape.width, rows_per_chunk(shape.width));
    let dx = SharedMut::new(dx);
    for_each(shape.rows.div_ceil(step), shape.rows * width * 4, |chunk| {
        let rows = row_range(chunk, step, shape.rows);
        // SAFETY: each task has its own rows.
        let dx = unsafe { dx.slice(rows.start * width, rows.len() * width) };
        let mut scaled = Lease::new(&cpu.pool, width);
        backward_input_rows(cpu.level, dx, &mut scaled, cut(inputs, &rows, width), weight, shape);
    });
}

/// `dw` and `db` of [`crate::Backend::norm_backward`]: partial sums of a fixed number of rows each, added in order.
pub(crate) fn backward_affine(
    cpu: &Cpu,
    dw: Option<&mut [f32]>,
    db: Option<&mut [f32]>,
    inputs: [&[f32]; 3],
    shape: NormShape,
) {
    let width = shape.width;
    let chunks = shape.rows.div_ceil(GRADIENT_ROWS);
    let mut partial = Lease::new(&cpu.pool, chunks * 2 * width);
    let shared = SharedMut::new(&mut partial);
    for_each(chunks, shape.rows * width * 2, |chunk| {
        // SAFETY: each task has its own sums.
        let sums = unsafe { shared.slice(chunk * 2 * width, 2 * width) };
        sums.fill(0.0);
        let (dw, db) = sums.split_at_mut(width);
        let rows = row_range(chunk, GRADIENT_ROWS, shape.rows);
        backward_affine_rows(cpu.level, dw, db, cut(inputs, &rows, width), width);
    });
    for (total, first) in [(dw, 0), (db, width)] {
        let Some(total) = total else { continue };
        for sums in partial.chunks_exact(2 * width) {
            total.iter_mut().zip(&sums[first..]).for_each(|(total, sum)| *total += sum);
        }
    }
}
