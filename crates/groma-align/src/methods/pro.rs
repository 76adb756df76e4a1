//! Preference ranking optimisation: the best completion against all others, then the next against those below it, and so on.
//!
//! Song et al. 2023, arXiv 2306.17492, equations 5 to 7. With completions in order of their scores `r`, `s` the mean
//! log-probability of a token, `T_k^i = r_k - r_i` and `T_k^k = max_i T_k^i`, the loss is
//! `Σ_k -log(e^{s_k T_k^k} / (e^{s_k T_k^k} + Σ_{i > k} e^{s_i T_k^i}))`, and the cross-entropy of the best completion by token.
//! `plackett_luce` has all `T = 1` (Plackett 1975): the likelihood of the ranking. Papers take all scores to be different; of equal ones,
//! each stands in its stage against those that are worse, and not against its equals. The authors' code weighs the sum of the best
//! completion's log-probabilities by 0.05 (n - 1)².

use super::ranking::{DATA, METRICS, PlainRank, Ranking, order};
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter, Range, Variant};
use groma_model::Head;

const WEIGHT: &str = "sft_weight";
const LOSS: &str = "loss_type";

/// Kinds of loss.
const KINDS: &[(Variant, PlainRank)] = &[
    (
        Variant {
            id: "pro",
            title: "Stages weighed by differences of scores",
            paper: "arXiv:2306.17492",
            doc: "Σ_k log(e^{s_k T_k^k} + Σ_{i > k} e^{s_i T_k^i}) - s_k T_k^k, T_k^i = r_k - r_i, T_k^k = max_i T_k^i",
            parameters: &[],
        },
        |said, scores| stages(said, scores, |best, other| best - other),
    ),
    (
        Variant {
            id: "plackett_luce",
            title: "Likelihood of the ranking",
            paper: "arXiv:2301.11270",
            doc: "Σ_k log Σ_{i ≥ k} e^{s_i} - s_k",
            parameters: &[],
        },
        plackett_luce,
    ),
];

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "pro",
    names: &["preference-ranking-optimisation"],
    title: "Preference ranking optimisation",
    paper: "arXiv:2306.17492",
    doc: "Makes each completion of a ranking likelier by token than all that are worse, and learns the best; no reference.",
    data: DATA,
    roles: &[],
    heads: &[Head::UNEMBEDDING],
    parameters: &[&[
        Parameter {
            name: LOSS,
            kind: Kind::Variant(&[KINDS[0].0, KINDS[1].0]),
            default: "\"pro\"",
            range: None,
            doc: "Kind of loss.",
        },
        Parameter {
            name: WEIGHT,
            kind: Kind::Float,
            default: "1.0",
            range: Some(Range::at_least(0.0)),
            doc: "Weight of the best completion's cross-entropy beside the ranking.",
        },
    ]],
    overrides: &[("learning_rate", "2e-5")],
    metrics: &[METRICS],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| {
        let supervised = Ranking::number(settings, WEIGHT);
        let named = settings.values.get(LOSS).and_then(serde_json::Value::as_str).unwrap_or_default();
        let kind = KINDS.iter().find(|(variant, _)| variant.id == named);
        let (_, rank) = *kind.ok_or_else(|| settings.invalid(LOSS, "is not known"))?;
        Ok(Box::new(Ranking { supervised, ..Ranking::of(Box::new(rank)) }))
    },
};

/// Minus the log-likelihood of the ranking by the scores, and its slopes by what is said.
pub(super) fn plackett_luce(said: &[f64], scores: &[f64]) -> (f64, Vec<f64>) {
    stages(said, scores, |_, _| 1.0)
}

/// The sum over stages, each of a completion and those that are worse, with `T` from the scores of the stage's best and of another.
fn stages(said: &[f64], scores: &[f64], t: impl Fn(f64, f64) -> f64) -> (f64, Vec<f64>) {
    let (mut value, mut slopes) = (0.0, vec![0.0; said.len()]);
    for best in order(scores) {
        let others: Vec<usize> = order(scores).into_iter().filter(|&other| scores[other] < scores[best]).collect();
        let weigh = |&other: &usize| t(scores[best], scores[other]);
        let Some(own) = others.iter().map(weigh).reduce(f64::max) else { break };
        let weights: Vec<f64> = std::iter::once(own).chain(others.iter().map(weigh)).collect();
        let members = || std::iter::once(&best).chain(&others).zip(&weights);
        let most = members().map(|(&i, t)| said[i] * t).fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = members().map(|(&i, t)| (said[i] * t - most).exp()).sum();
        value += most + total.ln() - said[best] * own;
        members().for_each(|(&i, t)| slopes[i] += t * (said[i] * t - most).exp() / total);
        slopes[best] -= own;
    }
    (value, slopes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::log_sigmoid;

    #[test]
    fn golden_values_and_identities() {
        let pro = KINDS[0].1;
        assert!((pro(&[-1.0, -1.5, -2.0], &[2.0, 1.0, 0.0]).0 - 1.4979860403600143).abs() < 1e-12);
        assert!((plackett_luce(&[2.0, 1.0, 0.0], &[3.0, 2.0, 1.0]).0 - 0.7208676519626034).abs() < 1e-12);
        // The order of the rows does not matter; of two, it is Bradley and Terry's.
        assert!((pro(&[-2.0, -1.0, -1.5], &[0.0, 2.0, 1.0]).0 - 1.4979860403600143).abs() < 1e-12);
        assert!((plackett_luce(&[0.3, -0.9], &[1.0, 0.0]).0 + log_sigmoid(1.2)).abs() < 1e-12);
        // Scores that differ by 1 leave nothing to weigh in a pair.
        assert_eq!(pro(&[0.3, -0.9], &[1.0, 0.0]), plackett_luce(&[0.3, -0.9], &[1.0, 0.0]));
    }

    #[test]
    fn slopes_are_central_differences() {
        let (h, said, scores) = (1e-6, [-1.5, -1.0, -2.0, -0.2], [2.0, 0.5, -1.0, 0.5]);
        for (_, rank) in KINDS {
            for (index, slope) in rank(&said, &scores).1.into_iter().enumerate() {
                let at = |by: f64| {
                    let mut moved = said;
                    moved[index] += by;
                    rank(&moved, &scores).0
                };
                assert!(((at(h) - at(-h)) / (2.0 * h) - slope).abs() < 1e-8);
            }
        }
    }
}
