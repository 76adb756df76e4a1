//! The optimizer step.
use crate::AdamW;

/// One step of `torch.optim.AdamW`.
pub(crate) fn step(w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], step: AdamW) {
    let correction1 = 1.0 - f64::from(step.beta1).powf(step.step as f64);
    let correction2 = (1.0 - f64::from(step.beta2).powf(step.step as f64)).sqrt() as f32;
    let rate = (f64::from(step.lr) / correction1) as f32;
    let decay = 1.0 - step.lr * step.weight_decay;
    for i in 0..w.len() {
        let g = g[i] * step.gradient_scale;
        m[i] += (g - m[i]) * (1.0 - step.beta1);
        v[i] = v[i] * step.beta2 + g * g * (1.0 - step.beta2);
        w[i] = w[i] * decay - rate * m[i] / (v[i].sqrt() / correction2 + step.eps);
    }
}
