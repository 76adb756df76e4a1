//! A method at work, in two halves: *collect* gathers what is learned from, *learn* makes a loss and its gradient of what the
//! model says of it. The loop does the rest.

use crate::action_values::{ActionSaid, ActionSlopes};
use crate::collect::Collector;
use crate::forest::Forest;
use crate::group::Group;
use crate::moving::Moves;
use crate::rewarded::Rewarded;
use crate::rewards::Panel;
use crate::rivals::Among;
use crate::rollout::{Rollouts, Sampling};
use crate::span_loss::SpanLoss;
use crate::taught::{Compared, Taught};
use crate::{Error, Metrics};
use groma_kernels::{Comparison, HeadOutput};
use groma_model::Transformer;
use groma_model::guidance::ActionMask;
use groma_run::Cancel;
use serde_json::Value;
use std::borrow::Cow;
use std::ops::Range;

/// A method at work.
pub(crate) trait Objective {
    /// How it is rewarded for what it samples; `None`: it learns from rows, or from a teacher.
    fn rewarded(&self) -> Option<&Rewarded> {
        None
    }
    /// What it reads of the model; of what it samples, log-probabilities at the temperature of sampling.
    fn reads(&self) -> Reads {
        self.rewarded().map_or(Reads::PLAIN, |rewarded| {
            let temperature = rewarded.rollouts.sampling.temperature;
            Reads::Tokens { temperature, half_temperature: false }
        })
    }
    /// By how much the sum of the losses of these groups is divided: pairs, completions or tokens.
    fn total(&self, groups: &[Cow<'_, Group>]) -> f64;
    /// The losses of a micro-batch: the groups of `micro` among those of an optimizer step, of which `said` tells what the model
    /// says now. Slopes are those of the mean over the step (the sum, divided by `total`).
    fn loss(&mut self, step: Step<'_>, micro: Range<usize>, said: &Said<'_>, metrics: &mut Metrics) -> Slopes;

    /// Tokens to which batch rows are filled with several groups each; `None`: each group is a batch row.
    fn packs(&self) -> Option<usize> {
        None
    }
    /// How it samples from the model in training; `None`: it learns from rows as they are.
    fn sampling(&self) -> Option<&Sampling> {
        self.rollouts().map(|rollouts| &rollouts.sampling)
    }
    /// How it samples groups that are rewarded; `None`: each row stays one.
    fn rollouts(&self) -> Option<&Rollouts> {
        self.rewarded().map(|rewarded| &rewarded.rollouts)
    }
    /// Whether it learns from rows as they are beside what it samples.
    fn learns_rows(&self) -> bool {
        self.rollouts().is_none()
    }
    /// The strength of noise on embeddings in training; `None`: there is none.
    fn embedding_noise(&self) -> Option<f64> {
        None
    }
    /// The share of a sequence's tokens that what follows does not see in training, at most.
    fn forgets(&self) -> f64 {
        0.0
    }
    /// Whether it learns from what a reference says of the tokens that it collects.
    fn needs_reference(&self) -> bool {
        false
    }
    /// What of the policy is compared with somebody else at each scored token, where it learns from that beside log-probabilities,
    /// and with whom: see [`Said::divergences`] and [`Said::taught`]. Whoever asks for it reads tokens.
    fn compared(&self) -> Option<(Compared, Taught)> {
        None
    }
    /// Whether somebody must be there who is compared with, in whichever way.
    fn asks_reference(&self) -> bool {
        let learned = matches!(self.reads(), Reads::Divergence { taught: Taught::Reference, .. });
        self.needs_reference() || learned || matches!(self.compared(), Some((_, Taught::Reference)))
    }
    /// Tokens that a teacher that is the model itself reads in a prompt's place, at most.
    fn told(&self, prompt: &Group) -> usize {
        prompt.members.iter().map(|member| member.context.len()).max().unwrap_or(0)
    }
    /// Among how many likeliest other tokens a rival is drawn, and by what, where rivals are read.
    fn rivals(&self) -> Among {
        Among::default()
    }
    /// Whether it learns from what a critic says, and the critic with it: see [`Said::values`].
    fn has_critic(&self) -> bool {
        false
    }
    /// How the copies of its heads of action values move, where it learns from what these say: see [`Said::actions`]. Whoever asks
    /// for it reads tokens.
    fn action_values(&self) -> Option<Moves> {
        None
    }
    /// Which actions a policy may take that is sampled and learned, where not all; see [`Lag`].
    fn lag(&self) -> Option<Lag> {
        None
    }
    /// Who says what completions cost.
    fn costs(&self) -> Option<Panel<'_>> {
        self.rewarded().and_then(Rewarded::costs)
    }
    /// Gathers what the next steps learn from, starting from rows: looks up what the reference says of them, samples, asks for
    /// rewards.
    fn collect<'a>(
        &mut self,
        collector: &mut Collector<'_>,
        rows: Vec<Cow<'a, Group>>,
    ) -> Result<Vec<Cow<'a, Group>>, Error> {
        if self.needs_reference() { collector.referenced(rows) } else { Ok(rows) }
    }
    /// Whether a group's gradient depends on the log-probabilities of others in the step; then [`Objective::survey`] sees all of
    /// them before [`Objective::loss`] sees any.
    fn needs_whole_step(&self) -> bool {
        false
    }
    /// Takes note of the log-probabilities of all members of a step: by member and scored token.
    fn survey(&mut self, _step: Step<'_>, _logps: &[Vec<f32>]) {}
    /// Takes note of the entropies of the same tokens, right after [`Objective::survey`].
    fn survey_entropies(&mut self, _entropies: &[Vec<f32>]) {}
    /// The loss that mathematics prescribes for rows before the first step, where it does.
    fn loss_at_start(&self, _groups: &[Cow<'_, Group>]) -> Option<f64> {
        None
    }
    /// What it adds to the journal of the run (see [`crate::journal`]), in lines, after a step; what it carries and does not change.
    fn journal(&mut self) -> Vec<String> {
        Vec::new()
    }
    /// Takes over a line of the journal, behind [`Objective::restore`] and in the order in which they were added.
    ///
    /// # Errors
    /// In words, if it is not what [`Objective::journal`] leaves.
    fn recall(&mut self, _line: &str) -> Result<(), String> {
        Ok(())
    }
    /// Changes the model once more when the last step is done, by all rows that it learned from.
    ///
    /// # Errors
    /// Where that cannot be done, and a request to stop.
    fn finish(&self, _model: &mut Transformer, _rows: &[Group], _cancel: &Cancel) -> Result<(), Error> {
        Ok(())
    }
    /// What else it carries from step to step (controllers, baselines), for checkpoints.
    fn state(&self) -> Value {
        Value::Null
    }
    /// Takes over such a state, of a checkpoint, or of the run beside which rows are held out.
    ///
    /// # Errors
    /// In words, if it is not what [`Objective::state`] leaves.
    fn restore(&mut self, _state: &Value) -> Result<(), String> {
        Ok(())
    }
}

/// Actions are those that a copy of the policy finds likely, which is taken anew before every so many collections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Lag {
    pub(crate) mask: ActionMask,
    pub(crate) every: u64,
}

/// What is read of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Reads {
    /// Log-probabilities of scored tokens.
    Tokens {
        /// At which temperature.
        temperature: f32,
        /// Whether those at half of it are wanted, too.
        half_temperature: bool,
    },
    /// Log-probabilities of scored tokens, and of a likely other token at each of their places (see [`Objective::rivals`]).
    Rivals,
    /// The score behind the last token.
    Scores,
    /// The scores of tokens where steps end.
    Steps,
    /// How far the distribution at scored tokens is from the teacher's.
    Divergence {
        /// Which.
        kind: Comparison,
        /// Of both distributions.
        temperature: f32,
        /// By whom.
        taught: Taught,
    },
    /// How far it is from a teacher that has tokens of its own, at the spans in which both say the same.
    Spans {
        /// How both are compared.
        loss: SpanLoss,
        /// Whether log-probabilities of scored tokens are read, too.
        likelihood: bool,
    },
}

impl Reads {
    /// Of the log-probabilities that are read; 1 where none are.
    pub(crate) fn temperature(self) -> f32 {
        match self {
            Reads::Tokens { temperature, .. } | Reads::Divergence { temperature, .. } => temperature,
            Reads::Rivals | Reads::Scores | Reads::Steps | Reads::Spans { .. } => 1.0,
        }
    }

    /// Log-probabilities as the model has them.
    pub(crate) const PLAIN: Reads = Reads::Tokens { temperature: 1.0, half_temperature: false };
}

/// All that an optimizer step learns from.
#[derive(Clone, Copy)]
pub(crate) struct Step<'a> {
    pub(crate) groups: &'a [Cow<'a, Group>],
    /// See [`Objective::total`].
    pub(crate) total: f64,
}

/// What the model says of the members of a micro-batch, numbered through.
pub(crate) struct Said<'a> {
    pub(crate) forest: &'a Forest,
    /// By slot of the forest; empty unless tokens are read.
    pub(crate) output: &'a HeadOutput,
    /// Log-probabilities at half the temperature, by slot, where they were wanted; no gradient goes through them.
    pub(crate) half: Option<&'a [f32]>,
    /// By member, or by member and step, and then by label; empty unless scores are read.
    pub(crate) scores: &'a [f32],
    /// By slot; empty unless divergences, from a teacher or from the reference, are read.
    pub(crate) divergences: &'a [f32],
    /// By member and span; empty unless spans are read.
    pub(crate) spans: &'a [f32],
    /// By slot, the log-probability of the token to who teaches; empty unless tokens are compared.
    pub(crate) taught: &'a [f32],
    /// By slot, what the critic expects before the token; empty unless there is one.
    pub(crate) values: &'a [f32],
    /// By slot, the log-probability of the rival; empty unless rivals are read.
    pub(crate) rivals: &'a [f32],
    /// By head of action values; empty unless they are read.
    pub(crate) actions: &'a [ActionSaid],
}

impl<'a> Said<'a> {
    /// Of a forest whose tokens are read, and nothing beside.
    pub(crate) fn of_tokens(forest: &'a Forest, output: &'a HeadOutput) -> Self {
        Said {
            forest,
            output,
            half: None,
            scores: &[],
            divergences: &[],
            spans: &[],
            taught: &[],
            values: &[],
            rivals: &[],
            actions: &[],
        }
    }

    /// Log-probabilities of a member's scored tokens.
    pub(crate) fn logps(&self, member: usize) -> Vec<f32> {
        self.of(member, &self.output.logp)
    }

    /// Of a value by slot, those of a member's scored tokens.
    pub(crate) fn of(&self, member: usize, by_slot: &[f32]) -> Vec<f32> {
        self.forest.slots(member).iter().map(|&slot| by_slot[slot as usize]).collect()
    }

    /// Slopes with respect to members' log-probabilities, as slopes by slot: members that share a slot add up there.
    pub(crate) fn spread(&self, slopes: &[Vec<f64>], factor: f64) -> Vec<f32> {
        let mut by_slot = vec![0.0f64; self.forest.slot_count()];
        for (member, slopes) in slopes.iter().enumerate() {
            for (&slot, slope) in self.forest.slots(member).iter().zip(slopes) {
                by_slot[slot as usize] += slope;
            }
        }
        by_slot.into_iter().map(|value| (value * factor) as f32).collect()
    }
}

/// A sum of losses, and how the loss of the step changes with what the model says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Slopes {
    /// Sum of the losses, not yet divided.
    pub(crate) sum: f64,
    /// By slot, for the log-probability or divergence there; empty where scores are read.
    pub(crate) logps: Vec<f32>,
    /// As [`Said::scores`].
    pub(crate) scores: Vec<f32>,
    /// As [`Said::spans`].
    pub(crate) spans: Vec<f32>,
    /// By slot, for what the critic expects there; empty unless there is one.
    pub(crate) values: Vec<f32>,
    /// By slot, for the entropy there; empty where nothing goes through it.
    pub(crate) entropies: Vec<f32>,
    /// By slot, for the log-probability of the rival; empty unless rivals are read.
    pub(crate) rivals: Vec<f32>,
    /// By slot, for the divergence there; empty unless it is read beside log-probabilities.
    pub(crate) divergences: Vec<f32>,
    /// As [`Said::actions`].
    pub(crate) actions: Vec<ActionSlopes>,
}
