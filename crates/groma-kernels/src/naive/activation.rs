//! The MLPs' non-linearities and their slopes.
use crate::Activation;
use std::f64::consts::{FRAC_2_PI, PI};

/// Value and slope at `x`.
pub(super) fn curve(x: f64, kind: Activation) -> (f64, f64) {
    match kind {
        Activation::Silu => {
            let s = 1.0 / (1.0 + (-x).exp());
            (x * s, s + x * s * (1.0 - s))
        }
        Activation::Gelu => {
            let below = normal(x);
            (x * below, below + x * density(x))
        }
        Activation::GeluTanh => {
            let t = (FRAC_2_PI.sqrt() * (x + 0.044715 * x.powi(3))).tanh();
            let inner_slope = FRAC_2_PI.sqrt() * (1.0 + 3.0 * 0.044715 * x * x);
            (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner_slope)
        }
        Activation::Relu if x.is_nan() => (x, 0.0),
        Activation::Relu => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }),
    }
}

fn density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
}

/// The normal distribution function, by the series of Marsaglia (2004).
fn normal(x: f64) -> f64 {
    if x.abs() > 9.0 {
        return f64::from(u8::from(x > 0.0));
    }
    let (mut sum, mut term, mut i) = (x, x, 1.0);
    while term.abs() > 1e-18 {
        i += 2.0;
        term *= x * x / i;
        sum += term;
    }
    0.5 + sum * density(x)
}
