//! What a critic's error costs.

use crate::group::Estimate;

/// Half the squared error of what the critic says, or of what it may say, whichever is larger; its slope; and whether it is the
/// latter.
pub(super) fn value_loss(value: f64, estimate: &Estimate, range: f64) -> (f64, f64, bool) {
    let before = f64::from(estimate.value);
    let plain = (value - estimate.target).powi(2);
    let bounded = (value.clamp(before - range, before + range) - estimate.target).powi(2);
    match bounded > plain {
        true => (0.5 * bounded, 0.0, true),
        false => (0.5 * plain, value - estimate.target, false),
    }
}
