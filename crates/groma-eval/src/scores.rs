//! The scores of an item.

use std::collections::BTreeMap;

/// Numbers about one item, by name; metrics are made of them.
pub type Scores = BTreeMap<String, f64>;

/// Names of scores that say what is known of the instrument, not of the answer.
const INSTRUMENT: &str = "reader.";

/// Whether a score says what is known of the instrument that read the answer: the same for all.
pub(crate) fn is_of_instrument(name: &str) -> bool {
    name.starts_with(INSTRUMENT)
}

/// Scores from names and values.
pub(crate) fn scores<const N: usize>(values: [(&str, f64); N]) -> Scores {
    values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// One where something holds, else zero.
pub(crate) fn share(holds: bool) -> f64 {
    f64::from(u8::from(holds))
}
