//! Whether a reward that nothing learns from falls again.
//!
//! Gao et al. 2022: the gold rises with the proxy, and then falls. A reward of weight 0 (`reward_weights`), a rule, a model or a judge,
//! is asked and not learned from.

use crate::watch::{Past, Watch, limit};

pub(super) const WATCH: Watch = Watch {
    id: "held-out",
    title: "fall of a reward that does not count, from its best",
    paper: "arXiv:2210.10760",
    doc: "The best mean of the rewards of weight 0 at a log so far, less their mean now, in their deviations at the first log. A proxy that still rises while the other falls is being exploited.",
    limit: &limit("watch_held_out_limit", "0.5", "How far it may fall, in deviations of the beginning."),
    needs_reference: false,
    level,
};

/// Deviations below this are those of a reward that hardly differs.
const LEAST: f64 = 1e-3;

fn level(past: &Past) -> Option<f64> {
    let spread = past.first("rewards/held_out_std")?.max(LEAST);
    let series = past.series("rewards/held_out");
    let best = series.iter().map(|(_, value)| *value).fold(f64::NEG_INFINITY, f64::max);
    Some((best - past.now("rewards/held_out")?) / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_won_before_can_be_lost() {
        let spread: &[f64] = &[0.5; 4];
        let of = |values: &[f64]| {
            let series = [("rewards/held_out", values), ("rewards/held_out_std", &spread[..values.len()])];
            level(&Past::of_several(&series)).unwrap()
        };
        assert_eq!(of(&[0.1, 0.4, 0.9]), 0.0);
        assert!((of(&[0.1, 0.9, 0.4]) - 1.0).abs() < 1e-12);
        assert_eq!(level(&Past::of("reward", &[1.0])), None);
    }
}
