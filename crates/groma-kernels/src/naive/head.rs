//! The log-probability head, one row at a time.
use super::dot;
use crate::{HeadOutput, HeadShape, HeadWants};

/// The distribution of one row.
struct Row {
    /// Finished logits, and the slope of cap and temperature at each.
    logits: Vec<f64>,
    slopes: Vec<f64>,
    log_sum_exp: f64,
    /// Of the distribution, in nats.
    entropy: f64,
}

/// `log sum exp`, about the largest.
pub(super) fn log_sum_exp(values: &[f64]) -> f64 {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + values.iter().map(|value| (value - max).exp()).sum::<f64>().ln()
}

impl Row {
    fn new(hidden: &[f32], unembed: &[f32], shape: HeadShape) -> Self {
        let temperature = f64::from(shape.temperature);
        let finished = |w: &[f32]| {
            let raw = dot(hidden.iter().map(|&h| f64::from(h)), w.iter().map(|&w| f64::from(w)));
            match shape.softcap.map(f64::from) {
                None => (raw / temperature, 1.0 / temperature),
                Some(cap) => {
                    let t = (raw / cap).tanh();
                    (cap * t / temperature, (1.0 - t * t) / temperature)
                }
            }
        };
        let (logits, slopes): (Vec<f64>, Vec<f64>) = unembed.chunks_exact(shape.width).map(finished).unzip();
        let log_sum_exp = log_sum_exp(&logits);
        let entropy = logits.iter().map(|z| surprise(z - log_sum_exp)).sum();
        Row { logits, slopes, log_sum_exp, entropy }
    }

    /// Gradient of the raw logits, see [`crate::Backend::head_backward`].
    fn gradient(&self, target: usize, d_logp: f64, d_entropy: f64) -> Vec<f64> {
        let each = self.logits.iter().zip(&self.slopes).enumerate();
        each.map(|(id, (z, slope))| {
            let logp = z - self.log_sum_exp;
            let (hit, p) = (f64::from(u8::from(id == target)), logp.exp());
            (d_logp * (hit - p) + d_entropy * (surprise(logp) - p * self.entropy)) * slope
        })
        .collect()
    }
}

/// `-p log p`; 0 where the probability is.
fn surprise(logp: f64) -> f64 {
    let p = logp.exp();
    if p == 0.0 { 0.0 } else { -p * logp }
}

pub(super) fn forward(
    hidden: &[f32],
    unembed: &[f32],
    targets: &[u32],
    shape: HeadShape,
    wants: HeadWants,
) -> HeadOutput {
    let mut output = HeadOutput::default();
    for (hidden, &target) in hidden.chunks_exact(shape.width).zip(targets) {
        let row = Row::new(hidden, unembed, shape);
        output.logp.push((row.logits[target as usize] - row.log_sum_exp) as f32);
        output.log_sum_exp.push(row.log_sum_exp as f32);
        if wants.entropy {
            output.entropy.push(row.entropy as f32);
        }
        if wants.mean_logit {
            output.mean_logit.push((row.logits.iter().sum::<f64>() / shape.vocab as f64) as f32);
        }
        if wants.argmax {
            let largest = row.logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            output.argmax.push(row.logits.iter().position(|&z| z == largest).unwrap_or(0) as u32);
        }
    }
    output
}

pub(super) fn backward(
    [mut d_hidden, d_unembed]: [Option<&mut [f32]>; 2],
    (hidden, unembed): (&[f32], &[f32]),
    targets: &[u32],
    (d_logp, d_entropy): (&[f32], &[f32]),
    shape: HeadShape,
) {
    let width = shape.width;
    let mut sums = vec![0.0; unembed.len()];
    for (row, &target) in targets.iter().enumerate() {
        let hidden = &hidden[row * width..][..width];
        let d_entropy = d_entropy.get(row).copied().unwrap_or(0.0);
        let gradient =
            Row::new(hidden, unembed, shape).gradient(target as usize, f64::from(d_logp[row]), f64::from(d_entropy));
        for j in 0..width {
            for (id, d) in gradient.iter().enumerate() {
                sums[id * width + j] += d * f64::from(hidden[j]);
            }
            if let Some(d_hidden) = &mut d_hidden {
                let column = unembed.iter().skip(j).step_by(width).map(|&w| f64::from(w));
                d_hidden[row * width + j] += dot(gradient.iter().copied(), column) as f32;
            }
        }
    }
    d_unembed.into_iter().flatten().zip(sums).for_each(|(to, sum)| *to += sum as f32);
}
