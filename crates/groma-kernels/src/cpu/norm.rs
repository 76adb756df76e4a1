//! RMSNorm and LayerNorm.
use crate::{NormKind, NormShape};

pub(crate) fn forward(
    y: &mut [f32],
    stats: &mut [f32],
    x: &[f32],
    weight: Option<&[f32]>,
    bias: Option<&[f32]>,
    shape: NormShape,
) {
    let width = shape.width;
    for ((y, stats), x) in y.chunks_exact_mut(width).zip(stats.chunks_exact_mut(2)).zip(x.chunks_exact(width)) {
        let mean = match shape.kind {
            NormKind::Rms => 0.0,
            NormKind::Layer => x.iter().map(|&v| f64::from(v)).sum::<f64>() / width as f64,
        };
        let square = x.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / width as f64;
        let (mean, scale) = (mean as f32, (1.0 / (square + f64::from(shape.eps)).sqrt()) as f32);
        stats.copy_from_slice(&[mean, scale]);
        for j in 0..width {
            let w = weight.map_or(1.0, |w| w[j] + shape.weight_offset);
            y[j] = (x[j] - mean) * scale * w + bias.map_or(0.0, |b| b[j]);
        }
    }
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn backward(
    mut dx: Option<&mut [f32]>,
    mut dw: Option<&mut [f32]>,
    mut db: Option<&mut [f32]>,
    dy: &[f32],
    x: &[f32],
    stats: &[f32],
    weight: Option<&[f32]>,
    shape: NormShape,
) {
    let width = shape.width;
    for row in 0..shape.rows {
        let (dy, x) = (&dy[row * width..][..width], &x[row * width..][..width]);
        let (mean, scale) = (stats[2 * row], stats[2 * row + 1]);
        let normed: Vec<f32> = x.iter().map(|x| (x - mean) * scale).collect();
        if let Some(dw) = dw.as_deref_mut() {
            (0..width).for_each(|j| dw[j] += dy[j] * normed[j]);
        }
        if let Some(db) = db.as_deref_mut() {
            (0..width).for_each(|j| db[j] += dy[j]);
        }
        if let Some(dx) = dx.as_deref_mut() {
            let g: Vec<f32> = (0..width).map(|j| dy[j] * weight.map_or(1.0, |w| w[j] + shape.weight_offset)).collect();
            let mean_g = match shape.kind {
                NormKind::Rms => 0.0,
                NormKind::Layer => g.iter().sum::<f32>() / width as f32,
            };
            let mean_gn = g.iter().zip(&normed).map(|(g, n)| g * n).sum::<f32>() / width as f32;
            (0..width).for_each(|j| dx[row * width + j] += scale * (g[j] - mean_g - normed[j] * mean_gn));
        }
    }
}
