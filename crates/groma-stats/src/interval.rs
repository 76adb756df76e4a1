//! An interval and the way it was found.

use serde::{Deserialize, Serialize};

/// How an interval was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Wilson's score interval of a proportion.
    Wilson,
    /// Clopper and Pearson's interval of a proportion, which never covers less than its level.
    ClopperPearson,
    /// The interval of a proportion from Jeffreys' prior.
    Jeffreys,
    /// Student's t for a mean of independent items.
    StudentT,
    /// Student's t with clustered standard errors.
    ClusteredT,
    /// Percentiles of a bootstrap over items, or over clusters where there are any.
    Bootstrap,
    /// Bias-corrected and accelerated bootstrap.
    BiasCorrectedBootstrap,
    /// Agresti and Min's interval for the difference of paired proportions.
    AgrestiMin,
    /// Lang and Reiczigel's interval of a proportion that was read by an instrument with known errors.
    LangReiczigel,
    /// Newcombe's combination of the intervals of two independent numbers.
    Newcombe,
    /// Newcombe's combination of the intervals of two shares of one sample, over as many items as their clusters are worth.
    NewcombeShares,
    /// Newcombe's score interval of the area under the ROC curve.
    NewcombeArea,
}

impl Method {
    /// The name that results carry.
    pub fn name(self) -> &'static str {
        match self {
            Method::Wilson => "wilson",
            Method::ClopperPearson => "clopper-pearson",
            Method::Jeffreys => "jeffreys",
            Method::StudentT => "t",
            Method::ClusteredT => "clustered t",
            Method::Bootstrap => "bootstrap",
            Method::BiasCorrectedBootstrap => "bias-corrected bootstrap",
            Method::AgrestiMin => "agresti-min",
            Method::LangReiczigel => "lang-reiczigel",
            Method::Newcombe => "unpaired, from both intervals",
            Method::NewcombeShares => "newcombe (shares)",
            Method::NewcombeArea => "newcombe (area)",
        }
    }

    /// Whether it depends on a seed.
    pub fn is_seeded(self) -> bool {
        matches!(self, Method::Bootstrap | Method::BiasCorrectedBootstrap)
    }
}

/// A confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Confidence, e.g. 0.95.
    pub level: f64,
    /// How it was found.
    pub method: Method,
}

impl Interval {
    /// Whether `value` lies inside, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }

    /// Both ends through an increasing function.
    pub fn map(self, increasing: impl Fn(f64) -> f64) -> Self {
        Interval { low: increasing(self.low), high: increasing(self.high), ..self }
    }

    /// `centre` plus and minus `half_width`.
    pub fn around(centre: f64, half_width: f64, level: f64, method: Method) -> Self {
        Interval { low: centre - half_width, high: centre + half_width, level, method }
    }
}
