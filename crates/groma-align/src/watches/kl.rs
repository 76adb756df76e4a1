//! How far the policy has gone.
//!
//! The mean over completions of `log policy - log reference`, on what the policy sampled (k1, Schulman 2020).

use crate::watch::{Past, Watch, limit};

pub(super) const WATCH: Watch = Watch {
    id: "kl",
    title: "nats from the reference, a completion",
    paper: "arXiv:2210.10760",
    doc: "The mean over sampled completions of log policy - log reference, in nats. What a proxy is worth holds near the policy that it was learned on.",
    limit: &limit("watch_kl_limit", "20", "How many nats a completion may be away."),
    needs_reference: true,
    level,
};

fn level(past: &Past) -> Option<f64> {
    past.now("sampling/kl")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_was_logged_last() {
        assert_eq!(level(&Past::of("sampling/kl", &[0.1, 3.5])), Some(3.5));
    }
}
