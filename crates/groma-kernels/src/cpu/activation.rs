//! The MLPs' non-linearities, alone and gating another input, with their slopes.
use super::Level;
use super::elementwise::{combine, for_chunks, map};
use super::math::{normal, sigmoid, tanh};
use super::simd::{Vector, multiversion};
use crate::Activation;

/// Elementary operations that an element takes, roughly.
const COST: usize = 16;
/// `sqrt(2 / pi)` and the cubic term's weight in the tanh form of GELU (Hendrycks & Gimpel 2016).
const TANH_SCALE: f32 = 0.797_884_6;
const CUBIC: f32 = 0.044_715;

/// A function and its derivative.
trait Curve {
    fn value<V: Vector>(x: V) -> V;
    /// Value and slope.
    fn both<V: Vector>(x: V) -> (V, V);
}

struct Silu;

impl Curve for Silu {
    #[inline(always)]
    fn value<V: Vector>(x: V) -> V {
        x.mul(sigmoid(x))
    }

    #[inline(always)]
    fn both<V: Vector>(x: V) -> (V, V) {
        let s = sigmoid(x);
        let value = x.mul(s);
        // s (1 + x (1 - s)) = s + x s (1 - s)
        (value, V::splat(1.0).sub(s).fma(value, s))
    }
}

struct Gelu;

impl Curve for Gelu {
    #[inline(always)]
    fn value<V: Vector>(x: V) -> V {
        x.mul(normal(x).0)
    }

    #[inline(always)]
    fn both<V: Vector>(x: V) -> (V, V) {
        let (below, density) = normal(x);
        (x.mul(below), x.fma(density, below))
    }
}

struct GeluTanh;

impl Curve for GeluTanh {
    #[inline(always)]
    fn value<V: Vector>(x: V) -> V {
        Self::both(x).0
    }

    #[inline(always)]
    fn both<V: Vector>(x: V) -> (V, V) {
        let one = V::splat(1.0);
        let square = x.mul(x);
        let t = tanh(x.mul(V::splat(TANH_SCALE)).mul(square.fma(V::splat(CUBIC), one)));
        let half = V::splat(0.5).mul(one.add(t));
        let inner_slope = V::splat(TANH_SCALE).mul(square.fma(V::splat(3.0 * CUBIC), one));
        let slope = V::splat(0.5).mul(x).mul(one.sub(t.mul(t))).fma(inner_slope, half);
        (x.mul(half), slope)
    }
}

struct Relu;

impl Curve for Relu {
    #[inline(always)]
    fn value<V: Vector>(x: V) -> V {
        // With x as the second operand NaN goes through.
        V::zero().max(x)
    }

    #[inline(always)]
    fn both<V: Vector>(x: V) -> (V, V) {
        (Self::value(x), V::zero().select_less(x, V::splat(1.0), V::zero()))
    }
}

/// Runs `$body` with `$curve` standing for the type of `$kind`.
macro_rules! with_curve {
    ($kind:expr, $curve:ident => $body:expr) => {
        match $kind {
            Activation::Silu => {
                type $curve = Silu;
                $body
            }
            Activation::Gelu => {
                type $curve = Gelu;
                $body
            }
            Activation::GeluTanh => {
                type $curve = GeluTanh;
                $body
            }
            Activation::Relu => {
                type $curve = Relu;
                $body
            }
        }
    };
}

#[inline(always)]
fn value_with<V: Vector>(y: &mut [f32], x: &[f32], kind: Activation) {
    with_curve!(kind, C => map(y, x, |x: V| C::value(x)));
}

#[inline(always)]
fn slope_with<V: Vector>(dx: &mut [f32], dy: &[f32], x: &[f32], kind: Activation) {
    with_curve!(kind, C => combine([dx], [dy, x], |[dy, x]: [V; 2], [dx]| [dy.fma(C::both(x).1, dx)]));
}

#[inline(always)]
fn gated_with<V: Vector>(y: &mut [f32], gate: &[f32], up: &[f32], kind: Activation) {
    with_curve!(kind, C => combine([y], [gate, up], |[gate, up]: [V; 2], _| [C::value(gate).mul(up)]));
}

#[inline(always)]
fn gated_slope_with<V: Vector>(outputs: [&mut [f32]; 2], inputs: [&[f32]; 3], kind: Activation) {
    with_curve!(kind, C => combine(outputs, inputs, |[dy, gate, up]: [V; 3], _| {
        let (value, slope) = C::both(gate);
        [dy.mul(up).mul(slope), dy.mul(value)]
    }));
}

multiversion! {
    fn value(y: &mut [f32], x: &[f32], kind: Activation) = value_with;
    fn slope(dx: &mut [f32], dy: &[f32], x: &[f32], kind: Activation) = slope_with;
    fn gated_value(y: &mut [f32], gate: &[f32], up: &[f32], kind: Activation) = gated_with;
    fn gated_slope(outputs: [&mut [f32]; 2], inputs: [&[f32]; 3], kind: Activation) = gated_slope_with;
}

/// `y = f(x)`.
pub(crate) fn forward(level: Level, y: &mut [f32], x: &[f32], kind: Activation) {
    for_chunks([y], [x], COST, |[y], [x]| value(level, y, x, kind));
}

/// `dx += dy f'(x)`.
pub(crate) fn backward(level: Level, dx: &mut [f32], dy: &[f32], x: &[f32], kind: Activation) {
    for_chunks([dx], [dy, x], COST, |[dx], [dy, x]| slope(level, dx, dy, x, kind));
}

/// `y = f(gate) * up`.
pub(crate) fn gated(level: Level, y: &mut [f32], gate: &[f32], up: &[f32], kind: Activation) {
    for_chunks([y], [gate, up], COST, |[y], [gate, up]| gated_value(level, y, gate, up, kind));
}

/// `d_gate = dy up f'(gate)`, `d_up = dy f(gate)`; inputs: dy, gate, up.
pub(crate) fn gated_backward(
    level: Level,
    d_gate: &mut [f32],
    d_up: &mut [f32],
    inputs: [&[f32]; 3],
    kind: Activation,
) {
    for_chunks([d_gate, d_up], inputs, COST, |outputs, inputs| gated_slope(level, outputs, inputs, kind));
}
