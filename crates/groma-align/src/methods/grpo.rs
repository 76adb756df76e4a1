//! Group relative policy optimisation: rewards against the mean of their prompt's group, without a value model.
//!
//! Shao et al. 2024, arXiv 2402.03300, equations 3 and 4, with the options that TRL has. Kinds of loss differ in what token
//! losses are divided by: `grpo` by the length of their completion, then by the number of completions; `dapo` (and `bnpo`,
//! which in TRL is the same by micro-batch) by the tokens of the step; `dr_grpo` by completions times `max_completion_length`.
//! `cispo` weighs log-probabilities by their capped ratio. On the policy that sampled, the loss is near 0 by construction, and
//! its gradient is not.

use super::policy::{self, Clip, clipped, k3, log_ratios, measure, measure_clipped};
use crate::collect::{Collector, mean_and_deviation};
use crate::group::{Group, Member};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range, Variant};
use crate::role::Role;
use crate::rollout::{self, Rollouts};
use crate::{Error, Hyperparameters, Metrics, reference};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "grpo",
    names: &["group-relative-policy-optimisation"],
    title: "Group relative policy optimisation",
    paper: "arXiv:2402.03300",
    doc: "Samples a group of completions of each prompt and makes those likelier that are rewarded above the group's mean.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        rollout::GROUPS,
        rollout::REWARDS,
        &[reference::REF_MODEL],
        &[
            Parameter {
                name: "loss_type",
                kind: Kind::Variant(VARIANTS),
                default: "\"dapo\"",
                range: None,
                doc: "What the losses of tokens are divided by, and whether ratios are clipped or weigh.",
            },
            Parameter {
                name: "beta",
                kind: Kind::Float,
                default: "0.0",
                range: Some(Range::at_least(0.0)),
                doc: "Weight of the distance to the reference (k3) in the loss; 0 needs no reference.",
            },
            Parameter {
                name: "epsilon",
                kind: Kind::Float,
                default: "0.2",
                range: Some(Range::above(0.0)),
                doc: "How far the ratio to the sampler may fall below 1 or, without epsilon_high, rise above it.",
            },
            Parameter {
                name: "epsilon_high",
                kind: Kind::Float,
                default: "null",
                range: Some(Range::above(0.0)),
                doc: "How far the ratio may rise above 1 (clip-higher), epsilon where null; the cap of cispo's ratio itself.",
            },
            Parameter {
                name: "importance_sampling_level",
                kind: Kind::Choice(&["token", "sequence"]),
                default: "\"token\"",
                range: None,
                doc: "Ratios of tokens, or of whole completions, to the power of one over their length (GSPO).",
            },
            Parameter {
                name: "scale_rewards",
                kind: Kind::Choice(&["group", "batch", "none"]),
                default: "\"group\"",
                range: None,
                doc: "Divide advantages by the deviation of rewards in their group, in all that was sampled at once, or not.",
            },
        ],
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: &policy::METRICS,
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Grpo::new(settings)?)),
};

/// By what the losses of a completion's tokens are divided, and how the sum is then.
struct Division {
    variant: Variant,
    token: fn(usize) -> f64,
    /// From completions, their tokens, and the longest that they may have.
    total: fn(usize, usize, usize) -> f64,
}

const DIVISIONS: &[Division] = &[
    Division {
        variant: variant("dapo", "Token-level loss", "arXiv:2503.14476", "Σ_i Σ_t l_it / Σ_i len_i"),
        token: |_| 1.0,
        total: |_, tokens, _| tokens as f64,
    },
    Division {
        variant: variant("grpo", "Mean of completions' means", "arXiv:2402.03300", "1/G Σ_i 1/len_i Σ_t l_it"),
        token: |length| 1.0 / length.max(1) as f64,
        total: |completions, _, _| completions as f64,
    },
    Division {
        variant: variant(
            "bnpo",
            "Token-level loss",
            "arXiv:2503.14476",
            "as dapo: steps are not torn into micro-batches here",
        ),
        token: |_| 1.0,
        total: |_, tokens, _| tokens as f64,
    },
    Division {
        variant: variant("dr_grpo", "Constant divisor", "arXiv:2503.20783", "Σ_i Σ_t l_it / (G max_completion_length)"),
        token: |_| 1.0,
        total: |completions, _, longest| (completions * longest) as f64,
    },
    Division {
        variant: variant(
            CISPO,
            "Capped weights",
            "arXiv:2506.13585",
            "-Σ_i Σ_t [min(r_it, epsilon_high)] A_i log π_it / Σ_i len_i, no gradient through [.]",
        ),
        token: |_| 1.0,
        total: |_, tokens, _| tokens as f64,
    },
];

const CISPO: &str = "cispo";

const VARIANTS: &[Variant] =
    &[DIVISIONS[0].variant, DIVISIONS[1].variant, DIVISIONS[2].variant, DIVISIONS[3].variant, DIVISIONS[4].variant];

const fn variant(id: &'static str, title: &'static str, paper: &'static str, doc: &'static str) -> Variant {
    Variant { id, title, paper, doc, parameters: &[] }
}

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    loss_type: String,
    beta: f64,
    epsilon: f64,
    epsilon_high: Option<f64>,
    importance_sampling_level: String,
    scale_rewards: String,
}

struct Grpo {
    rollouts: Rollouts,
    raw: Raw,
    division: &'static Division,
}

impl Grpo {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        let division = DIVISIONS.iter().find(|division| division.variant.id == raw.loss_type);
        let unknown = || settings.invalid("loss_type", "is not known");
        if raw.beta == 0.0 {
            reference::unasked(settings, "beta")?;
        }
        if raw.loss_type == CISPO && raw.epsilon_high.is_none() {
            return Err(
                settings.invalid("epsilon_high", "must be given for loss_type cispo: the cap of the ratio, such as 5")
            );
        }
        Ok(Grpo { rollouts: Rollouts::new(settings)?, raw, division: division.ok_or_else(unknown)? })
    }

    /// Value and slopes of a completion's tokens, and how many were clipped below and above.
    fn tokens(&self, logps: &[f32], member: &Member, ratios: &[f64]) -> (f64, Vec<f64>, [f64; 2]) {
        let advantage = member.advantage.unwrap_or(0.0);
        let clip = Clip { low: self.raw.epsilon, high: self.raw.epsilon_high.unwrap_or(self.raw.epsilon) };
        let mean = ratios.iter().sum::<f64>() / ratios.len().max(1) as f64;
        let by_sequence = self.raw.importance_sampling_level == "sequence";
        let (mut sum, mut slopes, mut cut) = (0.0, vec![0.0; ratios.len()], [0.0; 2]);
        for (t, &ratio) in ratios.iter().enumerate() {
            let ratio = if by_sequence { mean } else { ratio };
            let (value, slope, [below, above]) = match self.raw.loss_type == CISPO {
                true => {
                    let weight = ratio.exp().min(clip.high);
                    let capped = ratio.exp() > clip.high;
                    (-weight * advantage * f64::from(logps[t]), -weight * advantage, [false, capped])
                }
                false => clipped(ratio, advantage, clip),
            };
            sum += value;
            // Each token has its part in the completion's ratio.
            match by_sequence && self.raw.loss_type != CISPO {
                true => slopes.iter_mut().for_each(|s| *s += slope / ratios.len() as f64),
                false => slopes[t] += slope,
            }
            if let (true, Some(&reference)) = (self.raw.beta > 0.0, member.reference.get(t)) {
                let (distance, slope) = k3(f64::from(logps[t]), f64::from(reference));
                sum += self.raw.beta * distance;
                slopes[t] += self.raw.beta * slope;
            }
            cut = [cut[0] + f64::from(u8::from(below)), cut[1] + f64::from(u8::from(above))];
        }
        (sum, slopes, cut)
    }
}

impl Objective for Grpo {
    fn reads(&self) -> Reads {
        Reads::Tokens { temperature: self.rollouts.sampling.temperature, half_temperature: false }
    }

    fn rollouts(&self) -> Option<&Rollouts> {
        Some(&self.rollouts)
    }

    fn needs_reference(&self) -> bool {
        self.raw.beta > 0.0
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        prompts: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let mut groups = collector.rollouts(&prompts, &self.rollouts)?;
        let all: Vec<f64> = groups.iter().flat_map(|group| &group.members).filter_map(|m| m.reward).collect();
        for group in &mut groups {
            let own: Vec<f64> = group.members.iter().filter_map(|member| member.reward).collect();
            let (mean, deviation) = mean_and_deviation(&own);
            let scale = match self.raw.scale_rewards.as_str() {
                "group" => deviation + 1e-4,
                "batch" => mean_and_deviation(&all).1 + 1e-4,
                _ => 1.0,
            };
            for member in &mut group.members {
                member.advantage = member.reward.map(|reward| (reward - mean) / scale);
            }
            policy::mask_truncated(&mut group.members, &self.rollouts);
        }
        let groups = groups.into_iter().map(Cow::Owned).collect();
        if self.needs_reference() { collector.referenced(groups) } else { Ok(groups) }
    }

    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        let lengths = || groups.iter().flat_map(|group| &group.members).map(|member| member.sampled.len());
        let completions = lengths().filter(|&length| length > 0).count();
        (self.division.total)(completions, lengths().sum(), self.rollouts.sampling.max_completion_length)
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
            let ratios = log_ratios(&logps, member);
            let (value, slopes, cut) = self.tokens(&logps, member, &ratios);
            let weight = (self.division.token)(ratios.len());
            sum += weight * value;
            all.push(slopes.into_iter().map(|slope| weight * slope).collect());
            measure(metrics, said, index, &ratios);
            measure_clipped(metrics, cut, ratios.len() as f64);
            if self.raw.beta > 0.0 {
                let distance = logps.iter().zip(&member.reference).map(|(&p, &r)| k3(f64::from(p), f64::from(r)).0);
                metrics.add("kl", distance.sum(), ratios.len() as f64);
            }
        }
        Slopes { sum, logps: said.spread(&all, 1.0 / step.total.max(1.0)), ..Slopes::default() }
    }
}
