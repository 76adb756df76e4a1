//! Self-distillation: the teacher is the model itself, with more in its prompt: a demonstration, a rule, feedback.
//!
//! Shenfeld et al. 2026, arXiv 2601.19897 (SDFT), as TRL's experimental trainer has it; with a prompt's context for `C`, Askell et
//! al. 2021, arXiv 2112.00861 (context distillation), on the student's own samples. The student finds a completion `y` to the prompt
//! `x`; with `q` the teacher's distribution at a token of it, behind `C` and `x`, and `p` the student's behind `x` alone, the loss of
//! a completion is the mean over its tokens of `alpha KL(q|m) + (1 - alpha) KL(p|m)`, where `m = alpha q + (1 - alpha) p`; `KL(q|p)`
//! for `alpha = 0`, `KL(p|q)` for `alpha = 1` (`full_logits`); or, of the tokens alone that were sampled, `(log p - log q) log p`
//! with the difference held, whose slope is that of `KL(p|q)` in expectation (`sampled_token`). The loss of a step is the mean over
//! completions. No gradient goes through sampling or the teacher.
//!
//! TRL's default compares the student's 100 likeliest tokens, which it has to keep as logits; here whole distributions are compared
//! in chunks. It samples several completions of a prompt at once, here one; and its averaged teacher (`ema`), its truncation of
//! prompts and several passes over what was sampled, which alone need its clipped ratio, are left out.

use crate::collect::{Collector, Speaker};
use crate::group::{Group, Member};
use crate::known::{CONTEXT_PLACE, PROMPT_PLACE};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range};
use crate::role::Role;
use crate::rollout::{self, Sampling};
use crate::sequence::Sequence;
use crate::taught::Taught;
use crate::{Error, Hyperparameters, Metrics, collect, reference};
use groma_data::Shape;
use groma_kernels::Divergence;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

const TEMPLATE: &str = "teacher_prompt_template";
const MODE: &str = "distillation_mode";
const ALPHA: &str = "distillation_alpha";
const SAMPLED: &str = "sampled_token";
const BASE: &str = "base";

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
        &[
            Parameter {
                name: MODE,
                kind: Kind::Choice(&["full_logits", SAMPLED]),
                default: "\"full_logits\"",
                range: None,
                doc: "What is compared at each token: both distributions, or how likely the sampled token is to both.",
            },
            Parameter {
                name: ALPHA,
                kind: Kind::Float,
                default: "0.5",
                range: Some(Range::closed(0.0, 1.0)),
                doc: "Which divergence: 0 is the forward KL (cover what the teacher says), 1 the reverse, as sampled_token has it, between them Jensen-Shannon.",
            },
            Parameter {
                name: "teacher_model_kind",
                kind: Kind::Choice(&[BASE, "live"]),
                default: "\"base\"",
                range: None,
                doc: "Who teaches: the model that training starts from (or ref_model), or the model in training as it is now.",
            },
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
    metrics: &[collect::COMPLETIONS, &["self_distillation/distillation_loss"]],
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
    distillation_mode: String,
    distillation_alpha: f32,
    teacher_model_kind: String,
    generate_from_teacher: bool,
    teacher_prompt_template: String,
    num_loss_tokens_to_skip: usize,
    #[serde(flatten)]
    sampling: Sampling,
}

impl SelfDistillation {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let method: SelfDistillation = settings.typed()?;
        let template = &method.teacher_prompt_template;
        if !template.contains(PROMPT_PLACE) || !template.contains(CONTEXT_PLACE) {
            return Err(settings.invalid(TEMPLATE, format!("must hold {PROMPT_PLACE} and {CONTEXT_PLACE}")));
        }
        if method.by_token() && method.distillation_alpha != 1.0 {
            let problem = format!("must be 1 with {MODE} {SAMPLED}, which is the reverse KL");
            return Err(settings.invalid(ALPHA, problem));
        }
        if !method.is_base() {
            reference::unasked_unless(settings, &format!("teacher_model_kind is {BASE}"))?;
        }
        Ok(method)
    }

    fn by_token(&self) -> bool {
        self.distillation_mode == SAMPLED
    }

    fn is_base(&self) -> bool {
        self.teacher_model_kind == BASE
    }

    fn taught(&self) -> Taught {
        if self.is_base() { Taught::Reference } else { Taught::Policy }
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
        match self.by_token() {
            true => Reads::Tokens { temperature, half_temperature: false },
            false => {
                let kind = Divergence::of_beta(self.distillation_alpha);
                Reads::Divergence { kind, temperature, taught: self.taught() }
            }
        }
    }

    fn sampling(&self) -> Option<&Sampling> {
        Some(&self.sampling)
    }

    fn needs_reference(&self) -> bool {
        self.is_base()
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
        if self.by_token() {
            collector.taught(&mut found, self.taught())?;
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
        let members = step.groups[micro].iter().flat_map(|group| &group.members);
        let (mut sum, mut slopes) = (0.0, Vec::new());
        for (index, member) in members.enumerate() {
            // By token a value, and its slope with respect to what was read.
            let by_token: Vec<(f64, f64)> = match self.by_token() {
                false => said.of(index, said.divergences).iter().map(|&value| (f64::from(value), 1.0)).collect(),
                true => {
                    said.logps(index).iter().zip(&member.reference).map(|(&p, &q)| held(p.into(), q.into())).collect()
                }
            };
            let weights = self.weights(by_token.len());
            for (&(value, _), &weight) in by_token.iter().zip(&weights) {
                sum += weight * value;
                if weight > 0.0 {
                    metrics.add("self_distillation/distillation_loss", value, 1.0);
                }
            }
            slopes.push(by_token.iter().zip(&weights).map(|((_, slope), weight)| slope * weight).collect());
        }
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }
}

/// Of one token how likely it is to student and teacher: `(log p - log q) log p`, the difference held.
fn held(student: f64, teacher: f64) -> (f64, f64) {
    let difference = student - teacher;
    (difference * student, difference)
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
            let teacher: Vec<Vec<f32>> = serde_json::from_value(case["teacher"].clone()).unwrap();
            let group = |([prompt, context, completion], teacher): (&[Vec<u32>; 3], &Vec<f32>)| {
                let sequence = Sequence::completion(prompt, completion);
                let member = Member { context: context.clone(), reference: teacher.clone(), ..Member::new(sequence) };
                Cow::Owned(Group { members: vec![member], ..Group::default() })
            };
            let groups: Vec<_> = rows.iter().zip(&teacher).map(group).collect();
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
