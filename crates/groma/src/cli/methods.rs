//! `groma methods`

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct Methods {
    /// Show this method.
    pub(crate) method: Option<String>,
}
