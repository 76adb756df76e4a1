//! Direct preference optimisation and its relatives: the losses of [`crate::losses`] on chosen and rejected completions.
//!
//! The loss is the mean over the pairs of the optimizer's batch, however it is cut into micro-batches. Where a kind sorts
//! over the batch, all log-probabilities are computed once before the gradients.

use crate::group::Group;
use crate::losses::{self, Combination, Divergence, Evaluate, LossKind, LossParameters, Pair, PairResult, Totals};
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range};
use crate::role::Role;
use crate::training::OneOrMany;
use crate::{Error, Hyperparameters, Metrics, moving, reference};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range as Span;

const DIVERGENCES: &[&str] = &["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"];

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "dpo",
    names: &["direct-preference-optimisation", "cdpo", "ipo", "preference"],
    title: "Direct preference optimisation",
    paper: "arXiv:2305.18290",
    doc: "Moves the log-probabilities of chosen and rejected completions apart, relative to a frozen reference.",
    data: &[Shape::Preference],
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
                doc: "Strength of the pull towards the reference (τ of IPO).",
            },
            Parameter {
                name: "loss_type",
                kind: Kind::Variants(losses::VARIANTS),
                default: "[\"sigmoid\"]",
                range: None,
                doc: "Kind or kinds of loss.",
            },
            Parameter {
                name: "loss_weights",
                kind: Kind::Floats,
                default: "null",
                range: Some(Range::at_least(0.0)),
                doc: "Weight of each kind; 1 each where null.",
            },
            Parameter {
                name: "f_divergence_type",
                kind: Kind::Choice(DIVERGENCES),
                default: "\"reverse_kl\"",
                range: None,
                doc: "Divergence from the reference that is regularised (f-DPO).",
            },
            Parameter {
                name: "f_alpha_divergence_coef",
                kind: Kind::Float,
                default: "0.5",
                range: None,
                doc: "α of alpha_divergence.",
            },
            Parameter {
                name: "ld_alpha",
                kind: Kind::Float,
                default: "null",
                range: Some(Range::closed(0.0, 1.0)),
                doc: "Weight of tokens beyond the shorter completion's length (LD-DPO); 1 each where null.",
            },
            Parameter {
                name: "use_weighting",
                kind: Kind::Boolean,
                default: "false",
                range: None,
                doc: "Weigh each pair by how likely the policy would have written both completions itself (WPO).",
            },
        ],
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: &[METRICS],
    masks: |_| Ok(Masks::default()),
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Dpo::new(settings)?)),
};

/// The shape of rewards of kinds without a reference.
pub(super) const ALPHA: Parameter = Parameter {
    name: "alpha",
    kind: Kind::Float,
    default: "0.0",
    range: None,
    doc: "AlphaPO: rewards are (1 - p^-alpha) / alpha of the probability that the kind reads, and its logarithm at 0.",
};

/// What losses of pairs log.
pub(super) const METRICS: &[&str] = &[
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
    "logits/chosen",
    "logits/rejected",
    "entropy",
    "mean_token_accuracy",
];

#[derive(Deserialize)]
struct Raw {
    beta: f64,
    loss_type: OneOrMany<String>,
    loss_weights: Option<Vec<f64>>,
    f_divergence_type: String,
    f_alpha_divergence_coef: f64,
    ld_alpha: Option<f64>,
    use_weighting: bool,
}

/// Values of the parameters above, with the loss they make.
#[derive(Clone, Debug)]
pub(super) struct Dpo {
    pub(super) combination: Combination,
    /// Whether there is a reference; else it says 0 of everything.
    reference: bool,
    ld_alpha: Option<f64>,
    use_weighting: bool,
    /// Results of all pairs of a step, for kinds of loss that cannot do with less.
    whole: Vec<PairResult>,
}

impl Dpo {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        let combination = combination(settings, &raw)?;
        check_divergence(settings, &raw, &combination)?;
        check_weighting(settings, &raw, &combination)?;
        reference::precompute(settings)?;
        let (ld_alpha, use_weighting) = (raw.ld_alpha, raw.use_weighting);
        Ok(Dpo { combination, reference: true, ld_alpha, use_weighting, whole: Vec::new() })
    }

    /// DPO's own loss, and nothing beside it.
    pub(super) fn plain(beta: f64) -> Option<Self> {
        let terms = vec![(losses::kind("sigmoid")?, 1.0)];
        let parameters = LossParameters { beta, ..LossParameters::default() };
        let combination = Combination { terms, parameters, divergence: Divergence::ReverseKl, by_token: false };
        Some(Dpo { combination, reference: true, ld_alpha: None, use_weighting: false, whole: Vec::new() })
    }

    /// A kind of [`losses::REFERENCE_FREE`] with the settings' `beta`, and cross-entropy on chosen completions of that weight.
    pub(super) fn reference_free(settings: &Hyperparameters, loss_type: &str, supervised: f64) -> Result<Self, Error> {
        let beta = settings.values.get("beta").and_then(serde_json::Value::as_f64).unwrap_or(1.0);
        let unknown = || settings.invalid("loss_type", format!("has unknown {loss_type}"));
        let free = losses::reference_free(loss_type).ok_or_else(unknown)?;
        let cross_entropy = losses::kind("sft").map(|kind| (kind, supervised)).filter(|_| supervised > 0.0);
        let terms: Vec<(&LossKind, f64)> = std::iter::once((&free.kind, 1.0)).chain(cross_entropy).collect();
        let parameters = LossParameters { beta, own: own(settings, &terms)? };
        let alpha = settings.values.get(ALPHA.name).and_then(serde_json::Value::as_f64).unwrap_or(0.0);
        let divergence = if alpha == 0.0 { Divergence::ReverseKl } else { Divergence::Alpha(1.0 - alpha) };
        let combination = Combination { terms, parameters, divergence, by_token: free.by_token };
        Ok(Dpo { combination, reference: false, ld_alpha: None, use_weighting: false, whole: Vec::new() })
    }

    /// Pairs from the log-probabilities of their members' tokens.
    pub(super) fn pairs(&self, groups: &[Cow<'_, Group>], logps: &[Vec<f32>]) -> Vec<Pair> {
        let pair = |(group, logps): (&Cow<'_, Group>, &[Vec<f32>])| {
            self.pair([&logps[0], &logps[1]], [0, 1].map(|side| &group.members[side].reference[..]))
        };
        groups.iter().zip(logps.chunks_exact(2)).map(pair).collect()
    }

    /// A pair from what the policy and the reference say of the tokens of both sides.
    pub(super) fn pair(&self, policy: [&[f32]; 2], reference: [&[f32]; 2]) -> Pair {
        let [policy_chosen, policy_rejected] = sums(policy, self.ld_alpha);
        let [reference_chosen, reference_rejected] = sums(reference, self.ld_alpha);
        Pair {
            policy_chosen,
            policy_rejected,
            reference_chosen,
            reference_rejected,
            chosen_plain: policy[0].iter().map(|&logp| f64::from(logp)).sum(),
            chosen_tokens: policy[0].len(),
            rejected_tokens: policy[1].len(),
        }
    }

    /// Slopes by member and token.
    pub(super) fn slopes(&self, result: &PairResult, [chosen, rejected]: [usize; 2]) -> [Vec<f64>; 2] {
        let shared = chosen.min(rejected);
        let weight = |index| token_weight(index, shared, self.ld_alpha);
        let loss = &result.loss;
        [
            (0..chosen).map(|index| loss.d_chosen * weight(index) + loss.d_chosen_plain).collect(),
            (0..rejected).map(|index| loss.d_rejected * weight(index)).collect(),
        ]
    }
}

impl Objective for Dpo {
    fn reads(&self) -> Reads {
        Reads::Tokens { temperature: 1.0, half_temperature: self.use_weighting }
    }

    fn needs_reference(&self) -> bool {
        self.reference
    }

    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        groups.len() as f64
    }

    fn needs_whole_step(&self) -> bool {
        self.combination.needs_whole_batch()
    }

    fn survey(&mut self, step: Step<'_>, logps: &[Vec<f32>]) {
        self.whole = self.combination.evaluate(&self.pairs(step.groups, logps), &totals(step.groups));
    }

    fn loss(&mut self, step: Step<'_>, micro: Span<usize>, said: &Said<'_>, metrics: &mut Metrics) -> Slopes {
        let groups = &step.groups[micro.clone()];
        let logps: Vec<Vec<f32>> = (0..2 * groups.len()).map(|member| said.logps(member)).collect();
        let pairs = self.pairs(groups, &logps);
        let mut results = match self.needs_whole_step() {
            true => self.whole[micro].to_vec(),
            false => self.combination.evaluate(&pairs, &totals(step.groups)),
        };
        if let Some(half) = said.half {
            weigh(&mut results, said, half);
        }
        measure_pairs(metrics, &pairs, &results, self.combination.by_token);
        (0..2 * groups.len()).for_each(|member| measure_side(metrics, said, member, SIDES[member % 2]));
        let slopes =
            |(result, logps): (&PairResult, &[Vec<f32>])| self.slopes(result, [logps[0].len(), logps[1].len()]);
        let slopes: Vec<Vec<f64>> = results.iter().zip(logps.chunks_exact(2)).flat_map(slopes).collect();
        let sum = results.iter().map(|result| result.loss.value).sum();
        Slopes { sum, logps: said.spread(&slopes, 1.0 / step.total), ..Slopes::default() }
    }

    fn loss_at_start(&self, _: &[Cow<'_, Group>]) -> Option<f64> {
        if self.use_weighting || !self.reference { None } else { self.combination.at_reference() }
    }
}

/// Sizes of an optimizer step.
pub(super) fn totals(groups: &[Cow<'_, Group>]) -> Totals {
    let chosen = groups.iter().filter_map(|group| group.sequences().next());
    Totals { pairs: groups.len(), chosen_tokens: chosen.map(|sequence| sequence.scored_count()).sum() }
}

fn combination(settings: &Hyperparameters, raw: &Raw) -> Result<Combination, Error> {
    let kinds = raw.loss_type.as_slice();
    let ones = vec![1.0; kinds.len()];
    let weights = raw.loss_weights.as_ref().unwrap_or(&ones);
    if weights.len() != kinds.len() {
        return Err(settings.invalid("loss_weights", format!("loss_type has {} kinds", kinds.len())));
    }
    let find = |id: &String| losses::kind(id).ok_or_else(|| settings.invalid("loss_type", format!("has unknown {id}")));
    let terms = kinds.iter().zip(weights).map(|(id, weight)| Ok((find(id)?, *weight)));
    let terms: Vec<(&LossKind, f64)> = terms.collect::<Result<_, Error>>()?;
    let parameters = LossParameters { beta: raw.beta, own: own(settings, &terms)? };
    let divergence = match raw.f_divergence_type.as_str() {
        "forward_kl" => Divergence::ForwardKl,
        "js_divergence" => Divergence::JensenShannon,
        "alpha_divergence" => Divergence::Alpha(raw.f_alpha_divergence_coef),
        _ => Divergence::ReverseKl,
    };
    Ok(Combination { terms, parameters, divergence, by_token: false })
}

fn check_divergence(settings: &Hyperparameters, raw: &Raw, combination: &Combination) -> Result<(), Error> {
    let refused = combination.terms.iter().find(|(kind, _)| !kind.divergences);
    match refused {
        Some((kind, _)) if combination.divergence != Divergence::ReverseKl => {
            Err(settings.invalid("f_divergence_type", format!("loss_type {} knows reverse_kl alone", kind.id)))
        }
        _ if settings.was_given("f_alpha_divergence_coef") && raw.f_divergence_type != "alpha_divergence" => {
            Err(settings.invalid("f_alpha_divergence_coef", "is read with f_divergence_type alpha_divergence alone"))
        }
        _ => Ok(()),
    }
}

/// A weight a pair means nothing to losses that look at all pairs or tokens of a batch together.
fn check_weighting(settings: &Hyperparameters, raw: &Raw, combination: &Combination) -> Result<(), Error> {
    let together = |kind: &LossKind| !matches!(kind.evaluate, Evaluate::Pair(_));
    match combination.terms.iter().find(|(kind, _)| together(kind)) {
        Some((kind, _)) if raw.use_weighting => {
            Err(settings.invalid("use_weighting", format!("loss_type {} has no loss of each pair to weigh", kind.id)))
        }
        _ => Ok(()),
    }
}

/// What the kinds' own hyperparameters are.
fn own(settings: &Hyperparameters, terms: &[(&LossKind, f64)]) -> Result<BTreeMap<&'static str, f64>, Error> {
    let mut own = BTreeMap::new();
    for (kind, parameter) in terms.iter().flat_map(|(kind, _)| kind.parameters.iter().map(move |p| (kind, p))) {
        let value = settings.values.get(parameter.name).and_then(serde_json::Value::as_f64);
        let missing = || settings.invalid(parameter.name, format!("loss_type {} needs it: {}", kind.id, parameter.doc));
        own.insert(parameter.name, value.ok_or_else(missing)?);
    }
    Ok(own)
}

/// Weight of the `index`-th token of a completion, given the length of the shorter one (LD-DPO, arXiv 2409.06411).
fn token_weight(index: usize, shared: usize, ld_alpha: Option<f64>) -> f64 {
    if index < shared { 1.0 } else { ld_alpha.unwrap_or(1.0) }
}

/// Weighted sums over the tokens of both completions, in f64.
fn sums(logps: [&[f32]; 2], ld_alpha: Option<f64>) -> [f64; 2] {
    let shared = logps[0].len().min(logps[1].len());
    let weighted = |(index, &logp): (usize, &f32)| token_weight(index, shared, ld_alpha) * f64::from(logp);
    logps.map(|logps| logps.iter().enumerate().map(weighted).sum())
}

/// Multiplies the losses of pairs with their weights, from the log-probabilities at temperatures 1 and 1/2.
fn weigh(results: &mut [PairResult], said: &Said<'_>, half: &[f32]) {
    let alignment = |member: usize| {
        let (half, logp) = (said.of(member, half), said.logps(member));
        half.into_iter().zip(logp).map(|(half, logp)| f64::from(half) - f64::from(logp))
    };
    for (pair, result) in results.iter_mut().enumerate() {
        result.loss.scale(losses::weight(alignment(2 * pair), alignment(2 * pair + 1)));
    }
}

/// Logs what a loss makes of pairs.
pub(super) fn measure_pairs(metrics: &mut Metrics, pairs: &[Pair], results: &[PairResult], by_token: bool) {
    for (pair, result) in pairs.iter().zip(results) {
        let per = |tokens: usize| if by_token { tokens.max(1) as f64 } else { 1.0 };
        let chosen = result.chosen_reward / per(pair.chosen_tokens);
        let rejected = result.rejected_reward / per(pair.rejected_tokens);
        let margin = chosen - rejected;
        metrics.add("rewards/chosen", chosen, 1.0);
        metrics.add("rewards/rejected", rejected, 1.0);
        metrics.add("rewards/margins", margin, 1.0);
        metrics.add("rewards/accuracies", f64::from(u8::from(margin > 0.0)), 1.0);
        metrics.add("logps/chosen", pair.policy_chosen, 1.0);
        metrics.add("logps/rejected", pair.policy_rejected, 1.0);
    }
}

/// The sides of a pair, by their names in metrics.
pub(super) const SIDES: [&str; 2] = ["chosen", "rejected"];

/// Logs what the policy says of the tokens of a pair's side.
pub(super) fn measure_side(metrics: &mut Metrics, said: &Said<'_>, member: usize, side: &str) {
    let (forest, output) = (said.forest, said.output);
    let slots = forest.slots(member);
    let sum = |values: &[f32]| slots.iter().map(|&slot| f64::from(values[slot as usize])).sum::<f64>();
    let count = slots.len() as f64;
    metrics.add("entropy", sum(&output.entropy), count);
    metrics.add(&format!("logits/{side}"), sum(&output.mean_logit), count);
    if side == SIDES[0] {
        let right = |&&slot: &&u32| output.argmax[slot as usize] == forest.target(slot as usize);
        metrics.add("mean_token_accuracy", slots.iter().filter(right).count() as f64, count);
    }
}
