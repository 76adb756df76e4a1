//! Central differences of a kernel itself, for the kernels that work element by element or row by row.
use super::common::values;

/// Checks `backward` (which adds to the gradient it is given) against central differences of `forward`, both in f32, for
/// the loss `sum c_i y_i` with random `c`.
///
/// `step` balances rounding against curvature; the bound allows for both.
#[track_caller]
pub(crate) fn check(
    x: &[f32],
    what: &str,
    forward: impl Fn(&[f32]) -> Vec<f32>,
    backward: impl Fn(&[f32], &mut Vec<f32>),
) {
    const STEP: f32 = 4e-3;
    let weights = values(forward(x).len(), 77);
    let loss = |x: &[f32]| forward(x).iter().zip(&weights).map(|(&y, &c)| f64::from(y) * f64::from(c)).sum::<f64>();
    let mut gradient = vec![0.25; x.len()];
    backward(&weights, &mut gradient);
    for i in (0..x.len()).step_by(x.len().div_ceil(60).max(1)) {
        let at = |step: f32| {
            let mut moved = x.to_vec();
            moved[i] += step;
            (loss(&moved), f64::from(moved[i]))
        };
        let ((high, x_high), (low, x_low)) = (at(STEP), at(-STEP));
        let want = (high - low) / (x_high - x_low) + 0.25;
        let got = f64::from(gradient[i]);
        assert!((got - want).abs() < 1e-3 * (1.0 + want.abs()), "{what}: element {i}: {got}, not {want}");
    }
}
