//! Supervised fine-tuning: cross-entropy or another of [`crate::token_losses`] on the supervised tokens.
//!
//! The loss is the mean over all supervised tokens of the optimizer's batch, however it is cut into micro-batches. With
//! `packing` a batch row is a pack of examples of up to `max_length` tokens together; in a token tree they do not see each
//! other, so packing changes what is computed at once and nothing else.

use crate::forest::{Forest, Sequence};
use crate::method::{DataShape, Method};
use crate::objective::{Context, Loss, Objective};
use crate::parameter::{Kind, Parameter};
use crate::token_losses::{self, TokenLoss};
use crate::{Error, Example, Metrics, Settings};
use serde::Deserialize;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "sft",
    names: &["supervised", "instruction-tuning"],
    title: "Supervised fine-tuning",
    paper: "arXiv:2203.02155",
    doc: "Cross-entropy on completions, on assistant turns, or on all tokens of a text.",
    data: &[DataShape::PromptCompletion, DataShape::LanguageModelling],
    needs_reference: false,
    needs_score_head: false,
    parameters: &[
        Parameter {
            name: "completion_only_loss",
            kind: Kind::Boolean,
            default: "null",
            range: None,
            doc: "Learn from completions alone; where null, so for prompt-completion rows, and from all tokens of others.",
        },
        Parameter {
            name: "assistant_only_loss",
            kind: Kind::Boolean,
            default: "false",
            range: None,
            doc: "Learn from assistant turns alone; for rows of messages.",
        },
        Parameter {
            name: "packing",
            kind: Kind::Boolean,
            default: "false",
            range: None,
            doc: "Fill batch rows with several examples (best fit decreasing), up to max_length tokens; exact.",
        },
        Parameter {
            name: "loss_type",
            kind: Kind::Choice(token_losses::KIND_IDS),
            default: "\"nll\"",
            range: None,
            doc: "Cross-entropy (nll, or chunked_nll, which is the same here), or dynamic fine-tuning (dft), which weighs each token by its probability.",
        },
    ],
    overrides: &[("learning_rate", "2e-5")],
    metrics: &["entropy", "mean_token_accuracy"],
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct SftSettings {
    pub(crate) completion_only_loss: Option<bool>,
    pub(crate) assistant_only_loss: bool,
    pub(crate) packing: bool,
    loss_type: String,
}

impl SftSettings {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Error> {
        let sft: SftSettings = settings.typed()?;
        if sft.packing && settings.training.max_length.is_none() {
            return Err(settings.invalid("packing", "needs max_length, to which packs are filled"));
        }
        Ok(sft)
    }

    /// The loss of each token.
    pub(crate) fn loss(&self) -> &'static TokenLoss {
        token_losses::kind(&self.loss_type).unwrap_or(&token_losses::KINDS[0])
    }
}

/// The examples at hand, in batch rows.
#[derive(Debug)]
pub(crate) struct Sft<'a> {
    examples: &'a [Example],
    sequences: Vec<&'a Sequence>,
    units: Vec<Vec<usize>>,
    loss: &'static TokenLoss,
}

impl<'a> Sft<'a> {
    /// `pack_tokens`: fill batch rows up to so many tokens.
    pub(crate) fn new(examples: &'a [Example], pack_tokens: Option<usize>, loss: &'static TokenLoss) -> Self {
        let sequences: Vec<&Sequence> = examples.iter().map(Example::first).collect();
        let units = match pack_tokens {
            None => (0..sequences.len()).map(|index| vec![index]).collect(),
            Some(limit) => best_fit_decreasing(&sequences.iter().map(|s| s.ids.len()).collect::<Vec<_>>(), limit),
        };
        Sft { examples, sequences, units, loss }
    }

    fn of(&self, units: &[usize]) -> Vec<&'a Sequence> {
        units.iter().flat_map(|&unit| &self.units[unit]).map(|&index| self.sequences[index]).collect()
    }
}

impl Objective for Sft<'_> {
    fn units(&self) -> usize {
        self.units.len()
    }

    fn places(&self, unit: usize) -> Vec<String> {
        self.units[unit].iter().map(|&index| self.examples[index].place.clone()).collect()
    }

    fn tokens(&self, unit: usize) -> usize {
        self.units[unit].iter().map(|&index| self.sequences[index].ids.len()).sum()
    }

    fn batch(&self, context: &mut Context, units: &[usize]) -> Result<Loss, Error> {
        let total: usize = self.of(units).iter().map(|sequence| sequence.scored_count()).sum();
        let mut sum = 0.0;
        for (number, micro) in units.chunks(context.micro).enumerate() {
            let forest = Forest::new(&self.of(micro));
            let scored = forest.forward(context.model, context.tape(), context.policy(number))?;
            let counts = slot_counts(&forest, micro_len(self, micro));
            measure(context.metrics, &forest, scored.output(), &counts);
            let logps = scored.output().logp.iter().map(|&logp| (self.loss.evaluate)(f64::from(logp)));
            let losses: Vec<(f64, f64)> = logps.collect();
            let counted = || counts.iter().map(|&count| f64::from(count)).zip(&losses);
            sum += counted().map(|(count, (value, _))| count * value).sum::<f64>();
            if let Some(gradients) = context.gradients.as_deref_mut() {
                let d_logp = counted().map(|(count, (_, slope))| (slope * (count / total as f64)) as f32);
                let d_logp: Vec<f32> = d_logp.collect();
                scored.backward(&d_logp, gradients);
            }
        }
        Ok(Loss { value: sum / total.max(1) as f64, weight: total as f64 })
    }

    fn loss_at_start(&self, _: &[usize]) -> Option<f64> {
        None
    }
}

fn micro_len(sft: &Sft, micro: &[usize]) -> usize {
    micro.iter().map(|&unit| sft.units[unit].len()).sum()
}

/// How many of the first `sequences` sequences use each slot.
fn slot_counts(forest: &Forest, sequences: usize) -> Vec<u32> {
    let mut counts = vec![0; forest.slot_count()];
    for sequence in 0..sequences {
        forest.slots(sequence).iter().for_each(|&slot| counts[slot as usize] += 1);
    }
    counts
}

/// Adds the metrics of a micro-batch.
fn measure(metrics: &mut Metrics, forest: &Forest, output: &groma_kernels::HeadOutput, counts: &[u32]) {
    let weight: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let sum = |values: &dyn Fn(usize) -> f64| -> f64 {
        counts.iter().enumerate().map(|(slot, &count)| f64::from(count) * values(slot)).sum()
    };
    metrics.add("entropy", sum(&|slot| f64::from(output.entropy[slot])), weight);
    let right = |slot: usize| f64::from(u8::from(output.argmax[slot] == forest.target(slot)));
    metrics.add("mean_token_accuracy", sum(&right), weight);
}

/// Packs items of these sizes into bins of at most `limit`: largest first, each into the fullest bin that still takes it.
/// Items in a bin, and bins, are in the order of their first item.
fn best_fit_decreasing(sizes: &[usize], limit: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.sort_by_key(|&item| std::cmp::Reverse(sizes[item]));
    let mut bins: Vec<Vec<usize>> = Vec::new();
    let mut free: std::collections::BTreeSet<(usize, usize)> = std::collections::BTreeSet::new();
    for item in order {
        let found = free.range((sizes[item], 0)..).next().copied();
        let (room, bin) = found.unwrap_or_else(|| {
            bins.push(Vec::new());
            (limit.max(sizes[item]), bins.len() - 1)
        });
        free.remove(&(room, bin));
        free.insert((room - sizes[item], bin));
        bins[bin].push(item);
    }
    bins.iter_mut().for_each(|bin| bin.sort_unstable());
    bins.sort_unstable();
    bins
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packs_are_tight_and_keep_every_item() {
        assert_eq!(best_fit_decreasing(&[3, 5, 2, 4, 6], 10), vec![vec![0, 1, 2], vec![3, 4]]);
        assert_eq!(best_fit_decreasing(&[12, 1], 10), vec![vec![0], vec![1]]);
        assert!(best_fit_decreasing(&[], 4).is_empty());
    }
}
