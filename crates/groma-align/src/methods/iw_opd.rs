//! Importance-weighted on-policy distillation: tokens that the student sampled become likelier by how much likelier the teacher finds
//! them, the earlier the more.
//!
//! "On the Position Bias of On-Policy Distillation", arXiv 2606.22600, as TRL's trainer of it has it. With `A_t = log q - log p` at a
//! token that was sampled, `q` the teacher and `p` the student at sampling, and `w_t = 1 + gamma (1 - Σ_{s<t} |A_s| / Σ_s |A_s|)`,
//! the loss is the mean over tokens of `-w_t A_t log p`: how much the student has left the teacher before a token takes from what the
//! teacher says there. With `gamma` 0 the gradient is that of the reverse divergence as each token has it by itself. Completions are
//! the student's own; each is learned once.

use crate::collect::{Collector, Speaker};
use crate::group::Group;
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Range, parameter};
use crate::role::Role;
use crate::rollout::{self, Sampling};
use crate::sampled::tokens;
use crate::{Error, Hyperparameters, Metrics, collect};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

const TEACHER: &str = "teacher_model";

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "iw_opd",
    names: &["iw-opd", "importance-weighted-on-policy-distillation"],
    title: "Importance-weighted on-policy distillation",
    paper: "arXiv:2606.22600",
    doc: "Samples completions and makes those tokens likelier that a teacher finds likelier than the student did, the more the less the student has left the teacher before.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Teacher],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        &[
            parameter(
                TEACHER,
                Kind::Text,
                "null",
                None,
                "Who is learned from: a directory, or hub id; of the same tokenizer and vocabulary. Must be given.",
            ),
            parameter(
                "iw_opd_gamma",
                Kind::Float,
                "0.5",
                Some(Range::at_least(0.0)),
                "How much more the first token counts than the last.",
            ),
        ],
        rollout::SAMPLING,
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: &[
        collect::COMPLETIONS,
        &["divergence", "iw_opd/mean_advantage", "iw_opd/mean_abs_advantage", "iw_opd/mean_weight"],
    ],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(IwOpd::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct IwOpd {
    teacher_model: Option<String>,
    iw_opd_gamma: f64,
    #[serde(flatten)]
    sampling: Sampling,
}

/// Added to what weights are divided by, as in TRL.
const EPSILON: f64 = 1e-8;

impl IwOpd {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let method: IwOpd = settings.typed()?;
        if method.teacher_model.is_none() {
            return Err(settings.invalid(TEACHER, "must be given: the model that is learned from"));
        }
        Ok(method)
    }
}

/// By how much the teacher finds each token likelier, and what that counts.
fn weighed(teacher: &[f32], sampled: &[f32], gamma: f64) -> Vec<(f64, f64)> {
    let advantages: Vec<f64> = teacher.iter().zip(sampled).map(|(q, p)| f64::from(*q) - f64::from(*p)).collect();
    let total = advantages.iter().map(|advantage| advantage.abs()).sum::<f64>().max(EPSILON);
    let mut before = 0.0;
    let weigh = |advantage: f64| {
        let weight = 1.0 + gamma * (1.0 - before / total);
        before += advantage.abs();
        (advantage, weight)
    };
    advantages.into_iter().map(weigh).collect()
}

impl Objective for IwOpd {
    fn reads(&self) -> Reads {
        Reads::Tokens { temperature: self.sampling.temperature, half_temperature: false }
    }

    fn sampling(&self) -> Option<&Sampling> {
        Some(&self.sampling)
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        rows: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let (groups, _) = collector.samples(Speaker::Policy, &rows, (&self.sampling, 1))?;
        collector.told_by_teacher(groups.into_iter().map(Cow::Owned).collect())
    }

    /// Completion tokens.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        tokens(groups)
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let (mut sum, mut all) = (0.0, Vec::new());
        for (index, member) in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            let logps = said.logps(index);
            let mut slopes = Vec::new();
            for (&logp, (advantage, weight)) in
                logps.iter().zip(weighed(&member.reference, &member.sampled, self.iw_opd_gamma))
            {
                sum -= weight * advantage * f64::from(logp);
                slopes.push(-weight * advantage);
                // On what the student sampled, the mean is its divergence from the teacher.
                metrics.add("divergence", -advantage, 1.0);
                metrics.add("iw_opd/mean_advantage", weight * advantage, 1.0);
                metrics.add("iw_opd/mean_abs_advantage", advantage.abs(), 1.0);
                metrics.add("iw_opd/mean_weight", weight, 1.0);
            }
            all.push(slopes);
        }
        Slopes { sum, logps: said.spread(&all, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }
}
