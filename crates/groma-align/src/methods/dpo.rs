//! Direct preference optimisation and its relatives: the losses of [`crate::losses`] on chosen and rejected completions.
//!
//! The loss is the mean over the pairs of the optimizer's batch, however it is cut into micro-batches. Where a kind sorts
//! over the batch, all log-probabilities are computed once before the gradients.

use crate::forest::{Forest, Run, Sequence};
use crate::losses::{
    self, Combination, Divergence, Evaluate, LossKind, LossParameters, Pair, PairResult, Smoothing, Totals,
};
use crate::method::{DataShape, Method};
use crate::objective::{Context, Loss, Objective, plain};
use crate::parameter::{Kind, Parameter, Range};
use crate::polarity::{Polarity, sides, telling};
use crate::reference::{PairLogps, References};
use crate::training::OneOrMany;
use crate::{Error, Example, Metrics, Settings};
use groma_kernels::{HeadOutput, Tape};
use groma_model::Transformer;
use serde::Deserialize;

const DIVERGENCES: &[&str] = &["reverse_kl", "forward_kl", "js_divergence", "alpha_divergence"];

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "dpo",
    names: &["direct-preference-optimisation", "cdpo", "ipo", "preference"],
    title: "Direct preference optimisation",
    paper: "arXiv:2305.18290",
    doc: "Moves the log-probabilities of chosen and rejected completions apart, relative to a frozen reference.",
    data: &[DataShape::Preference],
    needs_reference: true,
    needs_score_head: false,
    parameters: &[
        Parameter {
            name: "beta",
            kind: Kind::Float,
            default: "0.1",
            range: Some(Range::above(0.0)),
            doc: "Strength of the pull towards the reference (τ of IPO).",
        },
        Parameter {
            name: "loss_type",
            kind: Kind::Choices(losses::KIND_IDS),
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
            name: "label_smoothing",
            kind: Kind::Float,
            default: "0.0",
            range: Some(Range::half_open(0.0, 0.5)),
            doc: "Share of labels taken to be wrong: conservative DPO for sigmoid, the noise rate for robust, ε of EXO.",
        },
        Parameter {
            name: "discopop_tau",
            kind: Kind::Float,
            default: "0.05",
            range: Some(Range::above(0.0)),
            doc: "Temperature of DiscoPOP's gate.",
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
        Parameter {
            name: "precompute_ref_log_probs",
            kind: Kind::Boolean,
            default: "null",
            range: None,
            doc: "Reference log-probabilities once before training (true), or from the model without its adapter at each step (false); where null, whichever computes less.",
        },
    ],
    overrides: &[("learning_rate", "1e-6")],
    metrics: &[
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
    ],
};

/// Values of the parameters above, with the loss they make.
#[derive(Clone, Debug)]
pub(crate) struct DpoSettings {
    pub(crate) combination: Combination,
    pub(crate) ld_alpha: Option<f64>,
    pub(crate) use_weighting: bool,
    pub(crate) precompute: Option<bool>,
}

#[derive(Deserialize)]
struct Raw {
    beta: f64,
    loss_type: OneOrMany<String>,
    loss_weights: Option<Vec<f64>>,
    label_smoothing: f64,
    discopop_tau: f64,
    f_divergence_type: String,
    f_alpha_divergence_coef: f64,
    ld_alpha: Option<f64>,
    use_weighting: bool,
    precompute_ref_log_probs: Option<bool>,
}

impl DpoSettings {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let raw: Raw = settings.typed()?;
        let combination = combination(settings, &raw)?;
        check_divergence(settings, &raw, &combination)?;
        check_smoothing(settings, &combination)?;
        check_weighting(settings, &raw, &combination)?;
        if settings.was_given("discopop_tau") && !combination.terms.iter().any(|(kind, _)| kind.uses_tau) {
            return Err(settings.invalid("discopop_tau", "is read by loss_type discopop alone"));
        }
        if raw.precompute_ref_log_probs == Some(false) && settings.training.lora.is_none() {
            let problem = "without `lora` the reference is gone once training starts: leave it out, or set it to true";
            return Err(settings.invalid("precompute_ref_log_probs", problem));
        }
        let (ld_alpha, use_weighting) = (raw.ld_alpha, raw.use_weighting);
        Ok(DpoSettings { combination, ld_alpha, use_weighting, precompute: raw.precompute_ref_log_probs })
    }
}

fn combination(settings: &Settings, raw: &Raw) -> Result<Combination, Error> {
    let kinds = raw.loss_type.as_slice();
    let ones = vec![1.0; kinds.len()];
    let weights = raw.loss_weights.as_ref().unwrap_or(&ones);
    if weights.len() != kinds.len() {
        return Err(settings.invalid("loss_weights", format!("loss_type has {} kinds", kinds.len())));
    }
    let find = |id: &String| losses::kind(id).ok_or_else(|| settings.invalid("loss_type", format!("has unknown {id}")));
    let terms = kinds.iter().zip(weights).map(|(id, weight)| Ok((find(id)?, *weight))).collect::<Result<_, Error>>()?;
    let parameters =
        LossParameters { beta: raw.beta, label_smoothing: raw.label_smoothing, discopop_tau: raw.discopop_tau };
    let divergence = match raw.f_divergence_type.as_str() {
        "forward_kl" => Divergence::ForwardKl,
        "js_divergence" => Divergence::JensenShannon,
        "alpha_divergence" => Divergence::Alpha(raw.f_alpha_divergence_coef),
        _ => Divergence::ReverseKl,
    };
    Ok(Combination { terms, parameters, divergence })
}

fn check_divergence(settings: &Settings, raw: &Raw, combination: &Combination) -> Result<(), Error> {
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
fn check_weighting(settings: &Settings, raw: &Raw, combination: &Combination) -> Result<(), Error> {
    let together = |kind: &LossKind| !matches!(kind.evaluate, Evaluate::Pair(_));
    match combination.terms.iter().find(|(kind, _)| together(kind)) {
        Some((kind, _)) if raw.use_weighting => {
            Err(settings.invalid("use_weighting", format!("loss_type {} has no loss of each pair to weigh", kind.id)))
        }
        _ => Ok(()),
    }
}

/// Smoothing is applied or refused, never ignored.
fn check_smoothing(settings: &Settings, combination: &Combination) -> Result<(), Error> {
    let smoothing = combination.parameters.label_smoothing;
    let kinds = || combination.terms.iter().map(|(kind, _)| kind);
    if smoothing > 0.0 && kinds().all(|kind| kind.smoothing == Smoothing::Unused) {
        return Err(settings.invalid("label_smoothing", "the loss_type has no use for it: set it to 0"));
    }
    match kinds().find(|kind| kind.smoothing == Smoothing::Required) {
        Some(kind) if smoothing == 0.0 => {
            Err(settings.invalid("label_smoothing", format!("loss_type {} needs it above 0, such as 1e-3", kind.id)))
        }
        _ => Ok(()),
    }
}

/// Preference pairs at hand.
#[derive(Debug)]
pub(crate) struct Dpo<'a> {
    pub(crate) examples: &'a [Example],
    pub(crate) settings: &'a DpoSettings,
    pub(crate) references: &'a References,
}

impl Dpo<'_> {
    fn forest(&self, units: &[usize]) -> Forest {
        Forest::new(&units.iter().flat_map(|&unit| self.examples[unit].pair()).collect::<Vec<&Sequence>>())
    }

    /// Sizes of a batch.
    fn totals(&self, units: &[usize]) -> Totals {
        Totals {
            pairs: units.len(),
            chosen_tokens: units.iter().map(|&unit| self.examples[unit].first().scored_count()).sum(),
        }
    }

    /// The reference's log-probabilities of a micro-batch: known before, or from the model without its adapter.
    fn references(&self, model: &Transformer, forest: &Forest, units: &[usize]) -> Result<Vec<PairLogps>, Error> {
        match self.references {
            References::Known(known) => Ok(units.iter().map(|&unit| known[unit]).collect()),
            References::WithoutAdapter => {
                let scored = forest.forward(model, Tape::inference(model.backend().clone()), plain(false))?;
                Ok(pair_logps(forest, &scored.output().logp, units.len(), self.settings.ld_alpha))
            }
        }
    }

    fn pairs(&self, context: &Context, forest: &Forest, units: &[usize], logp: &[f32]) -> Result<Vec<Pair>, Error> {
        let references = self.references(context.model, forest, units)?;
        Ok(self.with_references(forest, logp, references))
    }

    fn with_references(&self, forest: &Forest, logp: &[f32], references: Vec<PairLogps>) -> Vec<Pair> {
        let policy = pair_logps(forest, logp, references.len(), self.settings.ld_alpha);
        let pair = |(index, (policy, reference)): (usize, (PairLogps, PairLogps))| Pair {
            policy_chosen: policy.chosen,
            policy_rejected: policy.rejected,
            reference_chosen: reference.chosen,
            reference_rejected: reference.rejected,
            chosen_plain: forest.slots(2 * index).iter().map(|&slot| f64::from(logp[slot as usize])).sum(),
            chosen_tokens: forest.slots(2 * index).len(),
            rejected_tokens: forest.slots(2 * index + 1).len(),
        };
        policy.into_iter().zip(references).enumerate().map(pair).collect()
    }

    /// How the loss changes as the rows' own chosen completions gain log-probability against the rejected ones.
    fn slope(&self, model: &Transformer, units: &[usize], exchanged: bool) -> Result<f64, Error> {
        let sequences = units.iter().flat_map(|&unit| sides(self.examples[unit].pair(), exchanged));
        let forest = Forest::new(&sequences.collect::<Vec<&Sequence>>());
        let scored = forest.forward(model, Tape::inference(model.backend().clone()), plain(true))?;
        let mut references = self.references(model, &forest, units)?;
        if let (true, References::Known(_)) = (exchanged, self.references) {
            references.iter_mut().for_each(|pair| std::mem::swap(&mut pair.chosen, &mut pair.rejected));
        }
        let pairs = self.with_references(&forest, &scored.output().logp, references);
        let results = self.settings.combination.evaluate(&pairs, &Totals::of(&pairs));
        let gradient = spread(&forest, &results, self.settings.ld_alpha, 1.0 / pairs.len() as f64);
        let sum = |sequence: usize| -> f64 {
            forest.slots(sequence).iter().map(|&slot| f64::from(gradient[slot as usize])).sum()
        };
        let along = |pair| sides([2 * pair, 2 * pair + 1], exchanged);
        Ok((0..pairs.len()).map(along).map(|[chosen, rejected]| sum(chosen) - sum(rejected)).sum())
    }

    /// Results of the whole batch, where the kind of loss cannot do with less.
    fn whole(&self, context: &Context, units: &[usize], totals: &Totals) -> Result<Option<Vec<PairResult>>, Error> {
        if units.len() <= context.micro || !self.settings.combination.needs_whole_batch() {
            return Ok(None);
        }
        let mut pairs = Vec::with_capacity(units.len());
        for (number, micro) in units.chunks(context.micro).enumerate() {
            let forest = self.forest(micro);
            let scored = forest.forward(context.model, context.inference(), context.policy(number))?;
            pairs.extend(self.pairs(context, &forest, micro, &scored.output().logp)?);
        }
        Ok(Some(self.settings.combination.evaluate(&pairs, totals)))
    }
}

impl Objective for Dpo<'_> {
    fn units(&self) -> usize {
        self.examples.len()
    }

    fn places(&self, unit: usize) -> Vec<String> {
        vec![self.examples[unit].place.clone()]
    }

    fn tokens(&self, unit: usize) -> usize {
        self.examples[unit].pair().iter().map(|sequence| sequence.ids.len()).sum()
    }

    fn batch(&self, context: &mut Context, units: &[usize]) -> Result<Loss, Error> {
        let totals = self.totals(units);
        let whole = self.whole(context, units, &totals)?;
        let mut sum = 0.0;
        for (number, micro) in units.chunks(context.micro).enumerate() {
            let forest = self.forest(micro);
            let run = Run { half_temperature: self.settings.use_weighting, ..context.policy(number) };
            let scored = forest.forward(context.model, context.tape(), run)?;
            let pairs = self.pairs(context, &forest, micro, &scored.output().logp)?;
            let mut results = match &whole {
                Some(all) => all[number * context.micro..][..micro.len()].to_vec(),
                None => self.settings.combination.evaluate(&pairs, &totals),
            };
            if let Some(half) = scored.half_temperature() {
                weigh(&mut results, &forest, &scored.output().logp, half);
            }
            sum += results.iter().map(|result| result.loss.value).sum::<f64>();
            measure_pairs(context.metrics, &pairs, &results);
            measure_tokens(context.metrics, &forest, scored.output(), micro.len());
            if let Some(gradients) = context.gradients.as_deref_mut() {
                let d_logp = spread(&forest, &results, self.settings.ld_alpha, 1.0 / totals.pairs as f64);
                scored.backward(&d_logp, gradients);
            }
        }
        Ok(Loss { value: sum / totals.pairs.max(1) as f64, weight: totals.pairs as f64 })
    }

    fn loss_at_start(&self, _: &[usize]) -> Option<f64> {
        let weighed = self.settings.use_weighting;
        if weighed { None } else { self.settings.combination.at_reference() }
    }

    fn polarity(&self, model: &Transformer, units: &[usize]) -> Result<Option<Polarity>, Error> {
        let units = &telling(self.examples, units);
        if units.is_empty() {
            return Ok(None);
        }
        let labelled = self.slope(model, units, false)?;
        Ok(Some(Polarity { labelled, exchanged: self.slope(model, units, true)? }))
    }
}

/// Weight of the `index`-th token of a completion, given the length of the shorter one (LD-DPO, arXiv 2409.06411).
fn token_weight(index: usize, shared: usize, ld_alpha: Option<f64>) -> f64 {
    if index < shared { 1.0 } else { ld_alpha.unwrap_or(1.0) }
}

/// Weighted sums over the completions of each pair, in f64.
pub(crate) fn pair_logps(forest: &Forest, logp: &[f32], pairs: usize, ld_alpha: Option<f64>) -> Vec<PairLogps> {
    let sum = |sequence: usize, shared: usize| -> f64 {
        let slots = forest.slots(sequence).iter().enumerate();
        slots.map(|(index, &slot)| token_weight(index, shared, ld_alpha) * f64::from(logp[slot as usize])).sum()
    };
    let shared = |pair: usize| forest.slots(2 * pair).len().min(forest.slots(2 * pair + 1).len());
    (0..pairs)
        .map(|pair| PairLogps { chosen: sum(2 * pair, shared(pair)), rejected: sum(2 * pair + 1, shared(pair)) })
        .collect()
}

/// Multiplies the losses of pairs with their weights, from the log-probabilities at temperatures 1 and 1/2.
fn weigh(results: &mut [PairResult], forest: &Forest, logp: &[f32], half: &[f32]) {
    let alignment = |sequence: usize| {
        forest.slots(sequence).iter().map(|&slot| f64::from(half[slot as usize]) - f64::from(logp[slot as usize]))
    };
    for (pair, result) in results.iter_mut().enumerate() {
        result.loss.scale(losses::weight(alignment(2 * pair), alignment(2 * pair + 1)));
    }
}

/// The gradient of each slot, times `factor`.
fn spread(forest: &Forest, results: &[PairResult], ld_alpha: Option<f64>, factor: f64) -> Vec<f32> {
    let mut gradient = vec![0.0f64; forest.slot_count()];
    for (pair, result) in results.iter().enumerate() {
        let (chosen, rejected) = (forest.slots(2 * pair), forest.slots(2 * pair + 1));
        let shared = chosen.len().min(rejected.len());
        for (index, &slot) in chosen.iter().enumerate() {
            let weighted = result.loss.d_chosen * token_weight(index, shared, ld_alpha);
            gradient[slot as usize] += weighted + result.loss.d_chosen_plain;
        }
        for (index, &slot) in rejected.iter().enumerate() {
            gradient[slot as usize] += result.loss.d_rejected * token_weight(index, shared, ld_alpha);
        }
    }
    gradient.into_iter().map(|value| (value * factor) as f32).collect()
}

fn measure_pairs(metrics: &mut Metrics, pairs: &[Pair], results: &[PairResult]) {
    for (pair, result) in pairs.iter().zip(results) {
        let margin = result.chosen_reward - result.rejected_reward;
        metrics.add("rewards/chosen", result.chosen_reward, 1.0);
        metrics.add("rewards/rejected", result.rejected_reward, 1.0);
        metrics.add("rewards/margins", margin, 1.0);
        metrics.add("rewards/accuracies", f64::from(u8::from(margin > 0.0)), 1.0);
        metrics.add("logps/chosen", pair.policy_chosen, 1.0);
        metrics.add("logps/rejected", pair.policy_rejected, 1.0);
    }
}

fn measure_tokens(metrics: &mut Metrics, forest: &Forest, output: &HeadOutput, pairs: usize) {
    for sequence in 0..2 * pairs {
        let slots = forest.slots(sequence);
        let sum = |values: &[f32]| slots.iter().map(|&slot| f64::from(values[slot as usize])).sum::<f64>();
        let count = slots.len() as f64;
        metrics.add("entropy", sum(&output.entropy), count);
        let side = if sequence % 2 == 0 { "logits/chosen" } else { "logits/rejected" };
        metrics.add(side, sum(&output.mean_logit), count);
        if sequence % 2 == 0 {
            let right = |&&slot: &&u32| output.argmax[slot as usize] == forest.target(slot as usize);
            metrics.add("mean_token_accuracy", slots.iter().filter(right).count() as f64, count);
        }
    }
}
