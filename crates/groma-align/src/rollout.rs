//! How methods sample from the model in training: names, defaults and sizes of TRL's online trainers.

use crate::encode::Encode;
use crate::parameter::{Kind, Parameter, Range, parameter};
use crate::rewards::{self, Panel};
use crate::role::Role;
use crate::training::{OneOrMany, Training};
use crate::{Error, Hyperparameters, watches};
use groma_model::sampling::SamplingParameters;
use serde::Deserialize;

const COUNT: Option<Range> = Some(Range::at_least(1.0));
const NOT_NEGATIVE: Option<Range> = Some(Range::at_least(0.0));

/// Hyperparameters of methods that sample from the model in training.
pub(crate) const SAMPLING: &[Parameter] = &[
    parameter("max_completion_length", Kind::Integer, "512", COUNT, "Longest completion, in tokens."),
    parameter(
        "temperature",
        Kind::Float,
        "1.0",
        Some(Range::above(0.0)),
        "Temperature of sampling; the log-probabilities that are learned from are those at the same temperature.",
    ),
    parameter("top_k", Kind::Integer, "0", NOT_NEGATIVE, "Sample among so many likeliest tokens; 0 for all."),
    parameter(
        "top_p",
        Kind::Float,
        "1.0",
        Some(Range { min: 0.0, min_excluded: true, max: 1.0, max_excluded: false }),
        "Sample among the likeliest tokens that reach this probability together; 1 for all.",
    ),
    parameter(
        "min_p",
        Kind::Float,
        "0.0",
        Some(Range::closed(0.0, 1.0)),
        "Sample among tokens at least so likely, relative to the likeliest.",
    ),
    parameter(
        "repetition_penalty",
        Kind::Float,
        "1.0",
        Some(Range::above(0.0)),
        "Makes tokens that occurred less likely; 1 for no change.",
    ),
];

/// Hyperparameters of methods that sample groups of completions, to compare them; beside [`SAMPLING`] and [`REWARDS`].
pub(crate) const GROUPS: &[Parameter] = &[
    parameter(
        "num_generations",
        Kind::Integer,
        "8",
        Some(Range::at_least(2.0)),
        "Completions sampled for each prompt.",
    ),
    PASSES[0],
    PASSES[1],
];

/// Completions of a prompt, where they need not be compared with each other; beside [`PASSES`].
pub(crate) const COMPLETIONS: Parameter =
    parameter("num_generations", Kind::Integer, "1", COUNT, "Completions sampled for each prompt.");

/// How much is sampled at once, and how often is learned from it.
pub(crate) const PASSES: &[Parameter] = &[
    parameter("num_iterations", Kind::Integer, "1", COUNT, "Passes of learning over what was sampled at once."),
    parameter(
        "steps_per_generation",
        Kind::Integer,
        "null",
        COUNT,
        "Micro-batches that are sampled at once; gradient_accumulation_steps where null, so that each optimizer step learns from the model that it changes.",
    ),
];

/// Hyperparameters of methods that have rewarded what they sample; beside [`SAMPLING`].
pub(crate) const REWARDS: &[Parameter] = &[
    parameter(
        "mask_truncated_completions",
        Kind::Boolean,
        "false",
        None,
        "Learn nothing from completions that were cut off at max_completion_length.",
    ),
    parameter(
        "reward_funcs",
        Kind::Variants(rewards::VARIANTS),
        "null",
        None,
        "Rules that say what a completion is worth.",
    ),
    parameter(
        "reward_weights",
        Kind::Floats,
        "null",
        None,
        "Weight of each rule, then of each reward model, in the order in which they are given; 1 each where null.",
    ),
    parameter("reward_model", Kind::Words, "null", None, "Reward models: directories, or hub ids."),
    parameter(
        rewards::ENSEMBLE,
        Kind::Variant(rewards::ENSEMBLES),
        "\"sum\"",
        None,
        "How the rewards of several reward models become one, to which those of rules are added; each is multiplied by its weight first.",
    ),
    parameter(
        rewards::STEP_REWARD,
        Kind::Choice(rewards::STEP_REWARDS),
        "\"product\"",
        None,
        "What a process reward model's probabilities of right steps come to; steps end where lines do, or with what the model learned as their end.",
    ),
    parameter(
        rewards::ATTRIBUTE_WEIGHTS,
        Kind::Words,
        "null",
        None,
        "How much attributes of a reward model that has several count, each as NAME=NUMBER, the others nothing; their mean where null.",
    ),
    parameter(
        rewards::PESSIMISM,
        Kind::Float,
        "0.0",
        Some(Range::at_least(0.0)),
        "What a reward model's doubt costs: so many times the distance of an answer from those that it learned from, in the norm of the inverse covariance of its comparisons (a lower confidence bound, arXiv:2301.11270). Above 0, reward models must be trained with keep_covariance.",
    ),
    parameter(
        "shuffle_rewards",
        Kind::Boolean,
        "false",
        None,
        "Null control: exchange the rewards of what was sampled at once at random; nothing can be learned then.",
    ),
    watches::PARAMETERS[0],
    watches::PARAMETERS[1],
    watches::PARAMETERS[2],
];

/// Values of [`SAMPLING`].
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Sampling {
    pub(crate) max_completion_length: usize,
    pub(crate) temperature: f32,
    top_k: usize,
    top_p: f32,
    min_p: f32,
    repetition_penalty: f32,
}

/// Values of [`GROUPS`], or of what a method without groups has in their place, and of [`REWARDS`]; and how is sampled.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Rollouts {
    #[serde(flatten)]
    pub(crate) sampling: Sampling,
    #[serde(default = "one")]
    pub(crate) num_generations: usize,
    #[serde(alias = "num_ppo_epochs")]
    pub(crate) num_iterations: u64,
    steps_per_generation: Option<usize>,
    num_mini_batches: Option<usize>,
    pub(crate) mask_truncated_completions: bool,
    reward_funcs: Option<OneOrMany<String>>,
    reward_weights: Option<Vec<f64>>,
    reward_model: Option<OneOrMany<String>>,
    pub(crate) shuffle_rewards: bool,
}

/// Completions of a prompt, where they are not compared with each other.
fn one() -> usize {
    1
}

impl Rollouts {
    /// # Errors
    /// Sizes that do not fit each other, and rewards without weights or weights without rewards.
    pub(crate) fn new(settings: &Hyperparameters) -> Result<Self, Error> {
        let rollouts: Rollouts = settings.typed()?;
        let training = &settings.training;
        let together = rollouts.completions(training);
        if !rollouts.micros(training).is_multiple_of(training.gradient_accumulation_steps) {
            let problem =
                format!("must be a multiple of gradient_accumulation_steps, {}", training.gradient_accumulation_steps);
            return Err(settings.invalid("steps_per_generation", problem));
        }
        if !together.is_multiple_of(rollouts.num_generations) {
            let problem = format!(
                "must divide the {together} completions that are sampled at once (per_device_train_batch_size x steps_per_generation)"
            );
            return Err(settings.invalid("num_generations", problem));
        }
        if rollouts.rewards().check(settings)? == 0 {
            return Err(settings.invalid(
                "reward_funcs",
                "nothing says what a completion is worth: give reward_funcs or reward_model",
            ));
        }
        if settings.was_given(rewards::ENSEMBLE) && rollouts.rewards().models() < 2 {
            return Err(settings.invalid(rewards::ENSEMBLE, "puts two reward models or more together: name them"));
        }
        Ok(rollouts)
    }

    /// Micro-batches that are sampled at once.
    fn micros(&self, training: &Training) -> usize {
        let one_step = training.gradient_accumulation_steps;
        self.steps_per_generation.unwrap_or(one_step.saturating_mul(self.num_mini_batches.unwrap_or(1)))
    }

    /// Completions that are sampled at once.
    fn completions(&self, training: &Training) -> usize {
        training.per_device_train_batch_size.saturating_mul(self.micros(training))
    }

    /// Prompts for which completions are sampled at once.
    pub(crate) fn prompts(&self, training: &Training) -> usize {
        (self.completions(training) / self.num_generations).max(1)
    }

    /// Optimizer steps in a pass over what was sampled at once.
    pub(crate) fn steps(&self, training: &Training) -> usize {
        (self.micros(training) / training.gradient_accumulation_steps).max(1)
    }

    /// Who says what completions are worth.
    pub(crate) fn rewards(&self) -> Panel<'_> {
        Panel::new(Role::Reward, &self.reward_funcs, &self.reward_model, &self.reward_weights)
    }
}

impl Sampling {
    /// How the sampler is asked for the likeliest completion.
    pub(crate) fn greedy(&self, voice: &Voice<'_>) -> SamplingParameters {
        SamplingParameters { temperature: 0.0, ..self.parameters(voice, 1) }
    }

    /// How the sampler is asked for so many completions of each prompt.
    pub(crate) fn parameters(&self, voice: &Voice<'_>, samples: usize) -> SamplingParameters {
        SamplingParameters {
            max_new_tokens: self.max_completion_length,
            temperature: self.temperature,
            logp_temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            min_p: self.min_p,
            repetition_penalty: self.repetition_penalty,
            stop_strings: voice.stop_strings.clone(),
            stop_ids: voice.stop_ids.clone(),
            samples,
        }
    }
}

/// What turns tokens into text, and where answers end.
pub struct Voice<'a> {
    /// Decodes tokens, special ones left out.
    pub decode: &'a (dyn Fn(&[u32]) -> String + Sync),
    /// What puts texts to the model, and says what its tokens are.
    pub encoder: &'a dyn Encode,
    /// Tokens that end an answer.
    pub stop_ids: Vec<u32>,
    /// Texts that end an answer.
    pub stop_strings: Vec<String>,
}
