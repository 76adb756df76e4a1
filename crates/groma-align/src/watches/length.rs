//! Whether completions grow or shrink.
//!
//! Singhal et al. 2023: much of what reward models are won by is length.

use crate::watch::{Past, Watch, limit};

pub(super) const WATCH: Watch = Watch {
    id: "length",
    title: "change of the length of completions",
    paper: "arXiv:2310.03716",
    doc: "The logarithm of the mean length over that at the first log, whichever way; 0.69 is twice as long, or half.",
    limit: &limit(
        "watch_length_limit",
        "1.1",
        "How far the logarithm may be from 0; 1.1 is three times as long, or a third.",
    ),
    needs_reference: false,
    level,
};

fn level(past: &Past) -> Option<f64> {
    let [first, now] = [past.first(LENGTH)?, past.now(LENGTH)?].map(|length| length.max(1.0));
    Some((now / first).ln().abs())
}

const LENGTH: &str = "completions/mean_length";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_count() {
        let of = |values: &[f64]| level(&Past::of(LENGTH, values)).unwrap();
        assert!((of(&[10.0, 20.0]) - 2f64.ln()).abs() < 1e-12 && (of(&[10.0, 5.0]) - 2f64.ln()).abs() < 1e-12);
        assert_eq!(of(&[0.0, 0.0]), 0.0);
    }
}
