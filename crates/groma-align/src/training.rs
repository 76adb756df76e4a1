//! Hyperparameters that all methods share: those of Hugging Face's Trainer with TRL's defaults, and groma's own policies.

use crate::parameter::{Kind, Parameter, Range, parameter};
use groma_model::training::AdamWSettings;
pub use groma_model::training::Scheduler;
use serde::{Deserialize, Serialize};

const COUNT: Option<Range> = Some(Range::at_least(1.0));
const NOT_NEGATIVE: Option<Range> = Some(Range::at_least(0.0));
const SHARE: Option<Range> = Some(Range::half_open(0.0, 1.0));

/// The shared hyperparameters.
pub const TRAINING: &[Parameter] = &[
    parameter("learning_rate", Kind::Float, "5e-5", NOT_NEGATIVE, "Peak learning rate of AdamW."),
    parameter("num_train_epochs", Kind::Float, "3.0", Some(Range::above(0.0)), "Passes over the training rows."),
    parameter(
        "max_steps",
        Kind::Integer,
        "-1",
        Some(Range::at_least(-1.0)),
        "Optimizer steps; above 0 it replaces num_train_epochs.",
    ),
    parameter("per_device_train_batch_size", Kind::Integer, "8", COUNT, "Rows in a micro-batch."),
    parameter("per_device_eval_batch_size", Kind::Integer, "8", COUNT, "Rows in an evaluation batch."),
    parameter("gradient_accumulation_steps", Kind::Integer, "1", COUNT, "Micro-batches in an optimizer step."),
    parameter(
        "gradient_checkpointing",
        Kind::Boolean,
        "false",
        None,
        "Keep only what flows between blocks and run each block again in the backward pass: less memory, a third more time, the same result.",
    ),
    parameter("weight_decay", Kind::Float, "0.0", NOT_NEGATIVE, "Decoupled weight decay; biases and norms are exempt."),
    parameter("adam_beta1", Kind::Float, "0.9", SHARE, "Decay of AdamW's first moment."),
    parameter("adam_beta2", Kind::Float, "0.999", SHARE, "Decay of AdamW's second moment."),
    parameter(
        "adam_epsilon",
        Kind::Float,
        "1e-8",
        Some(Range::above(0.0)),
        "Added to the root of AdamW's second moment.",
    ),
    parameter(
        "max_grad_norm",
        Kind::Float,
        "1.0",
        NOT_NEGATIVE,
        "Gradients are scaled down to this norm; 0 for no clipping.",
    ),
    parameter(
        "lr_scheduler_type",
        Kind::Choice(&["constant", "linear", "cosine"]),
        "\"linear\"",
        None,
        "Learning rate after the warm-up.",
    ),
    parameter("warmup_steps", Kind::Integer, "0", NOT_NEGATIVE, "Steps in which the learning rate rises from 0."),
    parameter("warmup_ratio", Kind::Float, "0.0", SHARE, "Warm-up as a share of all steps, where warmup_steps is 0."),
    parameter(
        "train_sampling_strategy",
        Kind::Choice(&["random", "sequential"]),
        "\"random\"",
        None,
        "Order of rows in an epoch: drawn from the seed, or as in the file.",
    ),
    parameter(
        "seed",
        Kind::Integer,
        "42",
        NOT_NEGATIVE,
        "Seed of the row order, of fresh adapters, of dropout and of noise on embeddings.",
    ),
    parameter(
        "logging_steps",
        Kind::Integer,
        "10",
        COUNT,
        "Steps between two logs, whose metrics are means over them; fewer where that makes less than ten logs.",
    ),
    parameter(
        "eval_steps",
        Kind::Integer,
        "null",
        COUNT,
        "Steps between two evaluations on held-out rows; none where not set.",
    ),
    parameter(
        "sample_steps",
        Kind::Integer,
        "null",
        COUNT,
        "Steps between two times that the model in training answers held-out prompts, also before the first and after the last step; never where not set.",
    ),
    parameter("sample_prompts", Kind::Integer, "4", COUNT, "How many prompts it answers; drawn once, by the seed."),
    parameter("sample_max_new_tokens", Kind::Integer, "64", COUNT, "Longest of these answers, in tokens."),
    parameter(
        "sample_temperature",
        Kind::Float,
        "0.0",
        NOT_NEGATIVE,
        "Temperature of these answers; 0 gives the most likely ones.",
    ),
    parameter("save_steps", Kind::Integer, "500", COUNT, "Steps between two checkpoints."),
    parameter(
        "save_total_limit",
        Kind::Integer,
        "2",
        COUNT,
        "Checkpoints kept; the last one that reads back whole is never deleted.",
    ),
    parameter(
        "max_length",
        Kind::IntegerOrNull,
        "1024",
        COUNT,
        "Longest sequence, in tokens; the model's own limit where null.",
    ),
    parameter(
        "truncation_mode",
        Kind::Choice(&["keep_start", "drop", "error"]),
        "\"keep_start\"",
        None,
        "Rows longer than max_length: cut at the end, left out, or an error.",
    ),
    parameter(
        "boundary",
        Kind::Choice(&["error", "diverge", "separate"]),
        "\"error\"",
        None,
        "Where tokens merge across prompt and completion: stop; let the completion start where they diverge (TRL); or encode both apart.",
    ),
    parameter(
        "preflight",
        Kind::Choice(&["stop", "warn"]),
        "\"stop\"",
        None,
        "What serious findings about rows do before training.",
    ),
    parameter(
        "lora.r",
        Kind::Integer,
        "8",
        COUNT,
        "Rank of the adapter; a table `lora` trains an adapter in place of the model.",
    ),
    parameter(
        "lora.alpha",
        Kind::Float,
        "8.0",
        Some(Range::above(0.0)),
        "The adapter's product is scaled by alpha / r.",
    ),
    parameter("lora.dropout", Kind::Float, "0.0", SHARE, "Dropout on the adapter's input."),
    parameter(
        "lora.target_modules",
        Kind::Words,
        "\"all-linear\"",
        None,
        "Layers that get an adapter, by the last part of their Hugging Face names, or all-linear.",
    ),
    parameter("lora.rslora", Kind::Boolean, "false", None, "Scale by alpha / sqrt(r) instead."),
];

/// Order of the rows in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sampling {
    /// A permutation drawn from seed and epoch.
    Random,
    /// That of the file.
    Sequential,
}

/// What is done with rows that are too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Truncation {
    /// The end is cut off; a row whose completion vanishes is left out.
    KeepStart,
    /// The row is left out.
    Drop,
    /// The row is a serious finding.
    Error,
}

/// What is done where tokens merge across the end of a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// It is a serious finding.
    Error,
    /// The completion starts where the joint tokens leave those of the prompt (TRL). Conversations are encoded apart.
    Diverge,
    /// Prompt and completion are encoded apart, as at inference.
    Separate,
}

/// What serious findings do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnFinding {
    /// Training does not start.
    Stop,
    /// They are reported, rows that cannot be used are left out, and training goes on.
    Warn,
}

/// Values of the shared hyperparameters; see [`TRAINING`] for their meaning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the table above documents each")]
pub struct Training {
    pub learning_rate: f64,
    pub num_train_epochs: f64,
    pub max_steps: i64,
    pub per_device_train_batch_size: usize,
    pub per_device_eval_batch_size: usize,
    pub gradient_accumulation_steps: usize,
    pub gradient_checkpointing: bool,
    pub weight_decay: f64,
    pub adam_beta1: f64,
    pub adam_beta2: f64,
    pub adam_epsilon: f64,
    pub max_grad_norm: f64,
    pub lr_scheduler_type: Scheduler,
    pub warmup_steps: u64,
    pub warmup_ratio: f64,
    pub train_sampling_strategy: Sampling,
    pub seed: u64,
    pub logging_steps: u64,
    pub eval_steps: Option<u64>,
    pub sample_steps: Option<u64>,
    pub sample_prompts: usize,
    pub sample_max_new_tokens: usize,
    pub sample_temperature: f64,
    pub save_steps: u64,
    pub save_total_limit: usize,
    pub max_length: Option<usize>,
    pub truncation_mode: Truncation,
    pub boundary: Boundary,
    pub preflight: OnFinding,
    pub lora: Option<LoraSettings>,
}

/// Values of the table `lora`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the table above documents each")]
pub struct LoraSettings {
    pub r: usize,
    pub alpha: f64,
    pub dropout: f64,
    pub target_modules: OneOrMany<String>,
    pub rslora: bool,
}

/// A value, or a list of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany<T> {
    /// Alone.
    One(T),
    /// Several.
    Many(Vec<T>),
}

impl<T> OneOrMany<T> {
    /// All of them.
    pub fn as_slice(&self) -> &[T] {
        match self {
            OneOrMany::One(value) => std::slice::from_ref(value),
            OneOrMany::Many(values) => values,
        }
    }
}

impl Training {
    /// The optimizer's part.
    pub(crate) fn adamw(&self) -> AdamWSettings {
        AdamWSettings {
            beta1: self.adam_beta1,
            beta2: self.adam_beta2,
            eps: self.adam_epsilon,
            weight_decay: self.weight_decay,
            max_grad_norm: self.max_grad_norm,
        }
    }

    /// Rows in an optimizer step.
    pub fn step_batch_size(&self) -> usize {
        self.per_device_train_batch_size.saturating_mul(self.gradient_accumulation_steps)
    }
}
