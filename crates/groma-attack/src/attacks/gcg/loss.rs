//! How unlikely a target is, in one number.

use serde::Deserialize;

/// From the negative log-probabilities of a target's tokens to a loss.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// Their mean, as in the paper.
    CrossEntropy,
    /// `(log sum exp(a t) - log n) / a` (Asadi and Littman 2017): the mean as `a` goes to 0, the maximum as it grows. Of negative
    /// log-probabilities, where nanoGCG takes negative logits.
    Mellowmax(f64),
}

impl Loss {
    /// The loss of a target of these log-probabilities, at least one.
    pub(super) fn of(self, logps: &[f32]) -> f64 {
        let terms = || logps.iter().map(|&logp| -f64::from(logp));
        let count = logps.len() as f64;
        match self {
            Loss::CrossEntropy => terms().sum::<f64>() / count,
            Loss::Mellowmax(sharpness) => {
                let most = terms().fold(f64::NEG_INFINITY, f64::max);
                let sum: f64 = terms().map(|term| (sharpness * (term - most)).exp()).sum();
                most + (sum.ln() - count.ln()) / sharpness
            }
        }
    }

    /// Its derivative by each of the log-probabilities.
    pub(super) fn slopes(self, logps: &[f32]) -> Vec<f32> {
        let count = logps.len() as f64;
        match self {
            Loss::CrossEntropy => vec![(-1.0 / count) as f32; logps.len()],
            Loss::Mellowmax(sharpness) => {
                let least = logps.iter().copied().fold(f32::INFINITY, f32::min);
                let weights: Vec<f64> =
                    logps.iter().map(|&logp| (-sharpness * f64::from(logp - least)).exp()).collect();
                let sum: f64 = weights.iter().sum();
                weights.iter().map(|weight| (-weight / sum) as f32).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGPS: [f32; 3] = [-0.5, -2.0, -1.0];

    #[test]
    fn mellowmax_lies_between_mean_and_maximum() {
        let mean = Loss::CrossEntropy.of(&LOGPS);
        assert!((mean - 3.5 / 3.0).abs() < 1e-12);
        assert!((Loss::Mellowmax(1e-6).of(&LOGPS) - mean).abs() < 1e-5);
        assert!((Loss::Mellowmax(1e4).of(&LOGPS) - 2.0).abs() < 1e-3);
        // ln((e^.5 + e^2 + e^1) / 3), by hand.
        assert!((Loss::Mellowmax(1.0).of(&LOGPS) - (11.756_058_86_f64 / 3.0).ln()).abs() < 1e-6);
    }

    #[test]
    fn slopes_are_those_of_the_loss() {
        for loss in [Loss::CrossEntropy, Loss::Mellowmax(0.3), Loss::Mellowmax(4.0)] {
            for (place, slope) in loss.slopes(&LOGPS).into_iter().enumerate() {
                let moved = |by: f32| {
                    let mut logps = LOGPS;
                    logps[place] += by;
                    loss.of(&logps)
                };
                let found = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((found - f64::from(slope)).abs() < 1e-3, "{loss:?} {place}: {found} {slope}");
            }
        }
    }
}
