//! How a student's distribution over the last token of a span differs from that of a teacher with another vocabulary.
//!
//! Boizard et al. 2024, arXiv 2402.12030 (universal logit distillation): the probabilities of both, each sorted, differ by the sum of
//! the absolute differences; the shorter list goes on with zeros. Patiño et al. 2025 (GOLD, TRL's `ULDLoss`): tokens that both have are
//! compared as they are, by a generalised Jensen-Shannon divergence over them alone, and the others so. Here both "distributions" are
//! joint probabilities `P(span without its last token) P(last token | before)`, which add up to less than 1 where a span has several
//! tokens; probabilities below 1e-8 count as that in the divergence, as in TRL.
//!
//! Over a part of the vocabulary only the divergences between the two ends are least where both agree: the forward one falls with every
//! share that the student takes from other tokens, the reverse one with every share that it gives them, at the rate of the weight of
//! tokens that both have, which that of the others must then outweigh.

use crate::vocabularies::Vocabularies;
use groma_kernels::Divergence;

/// The logarithm of what a probability counts as, at the least.
pub(crate) const FLOOR: f64 = -18.420_680_743_952_367;

/// What is compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct SpanLoss {
    /// Divides the student's logits.
    pub(crate) temperature: f32,
    /// Divides the teacher's.
    pub(crate) teacher_temperature: f32,
    /// How tokens are compared that both vocabularies have; `None`: as all others.
    pub(crate) hybrid: Option<Hybrid>,
}

/// How tokens are compared that both vocabularies have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Hybrid {
    pub(crate) divergence: Divergence,
    /// How much they count, and how much the others; by their share of the teacher's vocabulary where nothing is said.
    pub(crate) weights: Option<(f64, f64)>,
}

/// A difference, and its slopes with respect to the logarithms of the student's probabilities.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Difference {
    pub(crate) value: f64,
    pub(crate) slopes: Vec<f64>,
}

impl SpanLoss {
    /// Of logarithms of probabilities, by id.
    pub(crate) fn of(&self, own: &[f64], its: &[f64], vocabularies: &Vocabularies) -> Difference {
        let mut found = Difference { value: 0.0, slopes: vec![0.0; own.len()] };
        let Some(Hybrid { divergence, weights }) = self.hybrid else {
            found.add_sorted(1.0, ranked(own, 0..own.len() as u32), ranked(its, 0..its.len() as u32));
            return found;
        };
        let share = vocabularies.same.len() as f64 / its.len().max(1) as f64;
        let (of_same, of_others) = weights.unwrap_or((share, 1.0 - share));
        for &(a, b) in &vocabularies.same {
            let (x, y) = (own[a as usize].max(FLOOR), its[b as usize].max(FLOOR));
            let (value, slope) = element(divergence, x, y);
            found.value += of_same * value;
            if own[a as usize] >= FLOOR {
                found.slopes[a as usize] += of_same * slope;
            }
        }
        // As TRL has it: where one has no other tokens, there is nothing that they could be compared with.
        if !(vocabularies.own.is_empty() || vocabularies.its.is_empty()) {
            let others = |logps: &[f64], ids: &[u32]| ranked(logps, ids.iter().copied());
            found.add_sorted(of_others, others(own, &vocabularies.own), others(its, &vocabularies.its));
        }
        found
    }
}

impl Difference {
    /// Adds the difference of probabilities by their ranks.
    fn add_sorted(&mut self, weight: f64, own: Vec<(f64, u32)>, its: Vec<(f64, u32)>) {
        for rank in 0..own.len().max(its.len()) {
            let (p, id) = own.get(rank).copied().unwrap_or_default();
            let difference = p - its.get(rank).map_or(0.0, |other| other.0);
            self.value += weight * difference.abs();
            if rank < own.len() && difference != 0.0 {
                self.slopes[id as usize] += weight * p * difference.signum();
            }
        }
    }
}

/// Probabilities with their ids, the largest first; the first of those that are alike first.
fn ranked(logps: &[f64], ids: impl Iterator<Item = u32>) -> Vec<(f64, u32)> {
    let mut all: Vec<(f64, u32)> = ids.map(|id| (logps[id as usize].exp(), id)).collect();
    all.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    all
}

/// What a token adds to a divergence over part of a vocabulary, of the logarithms of the student's probability and the teacher's, and
/// how that changes with the first.
fn element(divergence: Divergence, x: f64, y: f64) -> (f64, f64) {
    match divergence {
        Divergence::ForwardKl => (y.exp() * (y - x), -y.exp()),
        Divergence::ReverseKl => (x.exp() * (x - y), x.exp() * (x - y + 1.0)),
        Divergence::JensenShannon { beta } => {
            let beta = f64::from(beta);
            let (p, q) = (x.exp(), y.exp());
            let middle = ((1.0 - beta) * p + beta * q).ln();
            let of_p = (1.0 - beta) * p * (x - middle);
            (beta * q * (y - middle) + of_p, of_p)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn vocabularies(case: &Value) -> Vocabularies {
        let ids = |name: &str| serde_json::from_value(case[name].clone()).unwrap();
        Vocabularies { same: serde_json::from_value(case["same"].clone()).unwrap(), own: ids("own"), its: ids("its") }
    }

    fn loss(case: &Value) -> SpanLoss {
        let weight = |name: &str| case[name].as_f64();
        let hybrid = case["beta"].as_f64().map(|beta| Hybrid {
            divergence: Divergence::of_beta(beta as f32),
            weights: weight("matched_weight").zip(weight("unmatched_weight")),
        });
        SpanLoss { temperature: 1.0, teacher_temperature: 1.0, hybrid }
    }

    /// Values and slopes of TRL's own code, see `scripts/make_gold_fixture.py`; slopes also by central differences.
    #[test]
    fn values_and_slopes_are_those_of_trl() {
        let fixture: Value = serde_json::from_str(include_str!("../fixtures/gold/spans.json")).unwrap();
        for case in fixture["cases"].as_array().unwrap() {
            let numbers = |name: &str| serde_json::from_value::<Vec<f64>>(case[name].clone()).unwrap();
            let (own, its, vocabularies, loss) =
                (numbers("student"), numbers("teacher"), vocabularies(case), loss(case));
            let found = loss.of(&own, &its, &vocabularies);
            let expected = case["value"].as_f64().unwrap();
            assert!((found.value - expected).abs() < 1e-5 * expected.max(1.0), "{} {expected}", found.value);
            for (id, (slope, expected)) in found.slopes.iter().zip(numbers("slopes")).enumerate() {
                assert!((slope - expected).abs() < 1e-5, "{id}: {slope} {expected}");
                let moved = |by: f64| {
                    let mut own = own.clone();
                    own[id] += by;
                    loss.of(&own, &its, &vocabularies).value
                };
                let central = (moved(1e-6) - moved(-1e-6)) / 2e-6;
                assert!((slope - central).abs() < 1e-6, "{id}: {slope} {central}");
            }
        }
    }

    #[test]
    fn the_floor_is_that_of_trl() {
        assert!((FLOOR - 1e-8_f64.ln()).abs() < 1e-12);
    }

    /// Of whole distributions over one vocabulary it is the divergence of distillation, and nothing where both are alike.
    #[test]
    fn over_one_vocabulary_it_is_the_plain_divergence() {
        let (p, q) = ([0.2_f64, 0.5, 0.3], [0.6_f64, 0.3, 0.1]);
        let logs = |of: &[f64; 3]| of.map(f64::ln);
        let vocabularies = Vocabularies { same: vec![(0, 0), (1, 1), (2, 2)], ..Vocabularies::default() };
        let of = |beta: f32, p: &[f64; 3], q: &[f64; 3]| {
            let hybrid = Some(Hybrid { divergence: Divergence::of_beta(beta), weights: None });
            let loss = SpanLoss { temperature: 1.0, teacher_temperature: 1.0, hybrid };
            loss.of(&logs(p), &logs(q), &vocabularies).value
        };
        let kl = |p: &[f64; 3], q: &[f64; 3]| p.iter().zip(q).map(|(p, q)| p * (p / q).ln()).sum::<f64>();
        let middle = [0.4, 0.4, 0.2];
        assert!((of(0.0, &p, &q) - kl(&q, &p)).abs() < 1e-12 && (of(1.0, &p, &q) - kl(&p, &q)).abs() < 1e-12);
        assert!((of(0.5, &p, &q) - 0.5 * (kl(&p, &middle) + kl(&q, &middle))).abs() < 1e-7);
        assert!(of(0.5, &p, &p).abs() < 1e-12);
        let sorted = SpanLoss { temperature: 1.0, teacher_temperature: 1.0, hybrid: None };
        let turned = [p[2], p[0], p[1]];
        assert!(sorted.of(&logs(&p), &logs(&turned), &vocabularies).value < 1e-12, "ranks do not tell tokens apart");
    }
}
