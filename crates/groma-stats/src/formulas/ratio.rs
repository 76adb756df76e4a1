//! Quotients of two sums.

use super::quotient::over;
use crate::{Formula, Uncertainty};

/// The quotient of two sums, such as bits a byte.
pub static RATIO: Formula = Formula {
    id: "ratio",
    doc: "the first sum over the second",
    sums: 2,
    of: |sums| over(sums.of[0], sums.of[1]),
    uncertainty: Uncertainty::Ratio,
    placed: None,
};

/// Its exponential, such as a perplexity.
pub static EXP_RATIO: Formula = Formula {
    id: "exp-ratio",
    doc: "exp(the first sum over the second)",
    sums: 2,
    of: |sums| over(sums.of[0], sums.of[1]).map(f64::exp),
    uncertainty: Uncertainty::Ratio,
    placed: None,
};
