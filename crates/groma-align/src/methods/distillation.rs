//! Distillation: the student's distribution over the next token becomes the teacher's, on rows as they are and on what the
//! student samples itself.
//!
//! Agarwal et al. 2023, arXiv 2306.13649 (generalised knowledge distillation), as TRL's GKD and distillation trainers have it.
//! With `q` the teacher's and `p` the student's distribution at a token, and `m = beta q + (1 - beta) p`, the loss is the mean
//! over all completion tokens of the optimizer's batch of `beta KL(q|m) + (1 - beta) KL(p|m)`; `KL(q|p)` for `beta = 0`,
//! `KL(p|q)` for `beta = 1`. No gradient goes through sampling.
//!
//! `lmbda` is the share of rows to which the student finds the completion; each row is drawn by itself, where GKD draws a whole
//! batch. `temperature` is that of sampling and of both distributions, as in TRL's distillation trainer; GKD's divergence has
//! temperature 1 whatever is sampled at.

use crate::collect::{self, Collector};
use crate::group::Group;
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::on_policy::{self, OnPolicy};
use crate::parameter::{Kind, Parameter, Range};
use crate::role::Role;
use crate::rollout::{self, Sampling};
use crate::taught::Taught;
use crate::{Error, Hyperparameters, Metrics};
use groma_data::Shape;
use groma_kernels::Divergence;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

const TEACHER: &str = "teacher_model";

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "distillation",
    names: &["gkd", "generalised-knowledge-distillation", "on-policy-distillation"],
    title: "Generalised knowledge distillation",
    paper: "arXiv:2306.13649",
    doc: "Makes the distribution over the next token that of a teacher, on given completions and on the model's own; prompts without a completion are sampled.",
    data: &[Shape::PromptCompletion, Shape::PromptOnly],
    roles: &[Role::Teacher],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        &[Parameter {
            name: TEACHER,
            kind: Kind::Text,
            default: "null",
            range: None,
            doc: "Who is learned from: a directory, or hub id; of the same tokenizer and vocabulary (one of another teaches by `gold`). Must be given.",
        }],
        on_policy::PARAMETERS,
        &[Parameter {
            name: "beta",
            kind: Kind::Float,
            default: "0.5",
            range: Some(Range::closed(0.0, 1.0)),
            doc: "Which divergence: 0 is the forward KL (cover what the teacher says), 1 the reverse (say nothing else), between them Jensen-Shannon.",
        }],
        rollout::SAMPLING,
    ],
    overrides: &[("learning_rate", "2e-5")],
    metrics: &[collect::COMPLETIONS, on_policy::METRICS],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Distillation::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Distillation {
    teacher_model: Option<String>,
    beta: f32,
    #[serde(flatten)]
    on_policy: OnPolicy,
}

impl Distillation {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let distillation: Distillation = settings.typed()?;
        if distillation.teacher_model.is_none() {
            return Err(settings.invalid(TEACHER, "must be given: the model that is learned from"));
        }
        Ok(distillation)
    }
}

impl Objective for Distillation {
    fn reads(&self) -> Reads {
        Reads::Divergence {
            kind: Divergence::of_beta(self.beta).into(),
            temperature: self.on_policy.sampling.temperature,
            taught: Taught::Teacher,
        }
    }

    fn sampling(&self) -> Option<&Sampling> {
        self.on_policy.sampling()
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        rows: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        self.on_policy.collect(METHOD.id, collector, rows)
    }

    /// Completion tokens.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        let sequences = groups.iter().flat_map(|group| group.sequences());
        sequences.map(|sequence| sequence.scored_count()).sum::<usize>() as f64
    }

    fn loss(&mut self, step: Step<'_>, micro: std::ops::Range<usize>, said: &Said<'_>, _: &mut Metrics) -> Slopes {
        let members: usize = step.groups[micro].iter().map(|group| group.members.len()).sum();
        let values: Vec<Vec<f32>> = (0..members).map(|member| said.of(member, said.divergences)).collect();
        let sum = values.iter().flatten().map(|&value| f64::from(value)).sum();
        let slopes: Vec<Vec<f64>> = values.iter().map(|values| vec![1.0; values.len()]).collect();
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }
}
