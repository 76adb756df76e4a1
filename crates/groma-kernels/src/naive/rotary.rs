//! Rotary position embeddings.
use crate::{RotaryShape, RotaryStyle};

/// Calls `pair(first, second, cosine, sine)` with the indices of the elements of each rotated pair.
pub(super) fn pairs(
    table: &[f32],
    positions: &[u32],
    shape: RotaryShape,
    mut pair: impl FnMut(usize, usize, f64, f64),
) {
    let half = shape.rotated / 2;
    for (row, &position) in positions.iter().enumerate() {
        let (cosines, sines) = table[position as usize * shape.rotated..][..shape.rotated].split_at(half);
        for head in 0..shape.heads {
            let start = (row * shape.heads + head) * shape.head_dim;
            for i in 0..half {
                let (first, second) = match shape.style {
                    RotaryStyle::Halves => (i, i + half),
                    RotaryStyle::Interleaved => (2 * i, 2 * i + 1),
                };
                pair(start + first, start + second, f64::from(cosines[i]), f64::from(sines[i]));
            }
        }
    }
}

/// `(a, b)` turned by an angle.
pub(super) fn turned((a, b): (f32, f32), cosine: f64, sine: f64) -> (f32, f32) {
    let (a, b) = (f64::from(a), f64::from(b));
    ((a * cosine - b * sine) as f32, (b * cosine + a * sine) as f32)
}
