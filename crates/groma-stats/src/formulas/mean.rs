//! Means over items.

use super::quotient::over;
use crate::{Formula, Sums, Uncertainty};

/// The share of items that have a property.
pub static SHARE: Formula = Formula {
    id: "share",
    doc: "share of items whose score is 1; it is 0 for the others",
    sums: 1,
    of: mean,
    uncertainty: Uncertainty::Share,
    placed: None,
};

/// The mean of a score.
pub static MEAN: Formula = Formula {
    id: "mean",
    doc: "mean of a score over items",
    sums: 1,
    of: mean,
    uncertainty: Uncertainty::Mean,
    placed: None,
};

fn mean(sums: &Sums) -> Option<f64> {
    over(sums.of[0], sums.n)
}
