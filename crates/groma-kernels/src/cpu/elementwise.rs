//! Elementwise kernels: the loop that all share, and the plain ones.
use super::Level;
use super::parallel::{SharedMut, collect, for_each};
use super::simd::{Vector, multiversion};

/// Elements that a task handles; a multiple of every vector's length.
const CHUNK: usize = 1 << 14;

/// Reads `count` values, the others 0.
///
/// # Safety
/// `count` values must be readable from `from` on.
#[inline(always)]
pub(crate) unsafe fn load<V: Vector>(from: *const f32, count: usize) -> V {
    if count >= V::LANES {
        // SAFETY: the caller's promise.
        unsafe { V::load(from) }
    } else {
        // SAFETY: the caller's promise.
        unsafe { V::load_first(from, count) }
    }
}

/// Applies `f` to vectors of all inputs and of the present values of all outputs, which it replaces.
#[inline(always)]
pub(crate) fn combine<V: Vector, const IN: usize, const OUT: usize>(
    outputs: [&mut [f32]; OUT],
    inputs: [&[f32]; IN],
    f: impl Fn([V; IN], [V; OUT]) -> [V; OUT],
) {
    let len = outputs[0].len();
    assert!(outputs.iter().all(|slice| slice.len() == len) && inputs.iter().all(|slice| slice.len() == len));
    let to = outputs.map(|slice| slice.as_mut_ptr());
    let mut i = 0;
    while i < len {
        let count = V::LANES.min(len - i);
        // `f` is called in one place only: a closure that is called in two is not always compiled into the loop, and then
        // neither are the vector instructions in it.
        // SAFETY: `count` elements from `i` on are inside each slice.
        unsafe {
            let (mut values, mut old) = ([V::zero(); IN], [V::zero(); OUT]);
            for (value, from) in values.iter_mut().zip(inputs) {
                *value = load(from.as_ptr().add(i), count);
            }
            for (value, to) in old.iter_mut().zip(to) {
                *value = load(to.add(i), count);
            }
            let results = f(values, old);
            for (result, to) in results.into_iter().zip(to) {
                if count == V::LANES {
                    result.store(to.add(i));
                } else {
                    result.store_first(to.add(i), count);
                }
            }
        }
        i += count;
    }
}

/// `y = f(x)`.
#[inline(always)]
pub(crate) fn map<V: Vector>(y: &mut [f32], x: &[f32], f: impl Fn(V) -> V) {
    combine([y], [x], |[x], [_]| [f(x)]);
}

/// Cuts outputs and inputs of one length into chunks and gives each to `task`.
pub(crate) fn for_chunks<const OUT: usize, const IN: usize>(
    outputs: [&mut [f32]; OUT],
    inputs: [&[f32]; IN],
    cost: usize,
    task: impl Fn([&mut [f32]; OUT], [&[f32]; IN]) + Sync + Send,
) {
    let len = outputs[0].len();
    let outputs = outputs.map(SharedMut::new);
    for_each(len.div_ceil(CHUNK), len * cost, |index| {
        let (start, count) = (index * CHUNK, CHUNK.min(len - index * CHUNK));
        // SAFETY: each task has its own elements.
        let outputs = outputs.map(|output| unsafe { output.slice(start, count) });
        task(outputs, inputs.map(|input| &input[start..start + count]));
    });
}

#[inline(always)]
fn add_with<V: Vector>(y: &mut [f32], a: &[f32], b: &[f32]) {
    combine([y], [a, b], |[a, b]: [V; 2], _| [a.add(b)]);
}

#[inline(always)]
fn add_scaled_with<V: Vector>(y: &mut [f32], x: &[f32], factor: f32) {
    combine([y], [x], |[x]: [V; 1], [y]| [x.fma(V::splat(factor), y)]);
}

#[inline(always)]
fn scale_with<V: Vector>(y: &mut [f32], x: &[f32], factor: f32) {
    map(y, x, |x: V| x.mul(V::splat(factor)));
}

#[inline(always)]
fn multiply_with<V: Vector>(y: &mut [f32], a: &[f32], b: &[f32]) {
    combine([y], [a, b], |[a, b]: [V; 2], _| [a.mul(b)]);
}

#[inline(always)]
fn add_product_with<V: Vector>(y: &mut [f32], a: &[f32], b: &[f32]) {
    combine([y], [a, b], |[a, b]: [V; 2], [y]| [a.fma(b, y)]);
}

multiversion! {
    fn multiply_chunk(y: &mut [f32], a: &[f32], b: &[f32]) = multiply_with;
    fn add_product_chunk(y: &mut [f32], a: &[f32], b: &[f32]) = add_product_with;
    fn add_chunk(y: &mut [f32], a: &[f32], b: &[f32]) = add_with;
    fn add_scaled_chunk(y: &mut [f32], x: &[f32], factor: f32) = add_scaled_with;
    fn scale_chunk(y: &mut [f32], x: &[f32], factor: f32) = scale_with;
}

/// `y = a + b`.
pub(crate) fn add(level: Level, y: &mut [f32], a: &[f32], b: &[f32]) {
    for_chunks([y], [a, b], 1, |[y], [a, b]| add_chunk(level, y, a, b));
}

/// `y += factor * x`.
pub(crate) fn add_scaled(level: Level, y: &mut [f32], x: &[f32], factor: f32) {
    for_chunks([y], [x], 1, |[y], [x]| add_scaled_chunk(level, y, x, factor));
}

/// `y = factor * x`.
pub(crate) fn scale(level: Level, y: &mut [f32], x: &[f32], factor: f32) {
    for_chunks([y], [x], 1, |[y], [x]| scale_chunk(level, y, x, factor));
}

/// `y = a * b`.
pub(crate) fn multiply(level: Level, y: &mut [f32], a: &[f32], b: &[f32]) {
    for_chunks([y], [a, b], 1, |[y], [a, b]| multiply_chunk(level, y, a, b));
}

/// `y += a * b`.
pub(crate) fn add_product(level: Level, y: &mut [f32], a: &[f32], b: &[f32]) {
    for_chunks([y], [a, b], 1, |[y], [a, b]| add_product_chunk(level, y, a, b));
}

/// Sum of squares in f64: chunks in parallel, their sums added in order.
pub(crate) fn sum_of_squares(x: &[f32]) -> f64 {
    let chunk = |index: usize| {
        let x = &x[index * CHUNK..x.len().min((index + 1) * CHUNK)];
        let mut lanes = [0.0f64; 8];
        let mut parts = x.chunks_exact(8);
        for part in &mut parts {
            lanes.iter_mut().zip(part).for_each(|(lane, &x)| *lane += f64::from(x) * f64::from(x));
        }
        lanes.iter().sum::<f64>() + parts.remainder().iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>()
    };
    collect(x.len().div_ceil(CHUNK), x.len(), 0.0, chunk).into_iter().sum()
}

/// Sum of the squares of differences in f64: chunks in parallel, their sums added in order.
pub(crate) fn squared_error(a: &[f32], b: &[f32]) -> f64 {
    let chunk = |index: usize| {
        let range = index * CHUNK..a.len().min((index + 1) * CHUNK);
        a[range.clone()].iter().zip(&b[range]).map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2)).sum::<f64>()
    };
    collect(a.len().div_ceil(CHUNK), a.len(), 0.0, chunk).into_iter().sum()
}
