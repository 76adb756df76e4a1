//! `groma run`

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use std::path::PathBuf;

use clap::{ArgGroup, Args};

use super::columns::Columns;
use super::numbers::at_least;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true, group = ArgGroup::new("looked_at").multiple(true))]
pub(crate) struct Run {
    /// A recipe file, or the name of a built-in recipe (see --list); loop where not given.
    pub(crate) recipe: Option<PathBuf>,
    /// The model to align, or to measure, attack and look into alone where there are no --preferences: a directory in Hugging Face
    /// layout, or a hub id (owner/name[@revision]).
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
    /// Attack the model too, on both sides of its training. May be repeated; see `groma attack --list`.
    #[arg(help_heading = "Looks", long = "attack", value_name = "NAME", requires = "looked_at")]
    pub(crate) attacks: Vec<String>,
    /// With --attack: what is wanted of the model, as for `groma attack`.
    #[arg(help_heading = "Looks", long, value_name = "FILE|HUB_ID", requires = "attacks", group = "looked_at")]
    pub(crate) goals: Option<String>,
    /// With --attack: what training may have had, for attacks on privacy.
    #[arg(help_heading = "Looks", long, value_name = "FILE|HUB_ID", requires = "attacks", group = "looked_at")]
    pub(crate) texts: Option<String>,
    /// With --attack: questions that each attack may put for each goal.
    #[arg(help_heading = "Looks", long, value_name = "N", requires = "attacks", value_parser = at_least(1_u64))]
    pub(crate) queries: Option<u64>,
    /// Look inside the model too, on both sides of its training: an instrument of `groma inspect --list` with its rows, and behind
    /// a comma those of the second class. May be repeated.
    #[arg(help_heading = "Looks", long = "inspect", value_name = "INSTRUMENT=FILE[,AGAINST]")]
    pub(crate) inspections: Vec<String>,
    /// With --inspect: texts on which the cost of a change is measured, or from which a dictionary is learned.
    #[arg(help_heading = "Looks", long, value_name = "FILE|HUB_ID", requires = "inspections")]
    pub(crate) inspect_texts: Option<String>,
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
    /// List the built-in recipes.
    #[arg(help_heading = "Output", long, conflicts_with_all = ["recipe", "model", "preferences"])]
    pub(crate) list: bool,
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
