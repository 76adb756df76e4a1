//! Whether several rewards still agree on which completions are good.
//!
//! Eisenstein et al. 2023 and Coste et al. 2023: where members of an ensemble part, the policy has left what they learned from.

use crate::watch::{Past, Watch, limit};

pub(super) const WATCH: Watch = Watch {
    id: "agreement",
    title: "fall of the agreement of several rewards",
    paper: "arXiv:2312.09244",
    doc: "The mean correlation, over pairs of rewards that count, of what they say of the completions sampled at once, at the first log less now. Members that part no longer know.",
    limit: &limit("watch_agreement_limit", "0.5", "By how much the correlation may fall."),
    needs_reference: false,
    level,
};

fn level(past: &Past) -> Option<f64> {
    past.rise("rewards/agreement").map(|rise| -rise)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fall_counts() {
        assert!((level(&Past::of("rewards/agreement", &[0.9, 0.2])).unwrap() - 0.7).abs() < 1e-12);
        assert_eq!(level(&Past::of("reward", &[0.9, 0.2])), None);
    }
}
