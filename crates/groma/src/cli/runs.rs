//! `groma runs`

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use std::path::PathBuf;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Runs {
    /// Run directories, or directories that hold some.
    #[arg(value_name = "DIR", default_value = "runs")]
    pub(crate) directories: Vec<PathBuf>,
    /// Verify manifests and records by their seals, rows and outputs by their digests. Nothing is changed; exit code 2 where
    /// something is not as it was written.
    #[arg(long)]
    pub(crate) verify: bool,
}
