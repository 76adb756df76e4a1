//! Quotients.

/// A quotient that exists.
pub(super) fn over(numerator: f64, denominator: f64) -> Option<f64> {
    (denominator != 0.0).then(|| numerator / denominator)
}
