//! Supervised fine-tuning: cross-entropy or another of [`crate::token_losses`] on the supervised tokens.
//!
//! The loss is the mean over all supervised tokens of the optimizer's batch, however it is cut into micro-batches. With
//! `packing` a batch row is a pack of examples of up to `max_length` tokens together; in a token tree they do not see each
//! other, so packing changes what is computed at once and nothing else.

use crate::group::Group;
use crate::method::{Masks, Method};
use crate::objective::{Objective, Reads, Said, Slopes, Step};
use crate::parameter::{Kind, Parameter, Range};
use crate::token_losses::{self, TokenLoss};
use crate::{Error, Hyperparameters, Metrics};
use groma_data::Shape;
use groma_model::Head;
use serde::Deserialize;
use std::borrow::Cow;

/// The record.
pub(crate) const METHOD: Method = Method {
    id: "sft",
    names: &["supervised", "instruction-tuning"],
    title: "Supervised fine-tuning",
    paper: "arXiv:2203.02155",
    doc: "Cross-entropy on completions, on assistant turns, or on all tokens of a text.",
    data: &[Shape::PromptCompletion, Shape::LanguageModelling],
    roles: &[],
    heads: &[Head::UNEMBEDDING],
    parameters: &[&[
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
            name: "neftune_noise_alpha",
            kind: Kind::Float,
            default: "null",
            range: Some(Range::above(0.0)),
            doc: "Strength of uniform noise on embeddings in training (NEFTune), alpha / sqrt(tokens x width); 5 is usual, none where null.",
        },
        Parameter {
            name: "fcm_max_ratio",
            kind: Kind::Float,
            default: "0.0",
            range: Some(Range::closed(0.0, 1.0)),
            doc: "Forgetful causal masking in training: of each text, a share of tokens drawn up to this is not attended to by what follows; 0.05 with chain of hindsight.",
        },
        Parameter {
            name: "loss_type",
            kind: Kind::Variant(token_losses::VARIANTS),
            default: "\"nll\"",
            range: None,
            doc: "Cross-entropy (nll, or chunked_nll, which is the same here), or dynamic fine-tuning (dft), which weighs each token by its probability.",
        },
    ]],
    overrides: &[("learning_rate", "2e-5")],
    metrics: &[&["entropy", "mean_token_accuracy"]],
    masks: |settings| {
        let sft: SftSettings = settings.typed()?;
        let (completion_only, assistant_only) = (sft.completion_only_loss, sft.assistant_only_loss);
        Ok(Masks { completion_only, assistant_only, ..Masks::default() })
    },
    arrange: |groups, _| groups,
    build: |settings| Ok(Box::new(Sft::new(settings)?)),
};

/// Values of the parameters above.
#[derive(Clone, Debug, Deserialize)]
struct SftSettings {
    completion_only_loss: Option<bool>,
    assistant_only_loss: bool,
    packing: bool,
    neftune_noise_alpha: Option<f64>,
    fcm_max_ratio: f64,
    loss_type: String,
}

#[derive(Debug)]
struct Sft {
    pack_tokens: Option<usize>,
    noise: Option<f64>,
    forgets: f64,
    loss: &'static TokenLoss,
}

impl Sft {
    fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let sft: SftSettings = settings.typed()?;
        let limit = settings.training.max_length;
        if sft.packing && limit.is_none() {
            return Err(settings.invalid("packing", "needs max_length, to which packs are filled"));
        }
        let loss = token_losses::kind(&sft.loss_type).unwrap_or(&token_losses::KINDS[0]);
        Ok(Sft {
            pack_tokens: limit.filter(|_| sft.packing),
            noise: sft.neftune_noise_alpha,
            forgets: sft.fcm_max_ratio,
            loss,
        })
    }
}

impl Objective for Sft {
    fn reads(&self) -> Reads {
        Reads::PLAIN
    }

    fn packs(&self) -> Option<usize> {
        self.pack_tokens
    }

    fn embedding_noise(&self) -> Option<f64> {
        self.noise
    }

    fn forgets(&self) -> f64 {
        self.forgets
    }

    /// Supervised tokens.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64 {
        let sequences = groups.iter().flat_map(|group| group.sequences());
        sequences.map(|sequence| sequence.scored_count()).sum::<usize>() as f64
    }

    fn loss(
        &mut self,
        step: Step<'_>,
        micro: std::ops::Range<usize>,
        said: &Said<'_>,
        metrics: &mut Metrics,
    ) -> Slopes {
        let counts = slot_counts(said, step.groups[micro].iter().map(|group| group.members.len()).sum());
        measure(metrics, said, &counts);
        let losses: Vec<(f64, f64)> =
            said.output.logp.iter().map(|&logp| (self.loss.evaluate)(f64::from(logp))).collect();
        let counted = || counts.iter().map(|&count| f64::from(count)).zip(&losses);
        let sum = counted().map(|(count, (value, _))| count * value).sum();
        let logps = counted().map(|(count, (_, slope))| (slope * (count / step.total)) as f32).collect();
        Slopes { sum, logps, ..Slopes::default() }
    }
}

/// How many of the first `members` members use each slot.
fn slot_counts(said: &Said<'_>, members: usize) -> Vec<u32> {
    let mut counts = vec![0; said.forest.slot_count()];
    for member in 0..members {
        said.forest.slots(member).iter().for_each(|&slot| counts[slot as usize] += 1);
    }
    counts
}

/// Adds the metrics of a micro-batch.
fn measure(metrics: &mut Metrics, said: &Said<'_>, counts: &[u32]) {
    let (forest, output) = (said.forest, said.output);
    let weight: f64 = counts.iter().map(|&count| f64::from(count)).sum();
    let sum = |values: &dyn Fn(usize) -> f64| -> f64 {
        counts.iter().enumerate().map(|(slot, &count)| f64::from(count) * values(slot)).sum()
    };
    metrics.add("entropy", sum(&|slot| f64::from(output.entropy[slot])), weight);
    let right = |slot: usize| f64::from(u8::from(output.argmax[slot] == forest.target(slot)));
    metrics.add("mean_token_accuracy", sum(&right), weight);
}
