//! The log-probability head, one row at a time.
use super::dot::dot;
use crate::{HeadOutput, HeadShape, HeadWants, TopTokens};

/// The distribution of one row.
pub(super) struct Row {
    /// Finished logits, and the slope of cap and temperature at each.
    logits: Vec<f64>,
    pub(super) slopes: Vec<f64>,
    pub(super) log_sum_exp: f64,
    /// Of the distribution, in nats.
    entropy: f64,
}

/// `log sum exp`, about the largest.
pub(super) fn log_sum_exp(values: &[f64]) -> f64 {
    let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + values.iter().map(|value| (value - max).exp()).sum::<f64>().ln()
}

impl Row {
    pub(super) fn new(hidden: &[f32], unembed: &[f32], shape: HeadShape) -> Self {
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

    /// Log-probabilities of all tokens.
    pub(super) fn logs(&self) -> Vec<f64> {
        self.logits.iter().map(|z| z - self.log_sum_exp).collect()
    }

    /// Gradient of the raw logits, see [`crate::Backend::head_backward`].
    fn gradient(&self, targets: &[u32], d_logp: &[f32], d_entropy: f64) -> Vec<f64> {
        let slope_of = |id: usize, p: f64| {
            let each = targets.iter().zip(d_logp);
            each.map(|(&target, &d)| f64::from(d) * (f64::from(u8::from(id == target as usize)) - p)).sum::<f64>()
        };
        let each = self.logs().into_iter().zip(&self.slopes).enumerate();
        each.map(|(id, (logp, slope))| {
            let p = logp.exp();
            (slope_of(id, p) + d_entropy * (surprise(logp) - p * self.entropy)) * slope
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

/// The largest logits, the lowest id first among equals.
pub(super) fn top_tokens(hidden: &[f32], unembed: &[f32], count: usize, shape: HeadShape) -> TopTokens {
    let mut top = TopTokens::default();
    for hidden in hidden.chunks_exact(shape.width) {
        let row = Row::new(hidden, unembed, shape);
        let mut ids: Vec<usize> = (0..shape.vocab).collect();
        ids.sort_by(|&a, &b| row.logits[b].total_cmp(&row.logits[a]));
        ids.truncate(count);
        top.ids.extend(ids.iter().map(|&id| id as u32));
        top.output.logp.extend(ids.iter().map(|&id| (row.logits[id] - row.log_sum_exp) as f32));
        top.output.log_sum_exp.push(row.log_sum_exp as f32);
    }
    top
}

pub(super) fn backward(
    to: [Option<&mut [f32]>; 2],
    (hidden, unembed): (&[f32], &[f32]),
    targets: &[u32],
    (d_logp, d_entropy): (&[f32], &[f32]),
    shape: HeadShape,
) {
    let each = targets.len() / shape.rows.max(1);
    products(to, (hidden, unembed), shape, |row, own| {
        let d_entropy = d_entropy.get(row).copied().unwrap_or(0.0);
        own.gradient(&targets[row * each..][..each], &d_logp[row * each..][..each], f64::from(d_entropy))
    });
}

/// Adds what the gradients of raw logits, made for each row, make of hidden states and unembedding.
pub(super) fn products(
    [mut d_hidden, d_unembed]: [Option<&mut [f32]>; 2],
    (hidden, unembed): (&[f32], &[f32]),
    shape: HeadShape,
    gradient: impl Fn(usize, &Row) -> Vec<f64>,
) {
    let width = shape.width;
    let mut sums = vec![0.0; unembed.len()];
    for row in 0..shape.rows {
        let hidden = &hidden[row * width..][..width];
        let gradient = gradient(row, &Row::new(hidden, unembed, shape));
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
