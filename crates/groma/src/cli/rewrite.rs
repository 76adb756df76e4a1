//! `groma rewrite`

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use std::path::PathBuf;

use clap::Args;

use super::numbers::at_least;

#[derive(Debug, Args)]
pub(crate) struct Rewrite {
    /// The way; see `groma rewrite --list`.
    pub(crate) rewrite: Option<String>,
    /// List the ways and stop; with one named, say all about it.
    #[arg(help_heading = "Output", long)]
    pub(crate) list: bool,
    /// The rows.
    #[arg(help_heading = "Data", long, value_name = "FILE", requires = "rewrite")]
    pub(crate) data: Option<PathBuf>,
    /// Use at most so many rows, drawn by the seed.
    #[arg(help_heading = "Data", long, value_parser = at_least(1_usize))]
    pub(crate) limit: Option<usize>,
    /// A setting of the way, e.g. order=best_last. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Seed of --limit.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
    /// The file that is written, JSONL.
    #[arg(help_heading = "Output", long, value_name = "FILE", requires = "data")]
    pub(crate) output: Option<PathBuf>,
}
