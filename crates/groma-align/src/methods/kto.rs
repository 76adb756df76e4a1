//! Kahneman-Tversky optimisation: single completions, each wanted or not, against what the policy has moved on the whole.
//!
//! Ethayarajh et al. 2024, arXiv 2402.01306, equations 7 and 8, as TRL has them. With `d` the policy's minus the reference's
//! log-probability of a completion and `z = max(0, mean of d over mismatched completions)`, without gradient:
//! `w_D (1 - σ(b (d - z)))` of a wanted one, `w_U (1 - σ(b (z - d)))` of another. `apo_zero_unpaired` (D'Oosterlinck et al. 2024,
//! arXiv 2408.06266) takes `z = 0`, and `σ(b d)` of an unwanted one. `bco` (Jung et al. 2024, arXiv 2404.04656, equation 8) is the
//! classifier `-log σ(b d - δ)` of a wanted, `-log σ(δ - b d)` of another, where `δ` is the mean of all rewards `b d` that training has
//! seen, without gradient; the paper's weights by the densities of prompts are not here.
//!
//! Mismatched are each prompt and the completion of the row before, as cut to `max_length` (TRL mismatches first). TRL draws `z` from each micro-batch; here it is that of the
//! optimizer's step, however it is cut. Pairs count as two rows.

use crate::group::{Group, Member};
use crate::losses::{log_sigmoid, sigmoid};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range, Variant};
use crate::role::Role;
use crate::sequence::Sequence;
use crate::{Error, Hyperparameters, Metrics, moving, reference};
use groma_data::Shape;
use groma_model::Head;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::borrow::Cow;

const WEIGHT: Parameter = Parameter {
    name: "desirable_weight",
    kind: Kind::Float,
    default: "1.0",
    range: Some(Range::at_least(0.0)),
    doc: "Weight of wanted completions.",
};

const MISMATCHED: &str = "kto";
const ANCHORED: &str = "apo_zero_unpaired";
const CLASSIFIER: &str = "bco";

const VARIANTS: &[Variant] = &[
    Variant {
        id: MISMATCHED,
        title: "Kahneman-Tversky optimisation",
        paper: "arXiv:2402.01306",
        doc: "1 - σ(b (d - z)) of wanted, 1 - σ(b (z - d)) of other completions",
        parameters: &[],
    },
    Variant {
        id: ANCHORED,
        title: "Anchored preference optimisation without pairs",
        paper: "arXiv:2408.06266",
        doc: "1 - σ(b d) of wanted, σ(b d) of other completions",
        parameters: &[],
    },
    Variant {
        id: CLASSIFIER,
        title: "Binary classifier optimisation",
        paper: "arXiv:2404.04656",
        doc: "-log σ(b d - δ) of wanted, -log σ(δ - b d) of other completions, δ the running mean of b d",
        parameters: &[],
    },
];

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "kto",
    names: &["kahneman-tversky"],
    title: "Kahneman-Tversky optimisation",
    paper: "arXiv:2402.01306",
    doc: "Makes wanted completions likelier and others less likely, relative to a frozen reference; rows need no pairs.",
    data: &[Shape::Labelled, Shape::Preference],
    roles: &[Role::Reference],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        reference::PARAMETERS,
        moving::PARAMETERS,
        &[
            Parameter {
                name: "beta",
                kind: Kind::Float,
                default: "0.1",
                range: Some(Range::above(0.0)),
                doc: "Strength of the pull towards the reference.",
            },
            Parameter {
                name: "loss_type",
                kind: Kind::Variant(VARIANTS),
                default: "\"kto\"",
                range: None,
                doc: "Kind of loss.",
            },
            WEIGHT,
            Parameter { name: "undesirable_weight", doc: "Weight of unwanted completions.", ..WEIGHT },
        ],
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: &[&[
        "kl",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margins",
        "logps/chosen",
        "logps/rejected",
        "logits/chosen",
        "logits/rejected",
        "entropy",
    ]],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, limit| with_mismatched(apart(groups), limit),
    build: |settings| Ok(Box::new(Kto::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    beta: f64,
    loss_type: String,
    desirable_weight: f64,
    undesirable_weight: f64,
}

#[derive(Clone, Debug)]
struct Kto {
    raw: Raw,
    /// `z` of the step at hand.
    moved: f64,
    /// Of rewards that steps have seen, for `bco`.
    seen: Seen,
}

/// A sum and how many it is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Seen {
    sum: f64,
    count: f64,
}

impl Seen {
    fn mean(self) -> f64 {
        self.sum / self.count.max(1.0)
    }
}

impl Kto {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        reference::precompute(settings)?;
        Ok(Kto { raw: settings.typed()?, moved: 0.0, seen: Seen::default() })
    }

    fn weight(&self, wanted: bool) -> f64 {
        if wanted { self.raw.desirable_weight } else { self.raw.undesirable_weight }
    }

    /// Value of a completion that the policy has moved by `d`, and its derivative.
    fn value(&self, wanted: bool, d: f64) -> (f64, f64) {
        let (beta, weight) = (self.raw.beta, self.weight(wanted));
        let side = if wanted { 1.0 } else { -1.0 };
        if self.raw.loss_type == CLASSIFIER {
            let z = side * (beta * d - self.seen.mean());
            return (-weight * log_sigmoid(z), -weight * beta * side * sigmoid(-z));
        }
        let s = sigmoid(beta * side * (d - self.moved));
        (weight * (1.0 - s), -weight * beta * side * s * (1.0 - s))
    }
}

impl Objective for Kto {
    fn reads(&self) -> Reads {
        Reads::PLAIN
    }

    fn needs_reference(&self) -> bool {
        true
    }

    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.len() as f64
    }

    fn needs_whole_step(&self) -> bool {
        self.raw.loss_type != ANCHORED
    }

    fn survey(&mut self, step: Step<'_>, logps: &[Vec<f32>]) {
        let members = || step.groups.iter().flat_map(|group| &group.members).zip(logps);
        if self.raw.loss_type == CLASSIFIER {
            for (member, logps) in members().filter(|(member, _)| member.label.is_some()) {
                self.seen.sum += self.raw.beta * moved(logps, member);
                self.seen.count += 1.0;
            }
            return;
        }
        let mismatched: Vec<f64> = members()
            .filter(|(member, _)| member.label.is_none())
            .map(|(member, logps)| moved(logps, member))
            .collect();
        self.moved = (mismatched.iter().sum::<f64>() / mismatched.len().max(1) as f64).max(0.0);
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let (mut sum, mut slopes) = (0.0, Vec::new());
        metrics.add("kl", self.moved * micro.len() as f64, micro.len() as f64);
        metrics.difference("rewards/margins", "rewards/chosen", "rewards/rejected");
        for (index, member) in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            let logps = said.logps(index);
            let Some(wanted) = member.label else {
                slopes.push(vec![0.0; logps.len()]);
                continue;
            };
            let d = moved(&logps, member);
            let (value, slope) = self.value(wanted, d);
            sum += value;
            slopes.push(vec![slope; logps.len()]);
            measure(metrics, said, index, wanted, self.raw.beta * d);
        }
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }

    /// Where the policy is the reference, nothing has moved.
    fn loss_at_start(&self, groups: &[Cow<'_, Group>]) -> Option<f64> {
        let labels = || groups.iter().flat_map(|group| &group.members).filter_map(|member| member.label);
        let each = if self.raw.loss_type == CLASSIFIER { std::f64::consts::LN_2 } else { 0.5 };
        Some(labels().map(|wanted| each * self.weight(wanted)).sum::<f64>() / groups.len().max(1) as f64)
    }

    fn state(&self) -> Value {
        if self.raw.loss_type == CLASSIFIER { json!(self.seen) } else { Value::Null }
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        if self.raw.loss_type == CLASSIFIER {
            self.seen = Seen::deserialize(state).map_err(|error| format!("the mean of rewards: {error}"))?;
        }
        Ok(())
    }
}

/// By how much the policy has moved a completion's log-probability from the reference's.
fn moved(logps: &[f32], member: &Member) -> f64 {
    let sum = |logps: &[f32]| logps.iter().map(|&logp| f64::from(logp)).sum::<f64>();
    sum(logps) - sum(&member.reference)
}

fn measure(metrics: &mut Metrics, said: &Said<'_>, member: usize, wanted: bool, reward: f64) {
    let side = if wanted { "chosen" } else { "rejected" };
    let sum = |by_slot: &[f32]| said.of(member, by_slot).into_iter().map(f64::from).sum::<f64>();
    let count = said.forest.slots(member).len() as f64;
    metrics.add(&format!("rewards/{side}"), reward, 1.0);
    metrics.difference("rewards/margins", "rewards/chosen", "rewards/rejected");
    metrics.add(&format!("logps/{side}"), sum(&said.output.logp), 1.0);
    metrics.add(&format!("logits/{side}"), sum(&said.output.mean_logit), count);
    metrics.add("entropy", sum(&said.output.entropy), count);
}

/// Pairs as two labelled groups each.
pub(super) fn apart(groups: Vec<Group>) -> Vec<Group> {
    let split = |group: Group| {
        let labelled = group.members.iter().any(|member| member.label.is_some());
        let pair = !labelled && group.members.len() == 2;
        let count = group.members.len();
        let parts = group.members.into_iter().enumerate().map(|(side, member)| Member {
            label: if pair { Some(side == 0) } else { member.label },
            margin: None,
            ..member
        });
        debug_assert!(count <= 2);
        let (place, columns) = (group.place, group.columns);
        parts
            .map(|member| Group { place: place.clone(), members: vec![member], columns: columns.clone() })
            .collect::<Vec<_>>()
    };
    groups.into_iter().flat_map(split).collect()
}

/// Each group with its prompt and the completion of the group before as a second member, of at most so many tokens.
fn with_mismatched(mut groups: Vec<Group>, limit: usize) -> Vec<Group> {
    let parts = |group: &Group| group.members.first().map(|member| halves(&member.sequence));
    let all: Vec<_> = groups.iter().filter_map(parts).collect();
    for (index, group) in groups.iter_mut().enumerate() {
        let before = (index + all.len() - 1) % all.len();
        let (prompt, completion) = (&all[index].0, &all[before].1);
        let mut sequence = Sequence {
            ids: [&prompt.ids[..], &completion.ids].concat(),
            supervised: [&prompt.supervised[..], &completion.supervised].concat(),
        };
        sequence.ids.truncate(limit);
        sequence.supervised.truncate(limit);
        group.members.push(Member::new(sequence));
    }
    groups
}

/// Prompt and completion.
fn halves(sequence: &Sequence) -> (Sequence, Sequence) {
    let prompt = sequence.prompt().len();
    let part = |range: std::ops::Range<usize>| Sequence {
        ids: sequence.ids[range.clone()].to_vec(),
        supervised: sequence.supervised[range].to_vec(),
    };
    (part(0..prompt), part(prompt..sequence.ids.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn group(prompt: &[u32], completion: &[u32], label: bool) -> Group {
        let mut group = Group::of("rows:1".into(), Sequence::completion(prompt, completion));
        group.members[0].label = Some(label);
        group
    }

    #[test]
    fn prompts_get_the_completion_before_theirs() {
        let rows = vec![group(&[1], &[2, 3], true), group(&[4, 5], &[6], false), group(&[7], &[8], true)];
        let found = with_mismatched(rows, 3);
        let mismatched: Vec<&[u32]> = found.iter().map(|group| &group.members[1].sequence.ids[..]).collect();
        assert_eq!(mismatched, [&[1, 8][..], &[4, 5, 2], &[7, 6]]);
        assert!(found.iter().all(|group| group.members[1].label.is_none()));
    }

    #[test]
    fn values_and_slopes() {
        let settings = Settings::resolve(&METHOD, serde_json::json!({}).as_object().unwrap()).unwrap();
        let mut kto = Kto::new(&settings).unwrap();
        kto.moved = 0.3;
        // 1 - σ(0.1 (2 - 0.3)) and 1 - σ(0.1 (0.3 - 2)).
        assert!((kto.value(true, 2.0).0 - 0.457602059225649).abs() < 1e-12);
        assert!((kto.value(false, 2.0).0 - 0.5423979407743511).abs() < 1e-12);
        let h = 1e-6;
        for (wanted, d) in [(true, 2.0), (false, -1.0), (true, 0.3)] {
            let numeric = (kto.value(wanted, d + h).0 - kto.value(wanted, d - h).0) / (2.0 * h);
            assert!((kto.value(wanted, d).1 - numeric).abs() < 1e-9);
        }
    }
}
