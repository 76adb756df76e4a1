//! RMSNorm and LayerNorm.
use super::dot::dot;
use crate::{NormKind, NormShape};

/// The normalised row, and (mean or 0, reciprocal deviation).
fn normed(x: &[f32], shape: NormShape) -> (Vec<f64>, [f64; 2]) {
    let n = x.len() as f64;
    let mean = match shape.kind {
        NormKind::Rms => 0.0,
        NormKind::Layer => x.iter().map(|&x| f64::from(x)).sum::<f64>() / n,
    };
    let variance = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n;
    let reciprocal = 1.0 / (variance + f64::from(shape.eps)).sqrt();
    (x.iter().map(|&x| (f64::from(x) - mean) * reciprocal).collect(), [mean, reciprocal])
}

/// What multiplies column `j`.
fn factor(weight: Option<&[f32]>, j: usize, shape: NormShape) -> f64 {
    weight.map_or(1.0, |weight| f64::from(weight[j]) + f64::from(shape.weight_offset))
}

pub(super) fn forward(
    y: &mut [f32],
    stats: &mut [f32],
    x: &[f32],
    (weight, bias): (Option<&[f32]>, Option<&[f32]>),
    shape: NormShape,
) {
    let width = shape.width;
    for row in 0..shape.rows {
        let (normed, of_row) = normed(&x[row * width..][..width], shape);
        stats[2 * row..][..2].copy_from_slice(&of_row.map(|value| value as f32));
        for (j, normed) in normed.iter().enumerate() {
            let bias = bias.map_or(0.0, |bias| f64::from(bias[j]));
            y[row * width + j] = (normed * factor(weight, j, shape) + bias) as f32;
        }
    }
}

pub(super) fn backward_input(dx: &mut [f32], dy: &[f32], x: &[f32], weight: Option<&[f32]>, shape: NormShape) {
    let width = shape.width;
    for row in 0..shape.rows {
        let (normed, [_, reciprocal]) = normed(&x[row * width..][..width], shape);
        let scaled: Vec<f64> = (0..width).map(|j| f64::from(dy[row * width + j]) * factor(weight, j, shape)).collect();
        let along = dot(scaled.iter().copied(), normed.iter().copied()) / width as f64;
        let shift = match shape.kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => scaled.iter().sum::<f64>() / width as f64,
        };
        for j in 0..width {
            dx[row * width + j] += (reciprocal * (scaled[j] - shift - normed[j] * along)) as f32;
        }
    }
}

pub(super) fn backward_affine(dw: Option<&mut [f32]>, db: Option<&mut [f32]>, dy: &[f32], x: &[f32], shape: NormShape) {
    let width = shape.width;
    let (mut weights, mut biases) = (vec![0.0; width], vec![0.0; width]);
    for row in 0..shape.rows {
        let (normed, _) = normed(&x[row * width..][..width], shape);
        for j in 0..width {
            let dy = f64::from(dy[row * width + j]);
            weights[j] += dy * normed[j];
            biases[j] += dy;
        }
    }
    for (to, sums) in [(dw, weights), (db, biases)] {
        to.into_iter().flatten().zip(sums).for_each(|(to, sum)| *to += sum as f32);
    }
}
