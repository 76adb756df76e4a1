//! The log-probability head.
use crate::{HeadOutput, HeadShape, HeadWants};

fn logits(hidden: &[f32], unembed: &[f32], shape: HeadShape) -> Vec<(f32, f32)> {
    let raw = unembed.chunks_exact(shape.width).map(|w| hidden.iter().zip(w).map(|(a, b)| a * b).sum::<f32>());
    raw.map(|raw| match shape.softcap {
        None => (raw / shape.temperature, 1.0 / shape.temperature),
        Some(cap) => {
            let t = (raw / cap).tanh();
            (cap * t / shape.temperature, (1.0 - t * t) / shape.temperature)
        }
    })
    .collect()
}

pub(crate) fn forward(hidden: &[f32], unembed: &[f32], targets: &[u32], shape: HeadShape, wants: HeadWants) -> HeadOutput {
    let mut output = HeadOutput::default();
    for (hidden, &target) in hidden.chunks_exact(shape.width).zip(targets) {
        let z: Vec<f64> = logits(hidden, unembed, shape).iter().map(|z| f64::from(z.0)).collect();
        let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let lse = max + z.iter().map(|z| (z - max).exp()).sum::<f64>().ln();
        output.logp.push((z[target as usize] - lse) as f32);
        output.log_sum_exp.push(lse as f32);
        if wants.entropy {
            output.entropy.push((lse - z.iter().map(|z| (z - lse).exp() * z).sum::<f64>()) as f32);
        }
        if wants.mean_logit {
            output.mean_logit.push((z.iter().sum::<f64>() / z.len() as f64) as f32);
        }
        if wants.argmax {
            output.argmax.push(z.iter().position(|&z| z == max).unwrap_or(0) as u32);
        }
    }
    output
}

#[allow(clippy::too_many_arguments)]
pub(crate) fn backward(
    mut d_hidden: Option<&mut [f32]>,
    mut d_unembed: Option<&mut [f32]>,
    hidden: &[f32],
    unembed: &[f32],
    targets: &[u32],
    output: &HeadOutput,
    d_logp: &[f32],
    d_entropy: &[f32],
    shape: HeadShape,
) {
    let width = shape.width;
    for (row, hidden) in hidden.chunks_exact(width).enumerate() {
        let z = logits(hidden, unembed, shape);
        let lse = output.log_sum_exp[row];
        let entropy = -z.iter().map(|z| (z.0 - lse).exp() * (z.0 - lse)).sum::<f32>();
        for (o, (z, slope)) in z.iter().enumerate() {
            let p = (z - lse).exp();
            let hit = if targets[row] as usize == o { 1.0 } else { 0.0 };
            let from_entropy = d_entropy.get(row).map_or(0.0, |d| -d * p * (z - lse + entropy));
            let dz = (d_logp[row] * (hit - p) + from_entropy) * slope;
            for d in 0..width {
                if let Some(d_hidden) = d_hidden.as_deref_mut() {
                    d_hidden[row * width + d] += dz * unembed[o * width + d];
                }
                if let Some(d_unembed) = d_unembed.as_deref_mut() {
                    d_unembed[o * width + d] += dz * hidden[d];
                }
            }
        }
    }
}
