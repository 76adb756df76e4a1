//! How a number comes from sums over items: a pure function, and how its uncertainty is found.

/// A number as a function of sums of scores over items.
#[derive(Debug)]
pub struct Formula {
    /// Its name in files and records.
    pub id: &'static str,
    /// One line about what it is.
    pub doc: &'static str,
    /// How many sums it reads.
    pub sums: usize,
    /// From the sums to the number; `None` where it does not exist (0/0).
    pub of: fn(&Sums) -> Option<f64>,
    /// How its uncertainty is found.
    pub uncertainty: Uncertainty,
    /// What the scores of items become before they are added up, where that of one hangs on those of the others, as a rank does: from
    /// all items' scores to as many of each. `None` where they are added up as they are.
    pub placed: Option<Place>,
}

/// From the scores of all items to what each adds.
pub type Place = fn(&[&[f64]]) -> Vec<Vec<f64>>;

/// What a formula reads.
#[derive(Clone, Copy, Debug)]
pub struct Sums<'a> {
    /// The sums, as many as the formula asks for.
    pub of: &'a [f64],
    /// How many items were added up.
    pub n: f64,
}

/// How the uncertainty of a number is found, from items or from clusters of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncertainty {
    /// The share of items whose score is 1, where the others' is 0: Wilson, and t with clustered errors; in pairs McNemar's
    /// exact test with Agresti and Min's interval.
    Share,
    /// The mean of items: t; in pairs the bootstrap, and sign flips.
    Mean,
    /// Increasing in the first sum; where all others of a pair are equal, sign flips of it test that nothing changed. The
    /// interval is the bootstrap's.
    Ratio,
    /// A share that an instrument read, as [`CORRECTED_SHARE`](crate::formulas::CORRECTED_SHARE) has it: Lang and Reiczigel's
    /// interval, over as many items as the clusters are worth; in pairs the share's tests, with the instrument's
    /// uncertainty in the interval.
    Corrected,
    /// An area under a ROC curve, as the mean of items' parts in it: Newcombe's interval, or t with clustered errors; in pairs as a mean.
    Area,
    /// One share less another, each as its sum with and its sum of all: Newcombe's combination of their intervals, with clusters; the
    /// bootstrap where they are no shares, or in pairs.
    ShareDifference,
    /// Any smooth function: the bootstrap.
    Resampled,
}

/// How the numbers of groups of items become one.
#[derive(Debug)]
pub struct Across {
    /// Its name in files and records.
    pub id: &'static str,
    /// One line about what it is.
    pub doc: &'static str,
    /// From the groups' numbers, in the order of the groups' names; `None` where it does not exist.
    pub of: fn(&[f64]) -> Option<f64>,
    /// Whether groups are a sample of more of their kind, so that uncertainty comes from how they differ. Else they are what
    /// there is, and it comes from the items in them.
    pub sampled: bool,
    /// Whether the formula is not of each group, but of the means over groups of their mean scores; groups are a sample then.
    pub of_means: bool,
}

/// A number of items: a formula over all of them, or over each group and then across groups.
#[derive(Clone, Copy, Debug)]
pub struct Statistic {
    /// From sums to a number.
    pub formula: &'static Formula,
    /// From the groups' numbers to one; `None` where groups play no part.
    pub across: Option<&'static Across>,
}

impl PartialEq for Formula {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl PartialEq for Across {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl PartialEq for Statistic {
    fn eq(&self, other: &Self) -> bool {
        self.formula == other.formula && self.across == other.across
    }
}
