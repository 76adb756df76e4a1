//! `groma run`

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use std::path::PathBuf;

use clap::Args;

use super::columns::Columns;
use super::numbers::at_least;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Run {
    /// A recipe file; the built-in one where not given.
    pub(crate) recipe: Option<PathBuf>,
    /// The model to align: a directory in Hugging Face layout, or a hub id (owner/name[@revision]).
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID")]
    pub(crate) model: Option<String>,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID", requires = "model")]
    pub(crate) base: Option<String>,
    /// Preference pairs: a file (JSONL, JSON, CSV, Parquet; .gz, .zst), or a hub id (owner/name[@revision]:file).
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) preferences: Option<String>,
    #[command(flatten)]
    pub(crate) columns: Columns,
    /// Measure this task too, before and after; see `groma eval --list`. May be repeated.
    #[arg(help_heading = "Data", long = "eval", value_name = "TASK=FILE")]
    pub(crate) tasks: Vec<String>,
    /// Chat template: auto, or a built-in one (chatml, llama2, llama3, zephyr, alpaca, user-bot, human-assistant); with
    /// @DATE after it (auto@2024-07-26) it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME")]
    pub(crate) chat_template: Option<String>,
    /// Name of the run directory below --runs.
    #[arg(help_heading = "Output", long)]
    pub(crate) name: Option<String>,
    /// Where run directories are.
    #[arg(help_heading = "Output", long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Replace a finished run of this name that had other settings; without it, such a run is left and a number added to the name.
    #[arg(long)]
    pub(crate) force: bool,
    /// Change a value of the recipe, e.g. seed=7 or stage.dpo.settings.beta=0.3. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
    /// Let the models in training answer held-out prompts every so many steps, for the report.
    #[arg(help_heading = "Execution", long, value_name = "STEPS", value_parser = at_least(1_u64))]
    pub(crate) sample_steps: Option<u64>,
    /// How many prompts, with --sample-steps.
    #[arg(help_heading = "Execution", long, value_name = "COUNT", requires = "sample_steps", value_parser = at_least(1_u64))]
    pub(crate) sample_prompts: Option<u64>,
    /// Print the resolved recipe and stop.
    #[arg(help_heading = "Output", long)]
    pub(crate) print_recipe: bool,
    /// Without a recipe: align and measure the built-in organism alone, in a minute; no plants, no twin, no attack.
    #[arg(help_heading = "Execution", long, conflicts_with_all = ["recipe", "model", "preferences"])]
    pub(crate) quick: bool,
    /// End with exit code 1 where a condition of a gate of the recipe does not hold.
    #[arg(help_heading = "Execution", long)]
    pub(crate) gate: bool,
}
