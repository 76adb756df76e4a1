//! Whether different prompts get one and the same completion.
//!
//! Kirk et al. 2023: reinforcement learning narrows what is said across inputs. A completion that serves every prompt is the plainest
//! sign of a reward that can be won without reading the prompt.

use crate::watch::{Past, Watch, limit};

pub(super) const WATCH: Watch = Watch {
    id: "sameness",
    title: "rise of the share of completions that answer several prompts",
    paper: "arXiv:2310.06452",
    doc: "The share of completions that, token by token, were also given to another prompt sampled at once; now less that at the first log.",
    limit: &limit("watch_sameness_limit", "0.5", "By how much the share may rise."),
    needs_reference: false,
    level,
};

fn level(past: &Past) -> Option<f64> {
    past.rise("completions/same")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_counts() {
        assert!((level(&Past::of("completions/same", &[0.25, 1.0])).unwrap() - 0.75).abs() < 1e-12);
    }
}
