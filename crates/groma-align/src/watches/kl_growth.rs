//! Whether the policy is leaving faster and faster.
//!
//! The acceleration of the divergence: its growth a step over the last logs, over its growth a step since the beginning. A divergence
//! that grows as the p-th power of steps has a level of about p.

use crate::watch::{Past, Watch, limit};

pub(super) const WATCH: Watch = Watch {
    id: "kl-growth",
    title: "growth of the divergence now, beside its growth so far",
    paper: "arXiv:2210.10760",
    doc: "Nats a step over the last three logs, over nats a step since training began; from the fourth log on, and where the policy is at least a nat away.",
    limit: &limit("watch_kl_growth_limit", "3", "How many times as fast it may grow."),
    needs_reference: true,
    level,
};

/// Logs that "now" is.
const WINDOW: usize = 3;
/// A divergence below this is mostly the noise of its estimate.
const LEAST: f64 = 1.0;

fn level(past: &Past) -> Option<f64> {
    let series = past.series("sampling/kl");
    let (step, kl) = *series.last()?;
    let (before, was) = *series.get(series.len().checked_sub(1 + WINDOW)?)?;
    (kl >= LEAST && step > before).then(|| ((kl - was) / (step - before)) / (kl / step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_power_of_the_growth_is_found() {
        let at = |power: i32| {
            let kls: Vec<f64> = (1..=40).map(|log| (f64::from(log) / 4.0).powi(power)).collect();
            level(&Past::of("sampling/kl", &kls)).unwrap()
        };
        assert!((at(1) - 1.0).abs() < 1e-9);
        assert!((at(2) - 2.0).abs() < 0.1 && (at(4) - 4.0).abs() < 0.5);
        assert_eq!(level(&Past::of("sampling/kl", &[1.0, 2.0, 3.0])), None, "too few logs");
        assert_eq!(level(&Past::of("sampling/kl", &[0.1, 0.2, 0.3, 0.9])), None, "too near");
    }
}
