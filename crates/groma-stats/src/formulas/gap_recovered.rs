//! Performance gap recovered (Burns et al. 2023, arXiv 2312.09390, section 3).

use super::quotient::over;
use crate::{Formula, Uncertainty};

/// `(student - weak) / (ceiling - weak)`, of sums of scores in the order weak supervisor, its student, ceiling: 0 of a student
/// that is no better than who taught it, 1 of one that is as good as with true labels; outside of both where it is worse or
/// better than that.
pub static GAP_RECOVERED: Formula = Formula {
    id: "gap-recovered",
    doc: "the second sum less the first, over the third less the first",
    sums: 3,
    of: |sums| over(sums.of[1] - sums.of[0], sums.of[2] - sums.of[0]),
    uncertainty: Uncertainty::Resampled,
    placed: None,
};
