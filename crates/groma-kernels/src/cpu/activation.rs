//! Elementwise non-linearities.
use crate::Activation;
use std::f32::consts::{FRAC_1_SQRT_2, PI};

fn erf(x: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.5 * x.abs());
    let poly = [1.00002368, 0.37409196, 0.09678418, -0.18628806, 0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277];
    let inner = poly.iter().rev().fold(0.0, |sum, c| sum * t + c);
    let complement = t * (-x * x - 1.26551223 + t * inner).exp();
    if x >= 0.0 { 1.0 - complement } else { complement - 1.0 }
}

/// The value and the slope.
pub(crate) fn value_and_slope(x: f32, kind: Activation) -> (f32, f32) {
    match kind {
        Activation::Relu => (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 }),
        Activation::Silu => {
            let s = 1.0 / (1.0 + (-x).exp());
            (x * s, s * (1.0 + x * (1.0 - s)))
        }
        Activation::Gelu => {
            let phi = 0.5 * (1.0 + erf(f64::from(x * FRAC_1_SQRT_2)) as f32);
            (x * phi, phi + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt())
        }
        Activation::GeluTanh => {
            let k = (2.0 / PI).sqrt();
            let t = (k * (x + 0.044715 * x * x * x)).tanh();
            (0.5 * x * (1.0 + t), 0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * k * (1.0 + 3.0 * 0.044715 * x * x))
        }
    }
}
