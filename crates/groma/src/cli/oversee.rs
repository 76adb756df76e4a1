//! `groma oversee`

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use std::path::PathBuf;

use clap::Args;

use super::numbers::at_least;
use super::serving::Serving;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Oversee {
    /// Id of the protocol; see --list.
    #[arg(required_unless_present = "list")]
    pub(crate) protocol: Option<String>,
    /// List protocols, or show the one that is named with its roles and settings.
    #[arg(help_heading = "Output", long)]
    pub(crate) list: bool,
    /// The model in all roles that --role does not fill: a directory, a hub id, or a model on an OpenAI-compatible server.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID|URL#NAME")]
    pub(crate) model: Option<String>,
    /// The model in one role. May be repeated.
    #[arg(help_heading = "Model", long = "role", value_name = "ROLE=MODEL")]
    pub(crate) roles: Vec<String>,
    /// Chat template: auto, or a built-in one; with @DATE after it, it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto")]
    pub(crate) chat_template: String,
    /// Rows that the protocol is about, where it reads any.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) data: Option<String>,
    /// Use at most so many rows, drawn by the seed.
    #[arg(help_heading = "Data", long, value_name = "COUNT", value_parser = at_least(1_usize))]
    pub(crate) limit: Option<usize>,
    /// Change a setting of the protocol. May be repeated.
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
    #[command(flatten)]
    pub(crate) serving: Serving,
}
