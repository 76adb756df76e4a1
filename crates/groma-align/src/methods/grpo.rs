//! Group relative policy optimisation: rewards against the mean of their prompt's group, without a value model.
//!
//! Shao et al. 2024, arXiv 2402.03300, equations 3 and 4, with the options that TRL has. Kinds of loss differ in how ratios count
//! and in what token losses are divided by. On the policy that sampled, the loss is near 0 by construction, and its gradient is
//! not.
//!
//! `use_bias_correction_kl` weighs the distance to the reference (k3) with the ratio, which makes its gradient that of the
//! divergence itself (DeepSeek-V3.2, arXiv 2512.02556, equation 7); `off_policy_mask_threshold` is its equation 9. Corrections for
//! a sampler that is not the learner (TIS, MIS) have no place here: both are one forward pass, and their ratio is 1 to the bit.

mod completion;
mod entropy;
mod losses;
mod surrogates;

use super::policy::{self, k3, log_ratios, measure, measure_clipped};
use crate::collect::{Collector, mean_and_deviation};
use crate::group::{Group, Member};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::rewarded::{self, Rewarded};
use crate::role::Role;
use crate::rollout;
use crate::{Error, Hyperparameters, Metrics, constraint, moving, reference};
use completion::{Completion, Found, Limits};
use entropy::Entropies;
use groma_data::Shape;
use groma_model::Head;
use losses::{GEOMETRIC_MEAN, GrpoLoss, KINDS, VARIANTS};
use policy::Clip;
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;

const NOT_NEGATIVE: Option<Range> = Some(Range::at_least(0.0));
const ABOVE: Option<Range> = Some(Range::above(0.0));

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "grpo",
    names: &["group-relative-policy-optimisation"],
    title: "Group relative policy optimisation",
    paper: "arXiv:2402.03300",
    doc: "Samples a group of completions of each prompt and makes those likelier that are rewarded above the group's mean.",
    data: &[Shape::PromptOnly],
    roles: &[Role::Reference, Role::Reward, Role::Cost],
    heads: &[Head::UNEMBEDDING],
    parameters: &[
        rollout::SAMPLING,
        rollout::GROUPS,
        rollout::REWARDS,
        moving::PARAMETERS,
        &[
            reference::REF_MODEL,
            parameter(
                "loss_type",
                Kind::Variant(VARIANTS),
                "\"dapo\"",
                None,
                "What the losses of tokens are divided by, and how ratios count.",
            ),
            RATIOS[0],
            RATIOS[1],
            parameter(
                "delta",
                Kind::Float,
                "null",
                ABOVE,
                "What a ratio that is clipped on one side alone may count at most (two-sided clipping), such as 4; no limit where null.",
            ),
            RATIOS[2],
            parameter(
                "use_bias_correction_kl",
                Kind::Boolean,
                "true",
                None,
                "Weigh the distance to the reference with the ratio, so that its gradient is that of the divergence.",
            ),
            parameter(
                "off_policy_mask_threshold",
                Kind::Float,
                "null",
                ABOVE,
                "Learn nothing from completions of a negative advantage that the policy has moved away from by more nats a token, such as 0.5; from all where null.",
            ),
        ],
        SHARED,
        rewarded::DYNAMIC_SAMPLING,
        constraint::PARAMETERS,
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: policy::METRICS,
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Grpo::new(settings)?)),
};

/// How ratios to the sampler count.
pub(super) const RATIOS: &[Parameter] = &[
    parameter(
        "epsilon",
        Kind::Float,
        "0.2",
        ABOVE,
        "How far the ratio to the sampler may fall below 1 or, without epsilon_high, rise above it.",
    ),
    parameter(
        "epsilon_high",
        Kind::Float,
        "null",
        ABOVE,
        "How far the ratio may rise above 1 (clip-higher), epsilon where null; the cap of cispo's ratio itself.",
    ),
    parameter(
        "importance_sampling_level",
        Kind::Choice(&["token", "sequence"]),
        "\"token\"",
        None,
        "Ratios of tokens, or of whole completions, to the power of one over their length (GSPO).",
    ),
];

/// Divides advantages.
pub(super) const SCALE: Parameter = parameter(
    "scale_rewards",
    Kind::Choice(&["group", "batch", "none"]),
    "\"group\"",
    None,
    "Divide advantages by the deviation of rewards in their group, in all that was sampled at once, or not.",
);

/// Hyperparameters of every method of this kind.
pub(super) const SHARED: &[Parameter] = &[
    parameter(
        "beta",
        Kind::Float,
        "0.0",
        NOT_NEGATIVE,
        "Weight of the distance to the reference (k3) in the loss; 0 needs no reference.",
    ),
    SCALE,
    parameter(
        "top_entropy_quantile",
        Kind::Float,
        "1.0",
        Some(Range { min: 0.0, min_excluded: true, max: 1.0, max_excluded: false }),
        "Share of tokens that are learned from, those where the policy is least decided; 1 for all.",
    ),
    parameter(
        "entropy_coef",
        Kind::Float,
        "0.0",
        NOT_NEGATIVE,
        "What the mean entropy of the tokens that are learned from counts in the loss, so that it stays high.",
    ),
];

/// Values of the parameters above; a method of this kind may lack some.
#[derive(Clone, Debug, Deserialize)]
struct Raw {
    #[serde(default)]
    loss_type: Option<String>,
    #[serde(default)]
    beta: f64,
    epsilon: f64,
    epsilon_high: Option<f64>,
    #[serde(default)]
    delta: Option<f64>,
    #[serde(default)]
    importance_sampling_level: Level,
    scale_rewards: Scale,
    #[serde(default = "all")]
    top_entropy_quantile: f64,
    #[serde(default)]
    entropy_coef: f64,
    #[serde(default)]
    use_bias_correction_kl: bool,
    #[serde(default)]
    off_policy_mask_threshold: Option<f64>,
    sapo_temperature_pos: Option<f64>,
    sapo_temperature_neg: Option<f64>,
    vespo_k_pos: Option<f64>,
    vespo_lambda_pos: Option<f64>,
    vespo_k_neg: Option<f64>,
    vespo_lambda_neg: Option<f64>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Level {
    #[default]
    Token,
    Sequence,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Scale {
    Group,
    Batch,
    None,
}

/// The share of tokens that are learned from, unless a method chooses among them.
fn all() -> f64 {
    1.0
}

impl Raw {
    fn limits(&self) -> Limits {
        let or = |value: Option<f64>| value.unwrap_or(1.0);
        Limits {
            clip: Clip { low: self.epsilon, high: self.epsilon_high.unwrap_or(self.epsilon) },
            delta: self.delta,
            temperatures: [or(self.sapo_temperature_pos), or(self.sapo_temperature_neg)],
            gamma: [
                [or(self.vespo_k_pos), or(self.vespo_lambda_pos)],
                [or(self.vespo_k_neg), or(self.vespo_lambda_neg)],
            ],
        }
    }
}

/// Added to deviations that advantages are divided by, as in TRL.
const EPSILON: f64 = 1e-4;

/// Such a method at work.
pub(super) struct Grpo {
    rewarded: Rewarded,
    raw: Raw,
    kind: &'static GrpoLoss,
    limits: Limits,
    /// Of the step at hand, where entropies decide something.
    entropies: Entropies,
}

impl Grpo {
    pub(super) fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        let kind = KINDS.iter().find(|kind| Some(kind.variant.id) == raw.loss_type.as_deref());
        let kind = kind.ok_or_else(|| settings.invalid("loss_type", "is not known"))?;
        if kind.needs_cap && raw.epsilon_high.is_none() {
            let problem = format!("must be given for loss_type {}: the cap of the ratio, such as 5", kind.variant.id);
            return Err(settings.invalid("epsilon_high", problem));
        }
        Grpo::of_kind(settings, raw, kind)
    }

    /// With the geometric mean of ratios.
    pub(super) fn geometric_mean(settings: &Hyperparameters) -> Result<Self, Error> {
        Grpo::of_kind(settings, settings.typed()?, &GEOMETRIC_MEAN)
    }

    fn of_kind(settings: &Hyperparameters, raw: Raw, kind: &'static GrpoLoss) -> Result<Self, Error> {
        if raw.beta == 0.0 {
            reference::unasked(settings, "beta")?;
        }
        let limits = raw.limits();
        Ok(Grpo { rewarded: Rewarded::new(settings)?, raw, kind, limits, entropies: Entropies::default() })
    }

    /// Whether entropies of the whole step decide what is learned from.
    fn selects(&self) -> bool {
        self.raw.top_entropy_quantile < 1.0
    }

    /// What makes a completion likelier or less likely.
    fn policy(&self, completion: &Completion<'_>) -> Found {
        let ratios = completion.ratios;
        let away = -ratios.iter().sum::<f64>() / ratios.len().max(1) as f64;
        match self.raw.off_policy_mask_threshold {
            Some(threshold) if completion.advantage < 0.0 && away > threshold => {
                Found { slopes: vec![0.0; ratios.len()], ..Found::default() }
            }
            _ => (self.kind.learn)(completion, &self.limits),
        }
    }

    /// The distance to the reference, its slopes by token, and what it is where nothing is weighed.
    fn distance(&self, completion: &Completion<'_>, member: &Member) -> (f64, Vec<f64>, f64) {
        let (ratios, length) = (completion.ratios, completion.ratios.len().max(1) as f64);
        let (corrected, mean) = (self.raw.use_bias_correction_kl, ratios.iter().sum::<f64>() / length);
        let (mut sum, mut plain, mut shared, mut slopes) = (0.0, 0.0, 0.0, Vec::with_capacity(ratios.len()));
        for ((&ratio, &logp), &reference) in ratios.iter().zip(completion.logps).zip(&member.reference) {
            let (distance, slope) = k3(f64::from(logp), f64::from(reference));
            let ratio = if completion.by_sequence { mean } else { ratio };
            let weight = if corrected { ratio.exp() } else { 1.0 };
            // What the weight's own slope adds.
            let own = if corrected { weight * distance } else { 0.0 };
            (sum, plain) = (sum + weight * distance, plain + distance);
            shared += if completion.by_sequence { own / length } else { 0.0 };
            slopes.push(weight * slope + if completion.by_sequence { 0.0 } else { own });
        }
        slopes.iter_mut().for_each(|slope| *slope += shared);
        (sum, slopes, plain)
    }
}

impl Objective for Grpo {
    fn rewarded(&self) -> Option<&Rewarded> {
        Some(&self.rewarded)
    }

    fn needs_reference(&self) -> bool {
        self.raw.beta > 0.0
    }

    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        prompts: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        let mut groups = self.rewarded.sample(collector, &prompts)?;
        let all: Vec<f64> = groups.iter().flat_map(|group| &group.members).filter_map(|m| m.reward).collect();
        for group in &mut groups {
            let own: Vec<f64> = group.members.iter().filter_map(|member| member.reward).collect();
            let (mean, deviation) = mean_and_deviation(&own);
            let scale = match self.raw.scale_rewards {
                Scale::Group => deviation + EPSILON,
                Scale::Batch => mean_and_deviation(&all).1 + EPSILON,
                Scale::None => 1.0,
            };
            for member in &mut group.members {
                member.advantage = member.reward.map(|reward| (reward - mean) / scale);
            }
            policy::mask_truncated(&mut group.members, &self.rewarded.rollouts);
        }
        let groups = groups.into_iter().map(Cow::Owned).collect();
        if self.needs_reference() { collector.referenced(groups) } else { Ok(groups) }
    }

    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        let lengths = || groups.iter().flat_map(|group| &group.members).map(|member| member.sampled.len());
        let completions = lengths().filter(|&length| length > 0).count();
        (self.kind.total)(completions, lengths().sum(), self.rewarded.rollouts.sampling.max_completion_length)
    }

    fn needs_whole_step(&self) -> bool {
        self.selects()
    }

    fn survey_entropies(&mut self, entropies: &[Vec<f32>]) {
        self.entropies = Entropies::of(entropies, self.raw.top_entropy_quantile);
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let tokens = || step.groups.iter().flat_map(|group| &group.members).map(|member| member.sampled.len());
        let learned = if self.selects() { self.entropies.kept } else { tokens().sum::<usize>() as f64 };
        let bonus = self.raw.entropy_coef * step.total / learned.max(1.0);
        let (mut sum, mut by_logp, mut by_entropy) = (0.0, Vec::new(), Vec::new());
        for (index, member) in step.groups[micro].iter().flat_map(|group| &group.members).enumerate() {
            let (logps, entropies) = (said.logps(index), said.of(index, &said.output.entropy));
            let ratios = log_ratios(&logps, member);
            let keeps = |&entropy: &f32| f64::from(entropy) >= self.entropies.threshold;
            let kept: Vec<bool> = if self.selects() { entropies.iter().map(keeps).collect() } else { Vec::new() };
            let completion = Completion {
                ratios: &ratios,
                logps: &logps,
                advantage: member.advantage.unwrap_or(0.0),
                by_sequence: self.raw.importance_sampling_level == Level::Sequence,
                kept: &kept,
            };
            let mut found = self.policy(&completion);
            if self.needs_reference() {
                let (distance, slopes, plain) = self.distance(&completion, member);
                found.sum += self.raw.beta * distance;
                found.slopes.iter_mut().zip(slopes).for_each(|(all, slope)| *all += self.raw.beta * slope);
                metrics.add("kl", plain, ratios.len() as f64);
            }
            let weight = (self.kind.token)(ratios.len());
            let undecided = |t: usize| if completion.keeps(t) { bonus } else { 0.0 };
            let bonuses: Vec<f64> = (0..ratios.len()).map(|t| -undecided(t)).collect();
            sum += weight * found.sum;
            sum += bonuses.iter().zip(&entropies).map(|(bonus, &entropy)| bonus * f64::from(entropy)).sum::<f64>();
            measure(metrics, said, index, &ratios);
            measure_clipped(metrics, found.cut, ratios.len() as f64);
            by_logp.push(found.slopes.into_iter().map(|slope| weight * slope).collect());
            by_entropy.push(bonuses);
        }
        let factor = 1.0 / step.total.max(1.0);
        let entropies = if bonus > 0.0 { said.spread(&by_entropy, factor) } else { Vec::new() };
        Slopes { sum, logps: said.spread(&by_logp, factor), entropies, ..Slopes::default() }
    }

    fn state(&self) -> Value {
        self.rewarded.state()
    }

    fn restore(&mut self, state: &Value) -> Result<(), String> {
        self.rewarded.restore(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;
    use crate::sequence::Sequence;
    use serde_json::json;

    fn grpo(more: Value) -> Grpo {
        let mut given = json!({"reward_funcs": "length"}).as_object().unwrap().clone();
        given.extend(more.as_object().unwrap().clone());
        Grpo::new(&Settings::resolve(&METHOD, &given).unwrap()).unwrap()
    }

    #[test]
    fn slopes_of_the_distance_are_central_differences() {
        let sampled = vec![-1.0f32, -0.5, -2.0];
        let member = Member {
            reference: vec![-1.3, -0.2, -2.5],
            sampled: sampled.clone(),
            ..Member::new(Sequence::completion(&[0], &[1, 2, 3]))
        };
        for given in
            [json!({}), json!({"importance_sampling_level": "sequence"}), json!({"use_bias_correction_kl": false})]
        {
            let mut all = json!({"beta": 0.1});
            all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
            let grpo = grpo(all);
            let by_sequence = grpo.raw.importance_sampling_level == Level::Sequence;
            let of = |logps: &[f32]| {
                let ratios = log_ratios(logps, &member);
                let completion = Completion { ratios: &ratios, logps, advantage: 0.0, by_sequence, kept: &[] };
                grpo.distance(&completion, &member)
            };
            let now = [-1.125f32, -0.625, -1.75];
            for t in 0..now.len() {
                let moved = |by: f32| {
                    let mut moved = now;
                    moved[t] += by;
                    of(&moved).0
                };
                let (h, slope) = (1.0 / 1024.0, of(&now).1[t]);
                let numeric = (moved(h) - moved(-h)) / (2.0 * f64::from(h));
                assert!((slope - numeric).abs() < 1e-6, "{given} {t}: {slope} {numeric}");
            }
        }
    }

    #[test]
    fn completions_that_the_policy_left_are_not_pushed_further() {
        let grpo = grpo(json!({"off_policy_mask_threshold": 0.5}));
        let of = |advantage: f64, ratio: f64| {
            let completion = Completion { ratios: &[ratio], logps: &[-1.0], advantage, by_sequence: false, kept: &[] };
            grpo.policy(&completion).sum
        };
        assert_eq!((of(-1.0, -0.6), of(-1.0, -0.1) > 0.0, of(1.0, -0.6) < 0.0), (0.0, true, true));
    }
}
