//! Rotary position embeddings (Su et al. 2021).
use super::parallel::for_rows;
use crate::{RotaryShape, RotaryStyle};

/// Calls `rotate(row of y, row of x, cosines, sines)` for each head of each row.
fn for_heads(
    y: &mut [f32],
    x: &[f32],
    table: &[f32],
    positions: &[u32],
    shape: RotaryShape,
    rotate: impl Fn(&mut [f32], &[f32], &[f32], &[f32]) + Sync + Send,
) {
    let width = shape.heads * shape.head_dim;
    let half = shape.rotated / 2;
    for_rows(y, width, 2, |first, chunk| {
        let rows = chunk.chunks_exact_mut(width).zip(x[first * width..].chunks_exact(width));
        for ((y, x), &position) in rows.zip(&positions[first..]) {
            let (cosines, sines) = table[position as usize * shape.rotated..][..shape.rotated].split_at(half);
            for (y, x) in y.chunks_exact_mut(shape.head_dim).zip(x.chunks_exact(shape.head_dim)) {
                rotate(y, x, cosines, sines);
            }
        }
    });
}

/// `y = R x`.
pub(crate) fn forward(y: &mut [f32], x: &[f32], table: &[f32], positions: &[u32], shape: RotaryShape) {
    let (rotated, half) = (shape.rotated, shape.rotated / 2);
    match shape.style {
        RotaryStyle::Halves => for_heads(y, x, table, positions, shape, |y, x, cosines, sines| {
            let (y_first, y_second) = y[..rotated].split_at_mut(half);
            let (x_first, x_second) = x[..rotated].split_at(half);
            for i in 0..half {
                y_first[i] = x_first[i] * cosines[i] - x_second[i] * sines[i];
                y_second[i] = x_second[i] * cosines[i] + x_first[i] * sines[i];
            }
            y[rotated..].copy_from_slice(&x[rotated..]);
        }),
        RotaryStyle::Interleaved => for_heads(y, x, table, positions, shape, |y, x, cosines, sines| {
            for i in 0..half {
                y[2 * i] = x[2 * i] * cosines[i] - x[2 * i + 1] * sines[i];
                y[2 * i + 1] = x[2 * i + 1] * cosines[i] + x[2 * i] * sines[i];
            }
            y[rotated..].copy_from_slice(&x[rotated..]);
        }),
    }
}

/// `dx += Rᵀ dy`.
pub(crate) fn backward(dx: &mut [f32], dy: &[f32], table: &[f32], positions: &[u32], shape: RotaryShape) {
    let (rotated, half) = (shape.rotated, shape.rotated / 2);
    let add_rest = |dx: &mut [f32], dy: &[f32]| {
        dx[rotated..].iter_mut().zip(&dy[rotated..]).for_each(|(dx, dy)| *dx += dy);
    };
    match shape.style {
        RotaryStyle::Halves => for_heads(dx, dy, table, positions, shape, |dx, dy, cosines, sines| {
            let (dx_first, dx_second) = dx[..rotated].split_at_mut(half);
            let (dy_first, dy_second) = dy[..rotated].split_at(half);
            for i in 0..half {
                dx_first[i] += dy_first[i] * cosines[i] + dy_second[i] * sines[i];
                dx_second[i] += dy_second[i] * cosines[i] - dy_first[i] * sines[i];
            }
            add_rest(dx, dy);
        }),
        RotaryStyle::Interleaved => for_heads(dx, dy, table, positions, shape, |dx, dy, cosines, sines| {
            for i in 0..half {
                dx[2 * i] += dy[2 * i] * cosines[i] + dy[2 * i + 1] * sines[i];
                dx[2 * i + 1] += dy[2 * i + 1] * cosines[i] - dy[2 * i] * sines[i];
            }
            add_rest(dx, dy);
        }),
    }
}
