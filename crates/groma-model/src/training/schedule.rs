//! The learning rate of each step, by the formulas of Hugging Face's schedulers.

use serde::{Deserialize, Serialize};

/// How the learning rate goes on after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scheduler {
    /// Stays.
    Constant,
    /// Falls to 0 in a line.
    Linear,
    /// Falls to 0 along half a cosine.
    Cosine,
}

/// The learning rate of `step` of `total`, the first being 1, where it rises to `peak` over the `warmup` steps before.
pub fn learning_rate(scheduler: Scheduler, peak: f64, step: u64, (warmup, total): (u64, u64)) -> f64 {
    let done = step.saturating_sub(1) as f64;
    let (total, warmup) = (total as f64, warmup as f64);
    if done < warmup {
        return peak * done / warmup.max(1.0);
    }
    let span = (total - warmup).max(1.0);
    let factor = match scheduler {
        Scheduler::Constant => 1.0,
        Scheduler::Linear => (total - done) / span,
        Scheduler::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * (done - warmup) / span).cos()),
    };
    peak * factor.max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn learning_rates_follow_the_formulas() {
        let linear: Vec<f64> = (1..=10).map(|step| learning_rate(Scheduler::Linear, 1.0, step, (2, 10))).collect();
        let expected = [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125];
        assert!(linear.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-15), "{linear:?}");
        for (step, expected) in [(1, 2.0), (3, 1.0), (2, 1.0 + std::f64::consts::FRAC_1_SQRT_2)] {
            assert!((learning_rate(Scheduler::Cosine, 2.0, step, (0, 4)) - expected).abs() < 1e-12);
        }
        let constant = |step| learning_rate(Scheduler::Constant, 3.0, step, (2, 10));
        assert_eq!((constant(1), constant(2), constant(3), constant(10)), (0.0, 1.5, 3.0, 3.0));
    }
}
