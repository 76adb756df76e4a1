//! Expected calibration error (Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599, equation 3).

use super::quotient::over;
use crate::{Formula, Sums, Uncertainty};

/// Bins of confidence that it has.
pub const CALIBRATION_BINS: usize = 10;

/// `sum over bins of |sum of (right - confidence)| / n`: each item has that difference in the bin of its confidence, and 0 in
/// the others. Of few items it is above 0 by chance alone.
pub static CALIBRATION: Formula = Formula {
    id: "calibration",
    doc: "how far shares of right answers are from the confidence in them, over ten bins of confidence",
    sums: CALIBRATION_BINS,
    of: |sums: &Sums| over(sums.of.iter().map(|sum| sum.abs()).sum(), sums.n),
    uncertainty: Uncertainty::Resampled,
    placed: None,
};
