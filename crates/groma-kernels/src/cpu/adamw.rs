//! The optimizer step.
use super::Level;
use super::elementwise::{combine, for_chunks};
use super::simd::{Vector, multiversion};
use crate::AdamW;

/// What a step multiplies with, corrected for the moments' start at zero.
#[derive(Clone, Copy, Debug)]
struct Factors {
    decay: f32,
    rate: f32,
    root_correction: f32,
    step: AdamW,
}

#[inline(always)]
fn step_with<V: Vector>(outputs: [&mut [f32]; 3], g: &[f32], factors: Factors) {
    let Factors { decay, rate, root_correction, step } = factors;
    combine(outputs, [g], |[g]: [V; 1], [w, m, v]| {
        let g = g.mul(V::splat(step.gradient_scale));
        let m = g.sub(m).fma(V::splat(1.0 - step.beta1), m);
        let v = g.mul(g).fma(V::splat(1.0 - step.beta2), v.mul(V::splat(step.beta2)));
        let denominator = v.sqrt().div(V::splat(root_correction)).add(V::splat(step.eps));
        let w = w.mul(V::splat(decay)).sub(V::splat(rate).mul(m.div(denominator)));
        [w, m, v]
    });
}

multiversion! {
    fn step_chunk(outputs: [&mut [f32]; 3], g: &[f32], factors: Factors) = step_with;
}

/// One step as `torch.optim.AdamW` takes it: decay of the weights first, then the moments, their bias corrections, and
/// `sqrt(v) / sqrt(1 - beta2^t) + eps` as the denominator.
pub(crate) fn step(level: Level, w: &mut [f32], g: &[f32], m: &mut [f32], v: &mut [f32], step: AdamW) {
    let correction = |beta: f32| 1.0 - f64::from(beta).powf(step.step as f64);
    let factors = Factors {
        decay: (1.0 - f64::from(step.lr) * f64::from(step.weight_decay)) as f32,
        rate: (f64::from(step.lr) / correction(step.beta1)) as f32,
        root_correction: correction(step.beta2).sqrt() as f32,
        step,
    };
    for_chunks([w, m, v], [g], 8, |outputs, [g]| step_chunk(level, outputs, g, factors));
}
