//! How two shares, or two means, differ.

use super::quotient::over;
use crate::{Formula, Uncertainty};

/// `a / n - b / m`, of four sums in this order: how often something happens in one case, less how often in another.
pub static DIFFERENCE: Formula = Formula {
    id: "difference",
    doc: "the first sum over the second, less the third over the fourth",
    sums: 4,
    of: |sums| Some(over(sums.of[0], sums.of[1])? - over(sums.of[2], sums.of[3])?),
    uncertainty: Uncertainty::ShareDifference,
    placed: None,
};
