//! Advantage-leftover lunch: offline, learns those given completions that are better than was to be expected, by how much they are.
//!
//! Baheti et al. 2023, arXiv 2305.14718, equation 5. A whole completion is one action, and its advantage `A` is its score less
//! what is to be expected of the prompt; of those above 0 the loss is `-A [clip(r)] log π`, `r` being the ratio to the reference
//! and no gradient through the bracket; the mean over them. In the paper a value head on the reference says what is to be
//! expected; here it is the mean of the row's scores, so that a row needs two completions or more. `a_lol_variant`: ratios of the
//! whole completion, of each token, or none (`ref_free`); or none and a distance to the reference in the loss (`kl`).

use crate::group::Group;
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Range, parameter};
use crate::role::Role;
use crate::{Error, Hyperparameters, Metrics, reference};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "a_lol",
    names: &["a-lol", "advantage-leftover-lunch"],
    title: "Advantage-leftover lunch",
    paper: "arXiv:2305.14718",
    doc: "Learns given completions that score above the mean of their prompt, by how much they do; offline, and never pushes any away.",
    data: &[Shape::Ranked],
    roles: &[Role::Reference],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        reference::PARAMETERS,
        &[
            parameter(
                "a_lol_variant",
                Kind::Choice(&["full", "sequence", "ref_free", "kl"]),
                "\"full\"",
                None,
                "What advantages are multiplied with: the ratio of the completion to the reference, those of its tokens, or nothing, without a distance to the reference or with one.",
            ),
            parameter(
                "epsilon",
                Kind::Float,
                "0.9",
                Some(Range::half_open(0.0, 1.0)),
                "How far the ratio to the reference may be from 1 and count.",
            ),
            parameter(
                "beta",
                Kind::Float,
                "0.1",
                Some(Range::at_least(0.0)),
                "Weight of the distance to the reference, log π - log π_ref, in the variant kl.",
            ),
        ],
    ],
    overrides: &[("learning_rate", "2e-5")],
    metrics: &[&["advantage/positive", "advantage/mean", "ratio/mean", "logps/learned", "entropy"]],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(ALol::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Raw {
    a_lol_variant: Kinds,
    epsilon: f64,
    beta: f64,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kinds {
    Full,
    Sequence,
    RefFree,
    Kl,
}

struct ALol {
    raw: Raw,
}

impl ALol {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        reference::precompute(settings)?;
        let raw: Raw = settings.typed()?;
        if raw.a_lol_variant == Kinds::RefFree {
            reference::unasked_unless(settings, "a_lol_variant is not ref_free")?;
        }
        Ok(ALol { raw })
    }

    /// Loss and slopes of a completion's tokens, and the mean of what its advantage was multiplied with.
    fn completion(&self, logps: &[f32], reference: &[f32], advantage: f64) -> (f64, Vec<f64>, f64) {
        let log_ratios: Vec<f64> = logps.iter().zip(reference).map(|(&p, &r)| f64::from(p) - f64::from(r)).collect();
        let clip = |log_ratio: f64| log_ratio.exp().clamp(1.0 - self.raw.epsilon, 1.0 + self.raw.epsilon);
        let whole: f64 = log_ratios.iter().sum();
        let weights: Vec<f64> = match self.raw.a_lol_variant {
            Kinds::Full => vec![clip(whole); logps.len()],
            Kinds::Sequence => log_ratios.iter().map(|&ratio| clip(ratio)).collect(),
            Kinds::RefFree | Kinds::Kl => vec![1.0; logps.len()],
        };
        let pull = if self.raw.a_lol_variant == Kinds::Kl { self.raw.beta } else { 0.0 };
        let slopes: Vec<f64> = weights.iter().map(|weight| -advantage * weight + pull).collect();
        let learned: f64 = weights.iter().zip(logps).map(|(weight, &logp)| -advantage * weight * f64::from(logp)).sum();
        (learned + pull * whole, slopes, weights.iter().sum::<f64>() / weights.len().max(1) as f64)
    }
}

/// What each completion of a row scores above their mean.
fn advantages(group: &Group) -> Vec<f64> {
    let scores: Vec<f64> = group.members.iter().map(|member| member.score.unwrap_or(0.0)).collect();
    let mean = scores.iter().sum::<f64>() / scores.len().max(1) as f64;
    scores.into_iter().map(|score| score - mean).collect()
}

impl Objective for ALol {
    fn reads(&self) -> Reads {
        Reads::PLAIN
    }

    fn needs_reference(&self) -> bool {
        self.raw.a_lol_variant != Kinds::RefFree
    }

    /// Completions that are learned.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.iter().flat_map(|group| advantages(group)).filter(|&advantage| advantage > 0.0).count() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let (mut sum, mut all) = (0.0, Vec::new());
        for group in &step.groups[micro] {
            for (member, advantage) in group.members.iter().zip(advantages(group)) {
                let (index, positive) = (all.len(), advantage > 0.0);
                let logps = said.logps(index);
                metrics.add("advantage/positive", f64::from(u8::from(positive)), 1.0);
                if !positive {
                    all.push(vec![0.0; logps.len()]);
                    continue;
                }
                let (loss, slopes, weight) = self.completion(&logps, &member.reference, advantage);
                sum += loss;
                all.push(slopes);
                metrics.add("advantage/mean", advantage, 1.0);
                metrics.add("ratio/mean", weight, 1.0);
                metrics.add("logps/learned", logps.iter().map(|&logp| f64::from(logp)).sum(), 1.0);
                let entropies = said.of(index, &said.output.entropy);
                metrics.add("entropy", entropies.iter().map(|&e| f64::from(e)).sum(), entropies.len() as f64);
            }
        }
        Slopes { sum, logps: said.spread(&all, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::Member;

    fn a_lol(a_lol_variant: Kinds) -> ALol {
        ALol { raw: Raw { a_lol_variant, epsilon: 0.5, beta: 0.25 } }
    }

    /// By hand: ratios e^0.25 and e^-1 of tokens, e^-0.75 of both, limits 0.5 and 1.5.
    #[test]
    fn values_and_slopes_are_those_of_the_equation() {
        let (logps, reference, advantage) = ([-1.0f32, -2.0], [-1.25f32, -1.0], 2.0);
        let of = |kind| a_lol(kind).completion(&logps, &reference, advantage);
        let close = |found: (f64, Vec<f64>, f64), value: f64, slopes: [f64; 2]| {
            let near = found.1.iter().zip(slopes).all(|(a, b)| (a - b).abs() < 1e-12);
            assert!((found.0 - value).abs() < 1e-12 && near, "{found:?} {value} {slopes:?}");
        };
        let (whole, first) = (0.5, 0.25f64.exp());
        close(of(Kinds::Full), 2.0 * whole * 3.0, [-2.0 * whole; 2]);
        close(of(Kinds::Sequence), 2.0 * (first + 0.5 * 2.0), [-2.0 * first, -2.0 * 0.5]);
        close(of(Kinds::RefFree), 6.0, [-2.0, -2.0]);
        close(of(Kinds::Kl), 6.0 - 0.25 * 0.75, [-2.0 + 0.25, -2.0 + 0.25]);
    }

    #[test]
    fn only_what_is_above_the_mean_is_learned() {
        let member = |score: f64| Member { score: Some(score), ..Member::default() };
        let group = Group { members: [2.0, 1.0, -0.5, 1.5].map(member).into(), ..Group::default() };
        assert_eq!(advantages(&group), [1.0, 0.0, -1.5, 0.5]);
        assert_eq!(a_lol(Kinds::Full).total(&[Cow::Owned(group)]), 2.0);
    }
}
