//! Whether a whole group is right: contrast sets (Gardner et al. 2020, arXiv 2004.02709), consistency under paraphrase.

use crate::{Formula, Uncertainty};

/// 1 where the score of every item is 1, else 0; its mean across groups is the groups' exact match.
pub static ALL_RIGHT: Formula = Formula {
    id: "all-right",
    doc: "1 where the score of every item is 1, else 0",
    sums: 1,
    of: |sums| (sums.n > 0.0).then(|| f64::from(u8::from(sums.of[0] >= sums.n))),
    uncertainty: Uncertainty::Resampled,
    placed: None,
};
