//! Sequence likelihood calibration: the likelihoods of completions are put in the order of their scores, and the best is learned.
//!
//! Zhao et al. 2022, arXiv 2210.00045, section 2.2, with four calibration losses of `s`, the log-probability of a completion, and `r`,
//! its score: `rank`, `max(0, δ - s_i + s_j)` where `r_i > r_j`; `margin`, `max(0, δ (r_i - r_j) - s_i + s_j)`; `list`,
//! `max(0, δ (j - i) - s_i + s_j)` for the i-th and j-th best; `reward`, minus the mean of `r` by `softmax(s)`. The paper draws one pair of the first two;
//! here the mean over all pairs is taken, which is what the draw comes to. The regulariser is one of the paper's two, of the best completion
//! as the mean over its tokens: its cross-entropy, or `KL(policy || reference)` over the vocabulary, from the model that training starts
//! from.
//!
//! The papers have sums over tokens, which completions of unlike lengths set far apart before anything is learned; here `s` is the mean
//! unless `length_penalty` says otherwise.
//!
//! Pairs of a chosen and a rejected completion with `rank` are SLiC-HF (Zhao et al. 2023, arXiv 2305.10425, equation 1).

use super::ranking::{METRICS, Rank, Ranking, ordered};
use crate::group::Group;
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter, Range, Variant};
use crate::reference;
use crate::role::Role;
use groma_data::Shape;
use groma_kernels::Divergence;
use groma_model::Head;

const LOSS: &str = "loss_type";
const DELTA: &str = "slic_delta";
const WEIGHT: &str = "sft_weight";
const PENALTY: &str = "length_penalty";
const REGULARISER: &str = "slic_regularizer";
const KL: &str = "kl";

/// A calibration loss, given δ.
type Calibration = fn(&[f64], &[f64], f64) -> (f64, Vec<f64>);

const fn variant(id: &'static str, title: &'static str, doc: &'static str) -> Variant {
    Variant { id, title, paper: "arXiv:2210.00045", doc, parameters: &[] }
}

const KINDS: &[(Variant, Calibration)] = &[
    (
        variant("rank", "A margin between better and worse", "mean over pairs of max(0, δ - s_i + s_j), r_i > r_j"),
        |said, scores, delta| hinges(said, ordered(scores).map(|(i, j)| (i, j, delta)), true),
    ),
    (
        variant("margin", "A margin in proportion to scores", "mean over pairs of max(0, δ (r_i - r_j) - s_i + s_j)"),
        |said, scores, delta| hinges(said, ordered(scores).map(|(i, j)| (i, j, delta * (scores[i] - scores[j]))), true),
    ),
    (
        variant("list", "A margin in proportion to places", "Σ_{i < j} max(0, δ (j - i) - s_i + s_j), best first"),
        |said, scores, delta| {
            // Equal ones share the middle of their places.
            let place = |which: usize| {
                let better = scores.iter().filter(|score| **score > scores[which]).count() as f64;
                let equal = scores.iter().filter(|score| **score == scores[which]).count() as f64;
                better + 0.5 * (equal - 1.0)
            };
            hinges(said, ordered(scores).map(|(i, j)| (i, j, delta * (place(j) - place(i)))), false)
        },
    ),
    (variant("reward", "Expected score", "-Σ_i r_i e^{s_i} / Σ_j e^{s_j}"), |said, scores, _| expected(said, scores)),
];

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "slic",
    names: &["slic-hf", "sequence-likelihood-calibration"],
    title: "Sequence likelihood calibration",
    paper: "arXiv:2210.00045",
    doc: "Keeps the log-probabilities of better completions above those of worse ones by a margin, and learns the best, or holds its tokens to a reference.",
    data: &[Shape::Ranked, Shape::Preference],
    roles: &[Role::Reference],
    heads: &[Head::UNEMBEDDING],
    parameters: &[&[
        Parameter {
            name: LOSS,
            kind: Kind::Variant(&[KINDS[0].0, KINDS[1].0, KINDS[2].0, KINDS[3].0]),
            default: "\"rank\"",
            range: None,
            doc: "Kind of calibration loss.",
        },
        Parameter {
            name: DELTA,
            kind: Kind::Float,
            default: "1.0",
            range: Some(Range::above(0.0)),
            doc: "The margin δ, in nats; per unit of score for margin, per place for list.",
        },
        Parameter {
            name: WEIGHT,
            kind: Kind::Float,
            default: "1.0",
            range: Some(Range::at_least(0.0)),
            doc: "Weight of the regulariser beside the calibration.",
        },
        Parameter {
            name: REGULARISER,
            kind: Kind::Choice(&["cross_entropy", KL]),
            default: "\"cross_entropy\"",
            range: None,
            doc: "What is asked of the best completion: its cross-entropy, or at each of its tokens the divergence from the reference.",
        },
        reference::REF_MODEL,
        Parameter {
            name: PENALTY,
            kind: Kind::Float,
            default: "1.0",
            range: Some(Range::at_least(0.0)),
            doc: "Log-probabilities are divided by the length to this power; 0 for sums, as the papers have them.",
        },
    ]],
    overrides: &[("learning_rate", "1e-5")],
    metrics: &[METRICS],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups.into_iter().map(scored).collect(),
    build: |settings| {
        let number = |name| Ranking::number(settings, name);
        let named = settings.values.get(LOSS).and_then(serde_json::Value::as_str).unwrap_or_default();
        let kind = KINDS.iter().find(|(variant, _)| variant.id == named);
        let (_, calibration) = *kind.ok_or_else(|| settings.invalid(LOSS, "is not known"))?;
        let delta = number(DELTA);
        let rank: Rank = Box::new(move |said, scores| calibration(said, scores, delta));
        let compared = settings.values.get(REGULARISER).and_then(serde_json::Value::as_str) == Some(KL);
        if !compared {
            reference::unasked_unless(settings, "slic_regularizer is kl")?;
        }
        let ranking = Ranking { supervised: number(WEIGHT), length_penalty: number(PENALTY), ..Ranking::of(rank) };
        Ok(Box::new(Ranking { held_by: compared.then_some(Divergence::ReverseKl), ..ranking }))
    },
};

/// A pair is a ranking of two.
pub(super) fn scored(mut group: Group) -> Group {
    if group.members.iter().all(|member| member.score.is_none()) {
        let count = group.members.len();
        group
            .members
            .iter_mut()
            .enumerate()
            .for_each(|(place, member)| member.score = Some((count - 1 - place) as f64));
    }
    group
}

/// Hinges of better and worse completions with the margins that are wanted: their mean, or their sum.
fn hinges(said: &[f64], pairs: impl Iterator<Item = (usize, usize, f64)>, mean: bool) -> (f64, Vec<f64>) {
    let (mut value, mut slopes, mut count) = (0.0, vec![0.0; said.len()], 0.0_f64);
    for (better, worse, margin) in pairs {
        count += 1.0;
        let short = margin - said[better] + said[worse];
        if short > 0.0 {
            value += short;
            slopes[better] -= 1.0;
            slopes[worse] += 1.0;
        }
    }
    let share = if mean { 1.0 / count.max(1.0) } else { 1.0 };
    (value * share, slopes.into_iter().map(|slope| slope * share).collect())
}

/// Minus the mean score by the softmax of what is said.
fn expected(said: &[f64], scores: &[f64]) -> (f64, Vec<f64>) {
    let most = said.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let total: f64 = said.iter().map(|logp| (logp - most).exp()).sum();
    let shares: Vec<f64> = said.iter().map(|logp| (logp - most).exp() / total).collect();
    let mean: f64 = shares.iter().zip(scores).map(|(share, score)| share * score).sum();
    (-mean, shares.iter().zip(scores).map(|(share, score)| -share * (score - mean)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_values_and_identities() {
        let [rank, margin, list, reward] = [KINDS[0].1, KINDS[1].1, KINDS[2].1, KINDS[3].1];
        assert_eq!(rank(&[-10.0, -12.0], &[1.0, 0.0], 1.0).0, 0.0);
        assert_eq!(rank(&[-12.0, -10.0], &[1.0, 0.0], 1.0), (3.0, vec![-1.0, 1.0]));
        // Of two completions a unit of score and a place apart, all three hinges are one.
        for two in [[-1.0, -1.5], [-3.0, -1.5]] {
            let of = |kind: Calibration| kind(&two, &[1.0, 0.0], 0.8);
            assert_eq!((of(rank), of(rank)), (of(margin), of(list)));
        }
        assert!((reward(&[0.0, 0.0], &[1.0, 0.0], 1.0).0 + 0.5).abs() < 1e-15);
    }

    #[test]
    fn a_pair_is_a_ranking_of_two() {
        let pair = Group { members: vec![Default::default(), Default::default()], ..Group::default() };
        let scores: Vec<Option<f64>> = scored(pair).members.iter().map(|member| member.score).collect();
        assert_eq!(scores, [Some(1.0), Some(0.0)]);
    }
}
