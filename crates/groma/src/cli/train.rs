//! `groma train`

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::columns::Columns;
use super::numbers::at_least;
use super::serving::Serving;

/// Forms of training metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogForm {
    /// events.out.tfevents.groma
    Tensorboard,
    /// metrics.csv
    Csv,
    /// run-groma.wandb, for `wandb sync` and `wandb leet`
    Wandb,
}

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Train {
    /// Id of the method; see `groma methods`.
    pub(crate) method: String,
    /// The model: a directory, or a hub id.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID")]
    pub(crate) model: String,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID")]
    pub(crate) base: Option<String>,
    /// Training rows: a file, or a hub id with file.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) data: String,
    /// Held-out rows, for eval_steps and --sample-steps.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) eval_data: Option<String>,
    /// Directory for the trained model; its checkpoints are kept beside it until it is whole.
    #[arg(help_heading = "Output", long, value_name = "DIR")]
    pub(crate) output: PathBuf,
    #[command(flatten)]
    pub(crate) columns: Columns,
    /// Use at most so many rows.
    #[arg(help_heading = "Data", long, value_parser = at_least(1_usize))]
    pub(crate) limit: Option<usize>,
    /// Chat template: auto, or a built-in one; with @DATE after it, it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto")]
    pub(crate) chat_template: String,
    /// A setting of the method, e.g. beta=0.2 or lora.r=16. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Let the model in training answer held-out prompts every so many steps; the answers are in samples.jsonl.zst of the
    /// output.
    #[arg(help_heading = "Execution", long, value_name = "STEPS", requires = "eval_data", value_parser = at_least(1_u64))]
    pub(crate) sample_steps: Option<u64>,
    /// How many prompts, with --sample-steps.
    #[arg(help_heading = "Execution", long, value_name = "COUNT", requires = "sample_steps", value_parser = at_least(1_u64))]
    pub(crate) sample_prompts: Option<u64>,
    /// Write the training metrics in these forms too, beside metrics.jsonl in the output: an event file of TensorBoard, a
    /// table, an offline run of W&B. While the training goes on, they are beside its checkpoints.
    #[arg(help_heading = "Output", long, value_name = "FORM,...", value_enum, value_delimiter = ',')]
    pub(crate) log: Vec<LogForm>,
    /// Replace the model that is at the output, once the new one is whole.
    #[arg(help_heading = "Output", long)]
    pub(crate) overwrite: bool,
    #[command(flatten)]
    pub(crate) serving: Serving,
}
