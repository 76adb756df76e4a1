//! What several reward models say of one completion, as one reward.
//!
//! Coste et al. 2023, arXiv 2310.02743, section 4.2: the mean, the worst case, and the mean less a multiple of the variance across
//! the models (uncertainty-weighted optimisation), which is that of the population.

use crate::Hyperparameters;
use crate::parameter::{Kind, Parameter, Range, Variant};
use serde_json::Value;

/// The way that makes one model of all, before any is asked.
pub(super) const AVERAGED: &str = "warm";
/// The setting that chooses.
pub(crate) const SETTING: &str = "reward_ensemble";
const COEFFICIENT: &str = "uwo_coefficient";
const PAPER: &str = "arXiv:2310.02743";

/// What the setting chooses among.
pub(crate) const VARIANTS: &[Variant] = &[
    variant("sum", "Sum", "Σ_i w_i r_i; the rewards are of different things", &[]),
    variant("mean", "Mean", "(1/n) Σ_i w_i r_i", &[]),
    variant("min", "Worst case", "min_i w_i r_i", &[]),
    variant(
        "uwo",
        "Uncertainty-weighted",
        "mean_i w_i r_i - λ var_i w_i r_i",
        &[Parameter {
            name: COEFFICIENT,
            kind: Kind::Float,
            default: "0.1",
            range: Some(Range::at_least(0.0)),
            doc: "How much the variance across reward models counts against a completion (λ).",
        }],
    ),
    Variant {
        paper: "arXiv:2401.12187",
        ..variant(AVERAGED, "Averaged weights", "r of the mean of all weights (WARM): one model is asked", &[])
    },
];

const fn variant(
    id: &'static str,
    title: &'static str,
    doc: &'static str,
    parameters: &'static [Parameter],
) -> Variant {
    Variant { id, title, paper: PAPER, doc, parameters }
}

/// How rewards are put together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) enum Ensemble {
    #[default]
    Sum,
    Mean,
    Least,
    /// With the weight of the variance.
    Uncertainty(f64),
}

impl Ensemble {
    /// The one that settings choose.
    pub(crate) fn new(settings: &Hyperparameters) -> Self {
        let coefficient = settings.values.get(COEFFICIENT).and_then(Value::as_f64).unwrap_or_default();
        match settings.values.get(SETTING).and_then(Value::as_str) {
            Some("mean") => Ensemble::Mean,
            Some("min") => Ensemble::Least,
            Some("uwo") => Ensemble::Uncertainty(coefficient),
            _ => Ensemble::Sum,
        }
    }

    /// Of what those said that said something; `None` of nothing.
    pub(crate) fn of(self, said: &[f64]) -> Option<f64> {
        let mean = said.iter().sum::<f64>() / said.len() as f64;
        let variance = said.iter().map(|reward| (reward - mean).powi(2)).sum::<f64>() / said.len() as f64;
        (!said.is_empty()).then(|| match self {
            Ensemble::Sum => said.iter().sum(),
            Ensemble::Mean => mean,
            Ensemble::Least => said.iter().copied().fold(f64::INFINITY, f64::min),
            Ensemble::Uncertainty(weight) => mean - weight * variance,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_that_agree_are_one_and_doubt_costs() {
        let all = [Ensemble::Mean, Ensemble::Least, Ensemble::Uncertainty(0.5)];
        // Where all say the same, each is that; one alone is itself.
        assert!(all.iter().all(|ensemble| ensemble.of(&[0.75; 4]) == Some(0.75) && ensemble.of(&[0.75]) == Some(0.75)));
        assert_eq!(all.map(|ensemble| ensemble.of(&[1.0, 3.0])), [Some(2.0), Some(1.0), Some(1.5)]);
        assert_eq!(Ensemble::Uncertainty(0.0).of(&[1.0, 3.0]), Ensemble::Mean.of(&[1.0, 3.0]));
        assert_eq!((Ensemble::Sum.of(&[1.0, 3.0]), Ensemble::Least.of(&[])), (Some(4.0), None));
    }
}
