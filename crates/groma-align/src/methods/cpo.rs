//! Contrastive preference optimisation and its relatives without a reference: pairs are told apart by the policy's own
//! log-probabilities, and a supervised term holds the chosen completions.
//!
//! Xu et al. 2024, arXiv 2401.08417, equation 5 (`sigmoid`), and the kinds that TRL's CPO trainer has beside it. The supervised
//! term is the mean over the chosen completions' tokens in the optimizer's batch. `ipo` and `simpo` go by means over tokens.

use super::dpo::{Dpo, METRICS};
use crate::losses;
use crate::method::{Masks, Method};
use crate::parameter::{Kind, Parameter, Range};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "cpo",
    names: &["contrastive-preference-optimisation"],
    title: "Contrastive preference optimisation",
    paper: "arXiv:2401.08417",
    doc: "Moves the log-probabilities of chosen and rejected completions apart, without a reference, and learns the chosen ones.",
    data: &[Shape::Preference],
    roles: &[],
    heads: &[Head::UNEMBEDDING],
    parameters: &[&[
        Parameter {
            name: "beta",
            kind: Kind::Float,
            default: "0.1",
            range: Some(Range::above(0.0)),
            doc: "By how much log-probabilities count (τ of IPO).",
        },
        Parameter {
            name: "loss_type",
            kind: Kind::Variant(losses::CPO_VARIANTS),
            default: "\"sigmoid\"",
            range: None,
            doc: "Kind of loss.",
        },
        Parameter {
            name: "cpo_alpha",
            kind: Kind::Float,
            default: "1.0",
            range: Some(Range::at_least(0.0)),
            doc: "Weight of the cross-entropy on chosen completions; 0 for SimPO as it was published.",
        },
    ]],
    overrides: &[("learning_rate", "1e-6")],
    metrics: METRICS,
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| {
        let raw: Raw = settings.typed()?;
        Ok(Box::new(Dpo::reference_free(settings, &raw.loss_type, raw.cpo_alpha)?))
    },
};

/// Values of the parameters above, but `beta`.
#[derive(Deserialize)]
struct Raw {
    loss_type: String,
    cpo_alpha: f64,
}

#[cfg(test)]
mod tests {
    use crate::forest::Forest;
    use crate::group::{Group, Member};
    use crate::learn::forest;
    use crate::objective::{Said, Step};
    use crate::sequence::Sequence;
    use crate::{Method, Metrics, Settings};
    use groma_kernels::HeadOutput;
    use serde_json::Value;
    use std::borrow::Cow;

    /// A prompt with two completions of tokens of their own.
    fn pair(index: u32, lengths: [usize; 2]) -> Cow<'static, Group> {
        let member = |side: u32, length: usize| {
            let ids: Vec<u32> = (0..length as u32).map(|t| 1000 * index + 100 * side + t + 1).collect();
            Member::new(Sequence::completion(&[0], &ids))
        };
        Cow::Owned(Group { members: vec![member(1, lengths[0]), member(2, lengths[1])], ..Group::default() })
    }

    /// By slot, from a row a member.
    fn by_slot(forest: &Forest, rows: &[Vec<f64>]) -> Vec<f32> {
        let mut values = vec![0.0; forest.slot_count()];
        for (member, row) in rows.iter().enumerate() {
            forest.slots(member).iter().zip(row).for_each(|(&slot, &value)| values[slot as usize] = value as f32);
        }
        values
    }

    /// Losses and slopes of the trainers' own code, see `scripts/make_preference_fixtures.py`; cut in two, they are the same.
    #[test]
    fn losses_and_slopes_are_those_of_trl() {
        let fixture: Value = serde_json::from_str(include_str!("../../fixtures/preference_losses.json")).unwrap();
        for case in fixture["cases"].as_array().unwrap() {
            let method = Method::find(case["method"].as_str().unwrap()).unwrap();
            let settings = Settings::resolve(method, case["settings"].as_object().unwrap()).unwrap();
            let rows: Vec<Vec<f64>> = serde_json::from_value(case["logps"].clone()).unwrap();
            let slopes: Vec<Vec<f64>> = serde_json::from_value(case["slopes"].clone()).unwrap();
            let groups: Vec<_> =
                rows.chunks(2).enumerate().map(|(i, row)| pair(i as u32, [row[0].len(), row[1].len()])).collect();
            let mut objective = (method.build)(&settings).unwrap();
            let step = Step { groups: &groups, total: objective.total(&groups) };
            for cut in [groups.len(), 1] {
                let mut sum = 0.0;
                for micro in [0..cut, cut..groups.len()] {
                    let forest = forest(&groups[micro.clone()]);
                    let logp = by_slot(&forest, &rows[2 * micro.start..2 * micro.end]);
                    let other = vec![0.0; logp.len()];
                    let output = HeadOutput {
                        entropy: other.clone(),
                        mean_logit: other,
                        argmax: vec![0; logp.len()],
                        logp,
                        ..HeadOutput::default()
                    };
                    let said = Said::of_tokens(&forest, &output);
                    let found = objective.loss(step, micro.clone(), &said, &mut Metrics::default());
                    sum += found.sum;
                    for (member, row) in slopes[2 * micro.start..2 * micro.end].iter().enumerate() {
                        for (slope, expected) in said.of(member, &found.logps).iter().zip(row) {
                            assert!(
                                (f64::from(*slope) - expected).abs() < 1e-6,
                                "{} {slope} {expected}",
                                case["settings"]
                            );
                        }
                    }
                }
                let expected = case["loss"].as_f64().unwrap();
                assert!(
                    (sum / step.total - expected).abs() < 2e-6,
                    "{} {}: {expected}",
                    case["settings"],
                    sum / step.total
                );
            }
        }
    }
}
