//! Whether there is anything left to learn from.
//!
//! Yu et al. 2025 (DAPO): a group whose completions are all worth the same has no advantages.

use crate::watch::{Past, Watch, limit};

pub(super) const WATCH: Watch = Watch {
    id: "no-spread",
    title: "share of groups whose rewards are all the same",
    paper: "arXiv:2503.14476",
    doc: "The share of prompts whose completions all got the same reward, of methods that compare those of one prompt.",
    limit: &limit("watch_no_spread_limit", "0.95", "Which share there may be."),
    needs_reference: false,
    level,
};

fn level(past: &Past) -> Option<f64> {
    past.now("frac_reward_zero_std")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_was_logged_last() {
        assert_eq!(level(&Past::of("frac_reward_zero_std", &[0.1, 0.75])), Some(0.75));
    }
}
