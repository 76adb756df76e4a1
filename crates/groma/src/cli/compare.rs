//! `groma compare`

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
pub(crate) struct Compare {
    /// Directories of the runs, two or more; changes are from the first.
    #[arg(required = true, num_args = 2.., value_name = "RUN")]
    pub(crate) runs: Vec<PathBuf>,
    /// Which subject of all; the last one by default.
    #[arg(help_heading = "Data", long)]
    pub(crate) subject: Option<String>,
    /// Write the comparison as a page too.
    #[arg(help_heading = "Output", long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Show so many of each task's changed answers.
    #[arg(help_heading = "Output", long, value_name = "N", default_value_t = 3, value_parser = at_least(0_usize))]
    pub(crate) answers: usize,
}
