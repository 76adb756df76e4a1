//! `groma inner`

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use std::path::PathBuf;

use clap::Args;

use super::numbers::at_least;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Inner {
    /// Id of the experiment; see --list.
    #[arg(required_unless_present = "list")]
    pub(crate) experiment: Option<String>,
    /// List experiments, or show the one that is named with hypothesis, control, metric and settings.
    #[arg(help_heading = "Output", long)]
    pub(crate) list: bool,
    /// Change a setting of the experiment. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// Seed of all chance.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
    /// Name of the run directory below --runs.
    #[arg(help_heading = "Output", long)]
    pub(crate) name: Option<String>,
    /// Where run directories are.
    #[arg(help_heading = "Output", long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Replace a finished run of this name that had other settings.
    #[arg(long)]
    pub(crate) force: bool,
}
