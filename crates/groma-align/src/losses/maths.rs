//! The logistic function and its logarithm, without overflow.

/// `1 / (1 + exp(-x))`.
pub fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let e = x.exp();
        e / (1.0 + e)
    }
}

/// `log sigmoid(x)`.
pub fn log_sigmoid(x: f64) -> f64 {
    x.min(0.0) - (-x.abs()).exp().ln_1p()
}

/// `-(1 - ε) ls(z) - ε ls(-z)` and its derivative: the logistic loss with smoothed labels.
pub(super) fn smoothed_logistic(z: f64, smoothing: f64) -> (f64, f64) {
    let value = -(1.0 - smoothing) * log_sigmoid(z) - smoothing * log_sigmoid(-z);
    (value, -(1.0 - smoothing) * sigmoid(-z) + smoothing * sigmoid(z))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_finite_and_exact() {
        assert_eq!((sigmoid(1e3), sigmoid(-1e3), sigmoid(0.0)), (1.0, 0.0, 0.5));
        assert_eq!((log_sigmoid(1e3), log_sigmoid(-1e3)), (0.0, -1e3));
        assert!((log_sigmoid(0.0) + std::f64::consts::LN_2).abs() < 1e-16);
    }
}
