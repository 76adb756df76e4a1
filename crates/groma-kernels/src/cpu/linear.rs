//! Matrix products.
use super::parallel::for_rows;

/// `y = x wᵀ + bias`.
pub(crate) fn forward(y: &mut [f32], x: &[f32], w: &[f32], bias: Option<&[f32]>, inputs: usize, outputs: usize) {
    for_rows(y, outputs, inputs, |first, chunk| {
        for (y, x) in chunk.chunks_exact_mut(outputs).zip(x[first * inputs..].chunks_exact(inputs)) {
            for (o, (y, w)) in y.iter_mut().zip(w.chunks_exact(inputs)).enumerate() {
                *y = x.iter().zip(w).fold(bias.map_or(0.0, |bias| bias[o]), |sum, (x, w)| sum + x * w);
            }
        }
    });
}

/// `dx += dy w`.
pub(crate) fn backward_input(dx: &mut [f32], dy: &[f32], w: &[f32], inputs: usize, outputs: usize) {
    for_rows(dx, inputs, outputs, |first, chunk| {
        for (dx, dy) in chunk.chunks_exact_mut(inputs).zip(dy[first * outputs..].chunks_exact(outputs)) {
            for (&dy, w) in dy.iter().zip(w.chunks_exact(inputs)) {
                dx.iter_mut().zip(w).for_each(|(dx, w)| *dx += dy * w);
            }
        }
    });
}

/// `dw += dyᵀ x`.
pub(crate) fn backward_weight(dw: &mut [f32], dy: &[f32], x: &[f32], inputs: usize, outputs: usize) {
    for_rows(dw, inputs, dy.len() / outputs, |first, chunk| {
        for (o, dw) in chunk.chunks_exact_mut(inputs).enumerate() {
            for (dy, x) in dy.chunks_exact(outputs).zip(x.chunks_exact(inputs)) {
                dw.iter_mut().zip(x).for_each(|(dw, x)| *dw += dy[first + o] * x);
            }
        }
    });
}
