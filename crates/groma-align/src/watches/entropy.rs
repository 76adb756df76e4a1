//! Whether the policy still has choices.
//!
//! Cui et al. 2025: entropy falls as reward is bought, and where it is gone nothing more is learned.

use crate::watch::{Past, Watch, limit};

pub(super) const WATCH: Watch = Watch {
    id: "entropy",
    title: "share of the entropy that is lost",
    paper: "arXiv:2505.22617",
    doc: "1 - entropy / entropy at the first log, where the entropy of a token is estimated by -log p of those that were sampled.",
    limit: &limit("watch_entropy_limit", "0.8", "Which share may be lost."),
    needs_reference: false,
    level,
};

fn level(past: &Past) -> Option<f64> {
    let first = past.first("sampling/entropy").filter(|first| *first > 0.0)?;
    Some(1.0 - past.now("sampling/entropy")? / first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_held_against_the_beginning() {
        assert!((level(&Past::of("sampling/entropy", &[2.0, 3.0, 0.5])).unwrap() - 0.75).abs() < 1e-12);
        assert_eq!(level(&Past::of("sampling/entropy", &[0.0, 0.0])), None, "there was none to lose");
    }
}
