//! Odds ratio preference optimisation: cross-entropy on chosen completions, and the odds of both kept apart; no reference.
//!
//! Hong et al. 2024, arXiv 2403.07691. The cross-entropy is the mean over the chosen completions' tokens in the optimizer's
//! batch; TRL counts the tokens of their prompts, too.

use super::dpo::{Dpo, METRICS};
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter, Range};
use groma_data::Shape;
use groma_model::Head;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "orpo",
    names: &["odds-ratio-preference-optimisation"],
    title: "Odds ratio preference optimisation",
    paper: "arXiv:2403.07691",
    doc: "Learns chosen completions and keeps their odds above those of rejected ones, in one stage and without a reference.",
    data: &[Shape::Preference],
    roles: &[],
    heads: &[Head::UNEMBEDDING],
    parameters: &[&[Parameter {
        name: "beta",
        kind: Kind::Float,
        default: "0.1",
        range: Some(Range::above(0.0)),
        doc: "Weight of the odds ratio beside the cross-entropy (the paper's λ).",
    }]],
    overrides: &[("learning_rate", "1e-6")],
    metrics: &[METRICS],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Dpo::reference_free(settings, "orpo", 1.0)?)),
};

#[cfg(test)]
mod tests {
    use crate::losses::{LossParameters, Pair, Totals, reference_free};

    fn pair(chosen: f64, rejected: f64, tokens: usize) -> Pair {
        let (policy_chosen, policy_rejected) = (tokens as f64 * chosen, tokens as f64 * rejected);
        Pair {
            policy_chosen,
            policy_rejected,
            reference_chosen: 0.0,
            reference_rejected: 0.0,
            chosen_plain: policy_chosen,
            chosen_tokens: tokens,
            rejected_tokens: tokens,
        }
    }

    /// `-log σ` of the log odds ratio, computed from its definition in 50 digits.
    #[test]
    fn golden_value_and_extremes() {
        let of = |pair: Pair| {
            let parameters = LossParameters { beta: 1.0, ..LossParameters::default() };
            reference_free("orpo").unwrap().kind.evaluate(&[pair], &Totals::of(&[pair]), &parameters)[0]
        };
        assert!((of(pair(-1.5, -2.5, 3)).value - 0.2710584758601351).abs() < 1e-12);
        for certain in [pair(0.0, -2.0, 2), pair(-2.0, 0.0, 2), pair(0.0, 0.0, 1), pair(-1e4, -1e-20, 1)] {
            let loss = of(certain);
            assert!(loss.value.is_finite() && loss.d_chosen.is_finite() && loss.d_rejected.is_finite(), "{loss:?}");
        }
        // Exchanged, the odds ratio turns round: both losses differ by it.
        let (there, back) = (of(pair(-1.5, -2.5, 3)), of(pair(-2.5, -1.5, 3)));
        assert!((back.value - there.value - 1.1668319751834157).abs() < 1e-12);
    }
}
