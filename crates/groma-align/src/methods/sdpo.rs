//! Self-distillation policy optimisation: what succeeded among the completions of a prompt, or what was said of them, is put into the
//! prompt of the model itself, and its opinion of each completion is learned without it.
//!
//! Hübotter et al. 2026, arXiv 2601.20802, as TRL's experimental trainer has it. A completion whose prompt is asked again with more
//! (`reprompt.rs`) has as its loss the mean over its tokens of what `own_teacher.rs` compares there, each times the ratio to the sampler,
//! held, at most `distillation_is_clip`; the others have none. The loss is `distillation_weight` of the mean over all completions, and
//! for the rest GRPO's. No gradient goes through sampling, the ratio or the teacher, who is asked anew in each step.
//!
//! Differs from TRL: its `beta` is read there and not used, and is no setting here; the policy's loss is divided by the tokens of the
//! optimizer's batch; the ratio is always taken, which is 1 to the bit where the sampler learns.

mod reprompt;

use super::grpo::{self, Grpo};
use super::own_teacher::{self, Learned, OwnTeacher};
use super::policy::{self, log_ratios};
use crate::collect::Collector;
use crate::group::{Group, Member};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Said, Slopes, Step};
use crate::parameter::{Kind, Range, parameter};
use crate::rewarded::Rewarded;
use crate::role::Role;
use crate::taught::{Compared, Taught};
use crate::{Error, Hyperparameters, Metrics, collect, moving, reference, rollout};
use groma_data::Shape;
use groma_model::Head;
use reprompt::Reprompt;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::ops::Range as Span;

const WEIGHT: &str = "distillation_weight";
/// Log-ratios to the sampler count no further, as in TRL.
const FARTHEST: f64 = 20.0;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "sdpo",
    names: &["self-distillation-policy-optimisation"],
    title: "Self-distillation policy optimisation",
    paper: "arXiv:2601.20802",
    doc: "Samples a group of completions of each prompt and learns what the model itself finds of each once it is shown one that succeeded, or feedback.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        rollout::GROUPS,
        rollout::REWARDS,
        own_teacher::PARAMETERS,
        moving::TEACHER,
        &[
            reference::REF_MODEL,
            parameter(
                WEIGHT,
                Kind::Float,
                "1.0",
                Some(Range::closed(0.0, 1.0)),
                "What self-distillation counts in the loss; the rest is GRPO's.",
            ),
            parameter(
                "distillation_is_clip",
                Kind::Float,
                "2.0",
                Some(Range::at_least(0.0)),
                "What the ratio to the sampler counts at most by which a token's self-distillation is weighed; 0 weighs nothing.",
            ),
            parameter(
                "loss_type",
                Kind::Choice(&["dapo", "grpo", "bnpo", "dr_grpo"]),
                "\"dapo\"",
                None,
                "What GRPO's losses of tokens are divided by, as there.",
            ),
            grpo::SCALE,
        ],
        grpo::RATIOS,
        reprompt::PARAMETERS,
    ],
    overrides: &[
        ("max_completion_length", "256"),
        ("distillation_mode", "\"sampled_token\""),
        ("distillation_alpha", "1.0"),
        ("teacher_model_kind", "\"ema\""),
    ],
    metrics: &[
        policy::REWARDS,
        policy::SPREAD,
        collect::COMPLETIONS,
        policy::TOKENS,
        policy::CLIPPED,
        reprompt::METRICS,
        &[own_teacher::LOSS],
    ],
    masks: |_| Ok(Masks { asked_again: true, ..Masks::default() }),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Sdpo::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    distillation_weight: f64,
    distillation_is_clip: f64,
}

/// The method at work.
struct Sdpo {
    raw: Raw,
    policy: Grpo,
    teacher: OwnTeacher,
    reprompt: Reprompt,
}

impl Sdpo {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        if raw.distillation_weight == 0.0 {
            reference::unasked(settings, WEIGHT)?;
        }
        Ok(Sdpo {
            raw,
            policy: Grpo::new(settings)?,
            teacher: OwnTeacher::new(settings)?,
            reprompt: Reprompt::new(settings)?,
        })
    }

    /// Of a member, what self-distillation makes of each token: its share of the loss, and the slope of that.
    fn distilled(&self, said: &Said<'_>, (index, member): (usize, &Member)) -> Vec<Learned> {
        if member.context.is_empty() || self.raw.distillation_weight == 0.0 {
            return Vec::new();
        }
        let learned = self.teacher.learned(said, index);
        let share = 1.0 / learned.len().max(1) as f64;
        let counts = log_ratios(&said.logps(index), member).into_iter().map(|ratio| share * self.counts(ratio));
        let weighed = |(Learned { value, slope }, count)| Learned { value: count * value, slope: count * slope };
        learned.into_iter().zip(counts).map(weighed).collect()
    }

    /// What a token counts, by its log-ratio to the sampler.
    fn counts(&self, log_ratio: f64) -> f64 {
        match self.raw.distillation_is_clip {
            0.0 => 1.0,
            most => log_ratio.clamp(-FARTHEST, FARTHEST).exp().min(most),
        }
    }
}

impl Objective for Sdpo {
    fn rewarded(&self) -> Option<&Rewarded> {
        self.policy.rewarded()
    }

    fn compared(&self) -> Option<(Compared, Taught)> {
        (self.raw.distillation_weight > 0.0).then(|| (self.teacher.compared(), self.teacher.taught()))
    }

    fn told(&self, prompt: &Group) -> usize {
        self.reprompt.longest(prompt, self.policy.sampling().map_or(0, |sampling| sampling.max_completion_length))
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        prompts: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let lengths: Vec<usize> = prompts.iter().map(|row| row.tokens()).collect();
        let mut groups = self.policy.collect(collector, prompts)?;
        let told = groups.iter_mut().map(Cow::to_mut).zip(lengths);
        self.reprompt.tell(collector, told)?;
        Ok(groups)
    }

    /// Completions.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.iter().map(|group| group.members.len()).sum::<usize>() as f64
    }

    fn loss(&mut self, step: Step<'_>, micro: Span<usize>, said: &Said<'_>, metrics: &mut Metrics) -> Slopes {
        let of_policy = Step { total: self.policy.total(step.groups), ..step };
        let found = self.policy.loss(of_policy, micro.clone(), said, metrics);
        let weight = self.raw.distillation_weight;
        let mut sum = (1.0 - weight) * found.sum * step.total / of_policy.total.max(1.0);
        let mut slopes = Vec::new();
        for each in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            let distilled = self.distilled(said, each);
            let value: f64 = distilled.iter().map(|token| token.value).sum();
            sum += weight * value;
            let tokens = distilled.len() as f64;
            metrics.add(own_teacher::LOSS, value * tokens, tokens);
            slopes.push(distilled.iter().map(|token| weight * token.slope).collect());
        }
        let own = said.spread(&slopes, 1.0 / step.total.max(1.0));
        let mut logps: Vec<f32> = found.logps.iter().map(|slope| (1.0 - weight) as f32 * slope).collect();
        let divergences = match self.teacher.by_token() {
            true => {
                logps.iter_mut().zip(&own).for_each(|(all, own)| *all += own);
                Vec::new()
            }
            false if self.compared().is_some() => own,
            false => Vec::new(),
        };
        Slopes { sum, logps, divergences, ..found }
    }

    fn state(&self) -> Value {
        self.policy.state()
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        self.policy.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Both, Learner, Models};
    use crate::sequence::Sequence;
    use crate::{Method, Settings};
    use groma_kernels::Cpu;
    use groma_model::{Checkpoint, open_transformer};
    use serde_json::json;
    use std::path::Path;
    use std::sync::Arc;

    fn sdpo(more: &Value) -> Result<Sdpo, Error> {
        let mut given = more.as_object().unwrap().clone();
        given.extend(json!({"reward_funcs": "length", "num_generations": 4}).as_object().unwrap().clone());
        let settings = Settings::resolve(Method::find("sdpo").unwrap(), &given)?;
        Sdpo::new(&settings)
    }

    /// TRL's loss on a tiny Llama that is its own teacher, and the norm of the gradient that autograd finds
    /// (`scripts/make_sdpo_fixture.py`); as one micro-batch, and as two.
    #[test]
    fn the_loss_and_its_gradient_are_those_of_trl() {
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/distillation/student");
        let checkpoint = Checkpoint::open(&place).unwrap();
        let model = open_transformer(&place, &checkpoint, checkpoint.spec().clone(), Arc::new(Cpu::new())).unwrap();
        let fixture: Value = serde_json::from_str(include_str!("../../fixtures/sdpo.json")).unwrap();
        type Row = (Vec<u32>, Vec<u32>, Vec<u32>, Vec<f32>, f64);
        let rows: Vec<Row> = serde_json::from_value(fixture["rows"].clone()).unwrap();
        let group = |(prompt, context, completion, sampled, advantage): &Row| {
            let member = Member {
                context: context.clone(),
                sampled: sampled.clone(),
                advantage: Some(*advantage),
                ..Member::new(Sequence::completion(prompt, completion))
            };
            Cow::Owned(Group { members: vec![member], ..Group::default() })
        };
        let groups: Vec<_> = rows.iter().map(group).collect();
        let reference = crate::reference::Reference::Model(&model);
        let models = Models {
            policy: &model,
            reference: Some(&reference),
            teacher: None,
            vocabularies: None,
            critic: None,
            lagged: None,
        };
        for case in fixture["cases"].as_array().unwrap() {
            for cuts in [&[0, 4][..], &[0, 1, 4]] {
                let micros: Vec<Span<usize>> = cuts.windows(2).map(|cut| cut[0]..cut[1]).collect();
                let (mut gradients, mut metrics) = (Both::default(), Metrics::default());
                let mut learner = Learner {
                    models,
                    gradients: Some(&mut gradients),
                    metrics: &mut metrics,
                    dropout: None,
                    noise: None,
                    forgets: None,
                    recompute: false,
                };
                let loss = learner.learn(&mut sdpo(&case["settings"]).unwrap(), &groups, &micros).unwrap();
                let (expected, norm) = (case["loss"].as_f64().unwrap(), case["norm"].as_f64().unwrap());
                let what = &case["settings"];
                assert!((loss.value - expected).abs() < 1e-5 * expected.abs().max(1.0), "{what}: {}", loss.value);
                let found = gradients.norm(&**model.backend());
                assert!((found - norm).abs() < 1e-4 * norm.max(0.1), "{what}: {found} {norm}");
            }
        }
    }

    /// Slopes of a token's loss, the ratio and the difference held, as they stand in the formula.
    #[test]
    fn ratios_count_up_to_their_limit() {
        let of = |given: Value, ratio: f64| sdpo(&given).unwrap().counts(ratio);
        assert_eq!(of(json!({}), 3f64.ln()), 2.0);
        assert!((of(json!({}), 0.5f64.ln()) - 0.5).abs() < 1e-15);
        assert_eq!(of(json!({"distillation_is_clip": 0.0}), 5.0), 1.0);
        assert_eq!(of(json!({"distillation_is_clip": 1e12}), 50.0), FARTHEST.exp());
    }

    #[test]
    fn settings_that_do_not_fit_each_other_are_refused() {
        let refused = |given: Value| sdpo(&given).map(|_| ()).unwrap_err().to_string();
        assert!(refused(json!({"distillation_mode": "topk_logits"})).contains("distillation_topk"));
        assert!(refused(json!({"distillation_topk": 5})).contains("topk_logits"));
        assert!(refused(json!({"distillation_alpha": 0.5})).contains("sampled_token"));
        assert!(refused(json!({"distillation_weight": 0.0, "ref_model": "x"})).contains("distillation_weight"));
        assert!(refused(json!({"teacher_model_kind": "base", "teacher_sync_steps": 3})).contains("ema"));
    }
}
