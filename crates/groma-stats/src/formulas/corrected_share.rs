//! A share read by an instrument with known errors (Rogan and Gladen 1978).

use super::quotient::over;
use crate::{Formula, ReaderError, Sums, Uncertainty};

/// `(p + specificity - 1) / (sensitivity + specificity - 1)`, within 0 and 1. The first score of an item is what was read of
/// it, 0 or 1; the others are the same for all: sensitivity, on how many readings it rests, specificity, and on how many it does.
pub static CORRECTED_SHARE: Formula = Formula {
    id: "corrected-share",
    doc: "the true share of items, from what an instrument of known sensitivity and specificity read",
    sums: 5,
    of: |sums: &Sums| error_of(sums)?.corrected(over(sums.of[0], sums.n)?),
    uncertainty: Uncertainty::Corrected,
    placed: None,
};

/// The instrument's error, of the sums of items.
pub(crate) fn error_of(sums: &Sums) -> Option<ReaderError> {
    let mean = |place: usize| over(sums.of[place], sums.n);
    Some(ReaderError::new((mean(1)?, mean(2)?), (mean(3)?, mean(4)?)))
}
