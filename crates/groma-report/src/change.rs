//! A difference of two numbers.

use groma_run::{Interval, number};
use serde::Serialize;

/// The difference of the two sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Change {
    /// Right minus left.
    #[serde(with = "number")]
    pub difference: f64,
    /// Its uncertainty.
    pub interval: Option<Interval>,
    /// Probability of so large a difference if there were none.
    #[serde(with = "number::option")]
    pub p_value: Option<f64>,
    /// Pairs, or the smaller side's items.
    pub n: u64,
    /// How interval and probability were made.
    pub method: String,
    /// Whether the same items were compared one by one.
    pub paired: bool,
    /// The smallest true difference that would be found four times in five.
    #[serde(with = "number::option")]
    pub detectable: Option<f64>,
}
