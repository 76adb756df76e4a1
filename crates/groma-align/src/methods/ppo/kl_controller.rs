//! Who says how much the distance to the reference costs: fixed, or by what it was.

use crate::Error;
use crate::Hyperparameters;
use crate::parameter::{Kind, Range, Variant, parameter};
use serde::Deserialize;

const ADAPTIVE: &str = "adaptive";
/// Largest relative error that is answered to.
const ERROR_LIMIT: f64 = 0.2;

/// Choices of `kl_controller`.
pub(super) const VARIANTS: &[Variant] = &[
    Variant {
        id: "fixed",
        title: "The same throughout",
        paper: "arXiv:2203.02155",
        doc: "β = kl_coef",
        parameters: &[],
    },
    Variant {
        id: ADAPTIVE,
        title: "Towards a distance",
        paper: "arXiv:1909.08593",
        doc: "β <- β (1 + e n / horizon) after n completions of a mean distance KL, e = clip(KL / target - 1, ±0.2)",
        parameters: &[
            parameter(
                "target",
                Kind::Float,
                "6.0",
                Some(Range::above(0.0)),
                "Distance to the reference that is aimed at, in nats a completion.",
            ),
            parameter(
                "horizon",
                Kind::Float,
                "10000.0",
                Some(Range::above(0.0)),
                "Completions over which the weight answers to an error.",
            ),
        ],
    },
];

#[derive(Clone, Debug, Deserialize)]
struct Raw {
    kl_coef: f64,
    kl_controller: String,
    target: Option<f64>,
    horizon: Option<f64>,
}

/// The weight of the distance, and how it moves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct KlController {
    pub(super) weight: f64,
    /// Target and horizon, where it moves.
    adaptive: Option<(f64, f64)>,
}

impl KlController {
    /// # Errors
    /// Where the weight is 0 and is to be adapted.
    pub(super) fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        let adaptive = raw.target.zip(raw.horizon).filter(|_| raw.kl_controller == ADAPTIVE);
        if raw.kl_coef == 0.0 && adaptive.is_some() {
            return Err(settings.invalid("kl_coef", "must be above 0 where it is adapted: it is multiplied"));
        }
        Ok(KlController { weight: raw.kl_coef, adaptive })
    }

    /// After so many completions, at that mean distance.
    pub(super) fn update(&mut self, distance: f64, completions: usize) {
        if let Some((target, horizon)) = self.adaptive {
            let error = (distance / target - 1.0).clamp(-ERROR_LIMIT, ERROR_LIMIT);
            self.weight *= 1.0 + error * completions as f64 / horizon;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of `AdaptiveKLController` of TRL 0.11: `value *= 1 + clip(current / target - 1, -0.2, 0.2) * n_steps / horizon`.
    #[test]
    fn the_weight_answers_to_the_distance_within_limits() {
        let after = |distance: f64, completions: usize| {
            let mut controller = KlController { weight: 0.2, adaptive: Some((6.0, 10000.0)) };
            controller.update(distance, completions);
            controller.weight
        };
        assert!((after(6.6, 256) - 0.2 * (1.0 + 0.1 * 0.0256)).abs() < 1e-15, "ten percent too far");
        assert!((after(60.0, 256) - 0.2 * (1.0 + 0.2 * 0.0256)).abs() < 1e-15, "no more than a fifth");
        assert!((after(0.0, 256) - 0.2 * (1.0 - 0.2 * 0.0256)).abs() < 1e-15, "too near");
        let mut fixed = KlController { weight: 0.2, adaptive: None };
        fixed.update(60.0, 256);
        assert_eq!(fixed.weight, 0.2);
    }
}
