//! The registry of ways from the numbers of groups to one.

use crate::{Across, Mean};

/// All of them.
pub static ACROSS: &[&Across] = &[&MEAN_OF_GROUPS, &OF_MEAN_SCORES, &DIFFERENCE, &RANGE];

/// The macro average.
pub static MEAN_OF_GROUPS: Across = Across {
    id: "mean",
    doc: "mean over groups, each counting the same",
    of: |values| Some(Mean::of(values)?.mean),
    sampled: true,
    of_means: false,
};

/// A formula of macro averages, such as StereoSet's ICAT.
pub static OF_MEAN_SCORES: Across = Across {
    id: "of-mean-scores",
    doc: "the formula of each score's mean over groups, each group counting the same",
    of: |values| Some(Mean::of(values)?.mean),
    sampled: true,
    of_means: true,
};

/// A gap between two groups.
pub static DIFFERENCE: Across = Across {
    id: "difference",
    doc: "the second of two groups less the first, in the order of their names",
    of: |values| match values {
        [first, second] => Some(second - first),
        _ => None,
    },
    sampled: false,
    of_means: false,
};

/// How far groups are apart.
pub static RANGE: Across = Across {
    id: "range",
    doc: "the largest group's number less the smallest",
    of: |values| Some(values.iter().copied().reduce(f64::max)? - values.iter().copied().reduce(f64::min)?),
    sampled: false,
    of_means: false,
};

impl Across {
    /// The one of this name.
    pub fn find(id: &str) -> Option<&'static Across> {
        ACROSS.iter().copied().find(|across| across.id == id)
    }
}
