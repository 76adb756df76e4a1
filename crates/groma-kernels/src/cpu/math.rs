//! Elementary functions on vectors.
//!
//! The polynomials are Chebyshev fits of our own on the intervals named beside them, made with mpmath's `chebyfit`.
use super::simd::Vector;

/// `coefficients[0] + coefficients[1] x + ...`.
#[inline(always)]
fn polynomial<V: Vector, const N: usize>(x: V, coefficients: [f32; N]) -> V {
    let mut sum = V::splat(coefficients[N - 1]);
    let mut i = N - 1;
    while i > 0 {
        i -= 1;
        sum = sum.fma(x, V::splat(coefficients[i]));
    }
    sum
}

/// Below this, `exp` returns 0 (the result would be smaller than 1.7e-38).
const EXP_LOW: f32 = -86.9;
/// Above this, `exp` overflows.
const EXP_HIGH: f32 = 88.73;
/// The natural logarithm of 2, cut so that its multiples by small whole numbers are exact, and the rest.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// `e^x` within 2 units in the last place; exactly 1 at 0; 0 below -86.9; NaN stays NaN.
#[inline(always)]
pub(crate) fn exp<V: Vector>(x: V) -> V {
    let clamped = V::splat(EXP_HIGH).min(V::splat(EXP_LOW).max(x));
    let n = clamped.mul(V::splat(std::f32::consts::LOG2_E)).round();
    let r = n.fma(V::splat(-LN2_HIGH), clamped);
    let r = n.fma(V::splat(-LN2_LOW), r);
    // (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2.
    let tail = polynomial(r, [0.5, 0.166_665_73, 0.041_666_55, 0.008_363_774, 0.001_392_692_7]);
    let value = tail.mul(r).fma(r, r).add(V::splat(1.0));
    // In two factors, as 2^128 is no f32.
    let value = value.mul(n.sub(V::splat(1.0)).power_of_two()).mul(V::splat(2.0));
    x.select_less(V::splat(EXP_LOW), V::zero(), value)
}

/// The natural logarithm of a share: a number above 2^-32 and up to 1, within 2 units in the last place.
#[inline(always)]
pub(crate) fn ln_of_share<V: Vector>(x: V) -> V {
    let (mut x, mut halvings) = (x, V::zero());
    // Into 1/2 to 1, and from there into the neighbourhood of 1.
    let steps: [(f32, f32); 6] = [
        (1.0 / 65536.0, 16.0),
        (1.0 / 256.0, 8.0),
        (1.0 / 16.0, 4.0),
        (1.0 / 4.0, 2.0),
        (1.0 / 2.0, 1.0),
        (std::f32::consts::FRAC_1_SQRT_2, 1.0),
    ];
    for (limit, power) in steps {
        let (limit, power) = (V::splat(limit), V::splat(power));
        let (larger, more) = (x.mul(power.power_of_two()), halvings.add(power));
        (x, halvings) = (x.select_less(limit, larger, x), x.select_less(limit, more, halvings));
    }
    let s = x.sub(V::splat(1.0)).div(x.add(V::splat(1.0)));
    let square = s.mul(s);
    // 2 atanh(s) for s^2 <= 0.0295.
    let tail = polynomial(square, [2.0 / 3.0, 2.0 / 5.0, 2.0 / 7.0, 2.0 / 9.0]);
    let near = tail.mul(square).fma(s, s.add(s));
    let rest = halvings.fma(V::splat(-LN2_LOW), near);
    halvings.fma(V::splat(-LN2_HIGH), rest)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub(crate) fn sigmoid<V: Vector>(x: V) -> V {
    V::splat(1.0).div(V::splat(1.0).add(exp(V::zero().sub(x))))
}

/// The hyperbolic tangent, within 4 units in the last place.
#[inline(always)]
pub(crate) fn tanh<V: Vector>(x: V) -> V {
    let size = x.abs();
    let square = x.mul(x);
    // (tanh(x) / x - 1) / x^2 for x^2 <= 0.4.
    let tail =
        polynomial(square, [-0.333_333_34, 0.133_333, -0.053_958_46, 0.021_762_503, -0.008_323_187, 0.002_269_501_7]);
    let small = tail.mul(square).fma(x, x);
    let large = V::splat(1.0).sub(V::splat(2.0).div(V::splat(1.0).add(exp(size.add(size)))));
    let large = x.select_less(V::zero(), V::zero().sub(large), large);
    square.select_less(V::splat(0.4), small, large)
}

/// The standard normal distribution function and its density, both with small relative error in the tails.
#[inline(always)]
pub(crate) fn normal<V: Vector>(x: V) -> (V, V) {
    let bell = exp(x.mul(x).mul(V::splat(-0.5)));
    // erfc(z) = e^(-z^2) t P(t) with t = 1 / (1 + 0.35 z), for all z = |x| / sqrt(2) >= 0.
    let z = x.abs().mul(V::splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = V::splat(1.0).div(z.fma(V::splat(0.35), V::splat(1.0)));
    let tail = polynomial(
        t,
        [
            0.197_466_33,
            0.197_471_46,
            0.185_199_33,
            0.163_474_64,
            0.111_403_15,
            0.150_047_06,
            -0.101_973_17,
            0.236_249_3,
            -0.181_938,
            0.042_599_92,
        ],
    );
    let lower = tail.mul(t).mul(bell).mul(V::splat(0.5));
    let below = x.select_less(V::zero(), lower, V::splat(1.0).sub(lower));
    (below, bell.mul(V::splat(0.398_942_3)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;
    use crate::cpu::elementwise::map;
    use crate::cpu::simd::multiversion;

    fn exp_with<V: Vector>(y: &mut [f32], x: &[f32]) {
        map(y, x, exp::<V>);
    }

    fn tanh_with<V: Vector>(y: &mut [f32], x: &[f32]) {
        map(y, x, tanh::<V>);
    }

    fn ln_with<V: Vector>(y: &mut [f32], x: &[f32]) {
        map(y, x, ln_of_share::<V>);
    }

    fn normal_with<V: Vector>(y: &mut [f32], x: &[f32]) {
        map(y, x, |x| normal::<V>(x).0);
    }

    multiversion! {
        fn exp_level(y: &mut [f32], x: &[f32]) = exp_with;
        fn tanh_level(y: &mut [f32], x: &[f32]) = tanh_with;
        fn ln_level(y: &mut [f32], x: &[f32]) = ln_with;
        fn normal_level(y: &mut [f32], x: &[f32]) = normal_with;
    }

    fn each_level(check: impl Fn(Level)) {
        Level::ALL.into_iter().filter(|level| level.is_supported()).for_each(check);
    }

    /// Largest difference in units in the last place of the true value.
    fn worst(x: &[f32], y: &[f32], f: impl Fn(f64) -> f64) -> f64 {
        x.iter()
            .zip(y)
            .map(|(&x, &y)| {
                let want = f(f64::from(x));
                let unit = f64::from(f32::from_bits((want as f32).abs().to_bits() + 1)) - (want as f32).abs() as f64;
                (f64::from(y) - want).abs() / unit
            })
            .fold(0.0, f64::max)
    }

    fn grid(low: f32, high: f32) -> Vec<f32> {
        (0..400_003).map(|i| low + (high - low) * i as f32 / 400_002.0).collect()
    }

    #[test]
    fn exp_is_within_two_units() {
        let x = grid(-86.8, 88.7);
        each_level(|level| {
            let mut y = vec![0.0; x.len()];
            exp_level(level, &mut y, &x);
            let error = worst(&x, &y, f64::exp);
            assert!(error <= 2.0, "{level:?}: {error}");
        });
    }

    #[test]
    fn exp_at_its_ends() {
        let x = [0.0, -0.0, f32::NEG_INFINITY, f32::INFINITY, -1000.0, 1000.0, f32::NAN];
        each_level(|level| {
            let mut y = [0.0; 7];
            exp_level(level, &mut y, &x);
            assert_eq!(y[..6], [1.0, 1.0, 0.0, f32::INFINITY, 0.0, f32::INFINITY], "{level:?}");
            assert!(y[6].is_nan());
        });
    }

    #[test]
    fn tanh_is_within_four_units() {
        let mut x = grid(-20.0, 20.0);
        x.extend(grid(-0.7, 0.7));
        each_level(|level| {
            let mut y = vec![0.0; x.len()];
            tanh_level(level, &mut y, &x);
            let error = worst(&x, &y, f64::tanh);
            assert!(error <= 4.0, "{level:?}: {error}");
            let mut ends = [0.0; 3];
            tanh_level(level, &mut ends, &[f32::INFINITY, f32::NEG_INFINITY, 1e-30]);
            assert_eq!(ends, [1.0, -1.0, 1e-30]);
        });
    }

    #[test]
    fn ln_of_shares_is_within_two_units() {
        let mut x = grid(1.0 / 1024.0, 1.0);
        x.extend((0..4000).map(|i| 2.0f32.powf(-31.9 * i as f32 / 4000.0)));
        each_level(|level| {
            let mut y = vec![0.0; x.len()];
            ln_level(level, &mut y, &x);
            let error = worst(&x, &y, f64::ln);
            assert!(error <= 2.0, "{level:?}: {error}");
            assert_eq!(y[400_002], 0.0, "the logarithm of 1");
        });
    }

    /// `P(Z < x)` by the series of Marsaglia (2004), in f64.
    fn normal_cdf(x: f64) -> f64 {
        let (mut sum, mut term, mut i) = (x, x, 1.0);
        while term.abs() > 1e-18 {
            i += 2.0;
            term *= x * x / i;
            sum += term;
        }
        0.5 + sum * (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt()
    }

    #[test]
    fn the_normal_distribution_is_right() {
        let x = grid(-6.0, 6.0);
        each_level(|level| {
            let mut y = vec![0.0; x.len()];
            normal_level(level, &mut y, &x);
            for (&x, &y) in x.iter().zip(&y) {
                let want = normal_cdf(f64::from(x));
                // Rounding of `t` counts for three units; that of the square in the exponent costs the tail x^2 / 2 more.
                let bound = 6e-7 * want * f64::from(1.0 + x * x);
                assert!((f64::from(y) - want).abs() <= bound, "{level:?}: {x} {y} {want}");
            }
        });
    }
}
