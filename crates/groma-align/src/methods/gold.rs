//! General on-policy logit distillation (GOLD): a student learns from a teacher that cuts texts into other tokens.
//!
//! Patiño et al. 2025 (Hugging Face, "Unlocking On-Policy Distillation for Any Model Family"), as TRL's experimental GOLD trainer has it
//! with `uld_token_merge_strategy = "bayesian"`; on universal logit distillation (Boizard et al. 2024, arXiv 2402.12030). The teacher
//! reads the completion's text in its own tokens and template. Between two places where both tokenizers cut it, the tokens of either
//! spell the same; of such a span, each model has the joint probabilities of the tokens before the last and of each token as the last.
//! The loss is the mean over completions of the mean over spans of how both differ (see `span_loss.rs`), and the cross-entropy of the
//! completion's tokens, each with its weight.
//!
//! Where we differ from TRL: its other strategy, `observed`, multiplies probabilities that its positions give to other tokens than those
//! that follow, and is not here; a character is not torn where it is made of several tokens; what ends a text is one token of both,
//! whatever it is called, and learned; tokens also are the same that read alike where two vocabularies spell them otherwise.

use crate::collect::{self, Collector};
use crate::group::Group;
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::on_policy::{self, OnPolicy};
use crate::parameter::{Kind, Range, parameter};
use crate::reader::Aligning;
use crate::role::Role;
use crate::rollout::{self, Sampling};
use crate::span_loss::{Hybrid, SpanLoss};
use crate::{Error, Hyperparameters, Metrics};
use groma_data::Shape;
use groma_kernels::Divergence;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

const TEACHER: &str = "teacher_model";
const HYBRID: &str = "uld_use_hybrid_loss";
const MATCHED: &str = "uld_hybrid_matched_weight";
const UNMATCHED: &str = "uld_hybrid_unmatched_weight";
const DISTILLATION: &str = "uld_distillation_weight";
const NOT_NEGATIVE: Option<Range> = Some(Range::at_least(0.0));
const POSITIVE: Option<Range> = Some(Range::above(0.0));

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "gold",
    names: &["uld", "general-on-policy-logit-distillation", "universal-logit-distillation"],
    title: "General on-policy logit distillation",
    paper: "arXiv:2402.12030",
    doc: "Learns from a teacher of any tokenizer, on given completions and on the model's own: where both tokenizers cut a text, the probabilities of what lies between are compared, token by token where both have the token, else by rank. Of a teacher with the same tokenizer, `distillation` says more with less.",
    data: &[Shape::PromptCompletion, Shape::PromptOnly],
    roles: &[Role::Teacher],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        &[parameter(
            TEACHER,
            Kind::Text,
            "null",
            None,
            "Who is learned from: a directory, or hub id, of any tokenizer and vocabulary. Must be given.",
        )],
        on_policy::PARAMETERS,
        &[
            parameter(
                "beta",
                Kind::Float,
                "0.5",
                Some(Range::closed(0.0, 1.0)),
                "Which divergence compares tokens that both have: 0 is the forward KL (cover what the teacher says), 1 the reverse (say nothing else), between them Jensen-Shannon, which alone is least where both agree on each such token.",
            ),
            parameter(
                HYBRID,
                Kind::Boolean,
                "true",
                None,
                "Compare tokens that both vocabularies have as they are, and the others by rank; all by rank if false, which does not tell them apart.",
            ),
            parameter(
                MATCHED,
                Kind::Float,
                "null",
                NOT_NEGATIVE,
                "Weight of tokens that both vocabularies have; with null, their share of the teacher's. Both weights are given, or none.",
            ),
            parameter(
                UNMATCHED,
                Kind::Float,
                "null",
                NOT_NEGATIVE,
                "Weight of the other tokens; with null, the rest of 1.",
            ),
            parameter(
                "uld_crossentropy_weight",
                Kind::Float,
                "0.0",
                NOT_NEGATIVE,
                "Weight of the cross-entropy of the completions' tokens.",
            ),
            parameter(DISTILLATION, Kind::Float, "1.0", NOT_NEGATIVE, "Weight of what is learned from the teacher."),
            parameter(
                "uld_student_temperature",
                Kind::Float,
                "1.0",
                POSITIVE,
                "Divides the logits of the model in training.",
            ),
            parameter("uld_teacher_temperature", Kind::Float, "1.0", POSITIVE, "Divides the teacher's logits."),
            parameter(
                "uld_skip_eos",
                Kind::Boolean,
                "false",
                None,
                "Learn of the teacher what it says, and not when it ends.",
            ),
            parameter(
                "use_extended_uld",
                Kind::Boolean,
                "true",
                None,
                "Align tokens by the text that they spell; if false, the first of both and so on, as universal logit distillation was published.",
            ),
        ],
        rollout::SAMPLING,
    ],
    overrides: &[
        ("learning_rate", "1e-7"),
        ("temperature", "0.9"),
        ("top_p", "0.95"),
        ("max_completion_length", "128"),
    ],
    metrics: &[collect::COMPLETIONS, on_policy::METRICS, &["aligned", "spans", "distillation_loss"]],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Gold::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Gold {
    teacher_model: Option<String>,
    beta: f32,
    uld_use_hybrid_loss: bool,
    uld_hybrid_matched_weight: Option<f64>,
    uld_hybrid_unmatched_weight: Option<f64>,
    uld_crossentropy_weight: f64,
    uld_distillation_weight: f64,
    uld_student_temperature: f32,
    uld_teacher_temperature: f32,
    uld_skip_eos: bool,
    use_extended_uld: bool,
    #[serde(flatten)]
    on_policy: OnPolicy,
}

impl Gold {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let gold: Gold = settings.typed()?;
        let weights = [(MATCHED, gold.uld_hybrid_matched_weight), (UNMATCHED, gold.uld_hybrid_unmatched_weight)];
        let given: Vec<&str> = weights.iter().filter(|(_, weight)| weight.is_some()).map(|(name, _)| *name).collect();
        if gold.teacher_model.is_none() {
            return Err(settings.invalid(TEACHER, "must be given: the model that is learned from"));
        }
        match given[..] {
            [name, ..] if !gold.uld_use_hybrid_loss => {
                Err(settings.invalid(name, format!("is read with {HYBRID} alone: leave it out")))
            }
            [name] => {
                let other = if name == MATCHED { UNMATCHED } else { MATCHED };
                Err(settings.invalid(name, format!("needs {other} beside it: give both, or none")))
            }
            _ if gold.uld_distillation_weight + gold.uld_crossentropy_weight == 0.0 => Err(settings.invalid(
                DISTILLATION,
                "uld_crossentropy_weight is 0, too, and nothing would be learned: give one of them",
            )),
            _ => Ok(gold),
        }
    }

    fn span_loss(&self) -> SpanLoss {
        let weights = self.uld_hybrid_matched_weight.zip(self.uld_hybrid_unmatched_weight);
        let hybrid = || Hybrid { divergence: Divergence::of_beta(self.beta), weights };
        SpanLoss {
            temperature: self.uld_student_temperature,
            teacher_temperature: self.uld_teacher_temperature,
            hybrid: self.uld_use_hybrid_loss.then(hybrid),
        }
    }
}

impl Objective for Gold {
    fn reads(&self) -> Reads {
        Reads::Spans { loss: self.span_loss(), likelihood: self.uld_crossentropy_weight > 0.0 }
    }

    fn sampling(&self) -> Option<&Sampling> {
        self.on_policy.sampling()
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        rows: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let rows = self.on_policy.collect(METHOD.id, collector, rows)?;
        collector.translated(rows, Aligning { by_text: self.use_extended_uld, ends: !self.uld_skip_eos })
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
        let mut slopes = Slopes::default();
        let mut left = said.spans;
        for member in step.groups[micro.clone()].iter().flat_map(|group| &group.members) {
            let count = member.translation.as_ref().map_or(0, |translation| translation.spans.len());
            let (own, others) = left.split_at(count);
            left = others;
            let mean = own.iter().map(|&value| f64::from(value)).sum::<f64>() / count.max(1) as f64;
            let slope = self.uld_distillation_weight / (count.max(1) as f64 * step.total.max(1.0));
            metrics.add("spans", count as f64, 1.0);
            metrics.add("distillation_loss", mean, 1.0);
            slopes.sum += self.uld_distillation_weight * mean;
            slopes.spans.extend(std::iter::repeat_n(slope as f32, count));
        }
        if self.uld_crossentropy_weight > 0.0 {
            self.add_cross_entropy(step, micro, said, &mut slopes);
        }
        slopes
    }
}

impl Gold {
    /// The mean over all scored tokens of the step, times its weight.
    fn add_cross_entropy(&self, step: Step<'_>, micro: std::ops::Range<usize>, said: &Said<'_>, slopes: &mut Slopes) {
        let tokens = |group: &Cow<'_, Group>| group.sequences().map(|sequence| sequence.scored_count()).sum::<usize>();
        let all = step.groups.iter().map(tokens).sum::<usize>().max(1) as f64;
        let members: usize = step.groups[micro].iter().map(|group| group.members.len()).sum();
        let logps: Vec<Vec<f32>> = (0..members).map(|member| said.logps(member)).collect();
        let sum: f64 = logps.iter().flatten().map(|&logp| -f64::from(logp)).sum();
        let each: Vec<Vec<f64>> = logps.iter().map(|logps| vec![-1.0; logps.len()]).collect();
        slopes.sum += self.uld_crossentropy_weight * sum * step.total / all;
        slopes.logps = said.spread(&each, self.uld_crossentropy_weight / all);
    }
}
