//! Self-distillation: the teacher is the model itself, with more in its prompt: a demonstration, a rule, feedback.
//!
//! Shenfeld et al. 2026, arXiv 2601.19897 (SDFT), as TRL's experimental trainer has it; with a prompt's context for `C`, Askell et
//! al. 2021, arXiv 2112.00861 (context distillation), on the student's own samples. The student finds a completion `y` to the prompt
//! `x`; the teacher is asked behind `C` and `x`, the student behind `x` alone, and the loss of a completion is the mean over its tokens
//! of what `own_teacher.rs` compares there. The loss of a step is the mean over completions. No gradient goes through sampling.
//!
//! TRL's default is `topk_logits` with 100; here whole distributions are compared in chunks, and no logits are kept. It samples several
//! completions of a prompt at once, here one; and its truncation of prompts and several passes over what was sampled, which alone need
//! its clipped ratio, are left out.

use super::own_teacher::{self, Learned, OwnTeacher};
use crate::collect::{Collector, Speaker};
use crate::group::{Group, Member};
use crate::known::CONTEXT_PLACE;
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range};
use crate::role::Role;
use crate::rollout::{self, Sampling};
use crate::sequence::Sequence;
use crate::taught::{Compared, Taught};
use crate::template::PROMPT_PLACE;
use crate::{Error, Hyperparameters, Metrics, collect, moving, reference};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

const TEMPLATE: &str = "teacher_prompt_template";

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "self_distillation",
    names: &["sdft", "self-distillation-fine-tuning", "context-distillation"],
    title: "Self-distillation",
    paper: "arXiv:2601.19897",
    doc: "Makes what the model says without a context what it says with one: each row's column privileged_context stands in the teacher's prompt alone.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        own_teacher::PARAMETERS,
        moving::TEACHER,
        &[
            Parameter {
                name: "generate_from_teacher",
                kind: Kind::Boolean,
                default: "false",
                range: None,
                doc: "Sample completions behind the teacher's prompt, not behind the student's.",
            },
            Parameter {
                name: TEMPLATE,
                kind: Kind::Text,
                default: "\"{prompt}\\n\\n{privileged_context}\"",
                range: None,
                doc: "The teacher's prompt; of a conversation, its last turn of the user.",
            },
            Parameter {
                name: "num_loss_tokens_to_skip",
                kind: Kind::Integer,
                default: "0",
                range: Some(Range::at_least(0.0)),
                doc: "Tokens at the beginning of each completion of which nothing is learned.",
            },
            reference::REF_MODEL,
        ],
        rollout::SAMPLING,
    ],
    overrides: &[("learning_rate", "2e-5")],
    metrics: &[collect::COMPLETIONS, &[own_teacher::LOSS]],
    masks: |settings| {
        let SelfDistillation { teacher_prompt_template, .. } = SelfDistillation::new(settings)?;
        Ok(Masks { teacher_prompt: Some(teacher_prompt_template), ..Masks::default() })
    },
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(SelfDistillation::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct SelfDistillation {
    #[serde(flatten)]
    teacher: OwnTeacher,
    generate_from_teacher: bool,
    teacher_prompt_template: String,
    num_loss_tokens_to_skip: usize,
    #[serde(flatten)]
    sampling: Sampling,
}

impl SelfDistillation {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let method = SelfDistillation { teacher: OwnTeacher::new(settings)?, ..settings.typed()? };
        let template = &method.teacher_prompt_template;
        if !template.contains(PROMPT_PLACE) || !template.contains(CONTEXT_PLACE) {
            return Err(settings.invalid(TEMPLATE, format!("must hold {PROMPT_PLACE} and {CONTEXT_PLACE}")));
        }
        Ok(method)
    }

    /// How much of a member's loss each of its tokens is.
    fn weights(&self, tokens: usize) -> Vec<f64> {
        let learned = tokens.saturating_sub(self.num_loss_tokens_to_skip).max(1) as f64;
        (0..tokens).map(|token| if token < self.num_loss_tokens_to_skip { 0.0 } else { 1.0 / learned }).collect()
    }
}

/// A prompt's row as it is to be sampled: behind what the teacher reads.
fn as_the_teacher_reads(row: &Group) -> Group {
    let of = |member: &Member| {
        let ids = member.context.clone();
        Member { sequence: Sequence { supervised: vec![false; ids.len()], ids }, ..member.clone() }
    };
    Group { members: row.members.iter().map(of).collect(), ..row.clone() }
}

impl Objective for SelfDistillation {
    fn reads(&self) -> Reads {
        let temperature = self.sampling.temperature;
        match self.teacher.by_token() {
            true => Reads::Tokens { temperature, half_temperature: false },
            false => {
                let (kind, taught) = (self.teacher.comparison(), self.teacher.taught());
                Reads::Divergence { kind, temperature, taught }
            }
        }
    }

    fn compared(&self) -> Option<(Compared, Taught)> {
        self.teacher.by_token().then(|| (self.teacher.compared(), self.teacher.taught()))
    }

    fn sampling(&self) -> Option<&Sampling> {
        Some(&self.sampling)
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        rows: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let asked: Vec<Cow<'_, Group>> = match self.generate_from_teacher {
            true => rows.iter().map(|row| Cow::Owned(as_the_teacher_reads(row))).collect(),
            false => rows.clone(),
        };
        let (mut found, _) = collector.samples(Speaker::Policy, &asked, (&self.sampling, 1))?;
        let longest = collector.model.spec().max_positions;
        for (group, row) in found.iter_mut().zip(&rows) {
            let Some(prompt) = row.members.first() else { continue };
            for member in &mut group.members {
                let mut completion = member.sequence.ids.split_off(member.sequence.prompt().len());
                // Both must be able to read it behind their prompts.
                completion.truncate(longest - prompt.sequence.ids.len().max(prompt.context.len()));
                member.sampled.truncate(completion.len());
                member.sequence = Sequence::completion(&prompt.sequence.ids, &completion);
                member.context.clone_from(&prompt.context);
            }
        }
        Ok(found.into_iter().map(Cow::Owned).collect())
    }

    /// Completions.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.iter().map(|group| group.members.len()).sum::<usize>() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let members = step.groups[micro].iter().map(|group| group.members.len()).sum();
        let (mut sum, mut slopes) = (0.0, Vec::new());
        for member in 0..members {
            let learned = self.teacher.learned(said, member);
            let weights = self.weights(learned.len());
            for (Learned { value, .. }, &weight) in learned.iter().zip(&weights) {
                sum += weight * value;
                if weight > 0.0 {
                    metrics.add(own_teacher::LOSS, *value, 1.0);
                }
            }
            slopes.push(learned.iter().zip(&weights).map(|(learned, weight)| learned.slope * weight).collect());
        }
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Both, Learner, Models};
    use crate::{Method, Settings};
    use groma_kernels::Cpu;
    use groma_model::{Checkpoint, Transformer, open_transformer};
    use serde_json::{Value, json};
    use std::path::Path;
    use std::sync::Arc;

    fn student() -> Transformer {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/distillation/student");
        let checkpoint = Checkpoint::open(&place).unwrap();
        open_transformer(&place, &checkpoint, checkpoint.spec().clone(), Arc::new(Cpu::new())).unwrap()
    }

    /// TRL's loss functions on a tiny Llama that is its own teacher, and the norm of the gradient that autograd finds
    /// (`scripts/make_self_distillation_fixture.py`).
    #[test]
    fn the_loss_and_its_gradient_are_those_of_trl() {
        let model = student();
        let cases: Value = serde_json::from_str(include_str!("../../fixtures/self_distillation.json")).unwrap();
        for case in cases["cases"].as_array().unwrap() {
            let settings =
                Settings::resolve(Method::find("self_distillation").unwrap(), case["settings"].as_object().unwrap());
            let mut objective = SelfDistillation::new(&settings.unwrap()).unwrap();
            let rows: Vec<[Vec<u32>; 3]> = serde_json::from_value(cases["rows"].clone()).unwrap();
            let group = |[prompt, context, completion]: &[Vec<u32>; 3]| {
                let member =
                    Member { context: context.clone(), ..Member::new(Sequence::completion(prompt, completion)) };
                Cow::Owned(Group { members: vec![member], ..Group::default() })
            };
            let groups: Vec<_> = rows.iter().map(group).collect();
            let mut gradients = Both::default();
            let reference = crate::reference::Reference::Model(&model);
            let mut learner = Learner {
                models: Models {
                    policy: &model,
                    reference: Some(&reference),
                    teacher: None,
                    vocabularies: None,
                    critic: None,
                    lagged: None,
                },
                gradients: Some(&mut gradients),
                metrics: &mut Metrics::default(),
                dropout: None,
                noise: None,
                forgets: None,
                recompute: false,
            };
            let loss = learner.learn(&mut objective, &groups, &[0..1, 1..groups.len()]).unwrap();
            let (expected, norm) = (case["loss"].as_f64().unwrap(), case["norm"].as_f64().unwrap());
            assert!((loss.value - expected).abs() < 2e-5 * expected.abs().max(1.0), "{case}: {}", loss.value);
            let found = gradients.norm(&**model.backend());
            assert!((found - norm).abs() < 1e-4 * norm.max(0.1), "{}: {found} {norm}", case["settings"]);
        }
    }

    #[test]
    fn settings_that_do_not_fit_each_other_are_refused() {
        let resolve = |given: Value| {
            let method = Method::find("sdft").unwrap();
            Settings::resolve(method, given.as_object().unwrap()).map(|_| ()).map_err(|error| error.to_string())
        };
        assert!(resolve(json!({"distillation_mode": "sampled_token", "distillation_alpha": 1.0})).is_ok());
        assert!(resolve(json!({"distillation_mode": "sampled_token"})).unwrap_err().contains("distillation_alpha"));
        assert!(resolve(json!({"teacher_prompt_template": "{prompt}"})).unwrap_err().contains("privileged_context"));
        assert!(resolve(json!({"teacher_model_kind": "live", "ref_model": "x"})).unwrap_err().contains("base"));
    }
}
