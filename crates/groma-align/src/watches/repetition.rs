//! Whether completions say the same again and again.
//!
//! Welleck et al. 2019: the share of n-grams that were there before in the same text.

use crate::watch::{Past, Watch, limit};

pub(super) const WATCH: Watch = Watch {
    id: "repetition",
    title: "rise of the share of repeated trigrams",
    paper: "arXiv:1908.04319",
    doc: "The share of three tokens in a row that occurred before in the same completion, now less that at the first log.",
    limit: &limit("watch_repetition_limit", "0.2", "By how much the share may rise."),
    needs_reference: false,
    level,
};

fn level(past: &Past) -> Option<f64> {
    past.rise("completions/repetition")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_counts() {
        assert!((level(&Past::of("completions/repetition", &[0.1, 0.4])).unwrap() - 0.3).abs() < 1e-12);
    }
}
