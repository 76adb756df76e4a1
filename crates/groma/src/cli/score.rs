//! `groma score`

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use clap::Args;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Score {
    /// The model or adapter: a directory, or a hub id.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID")]
    pub(crate) model: String,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID")]
    pub(crate) base: Option<String>,
    /// A file with the text; - for standard input.
    #[arg(help_heading = "Data", long, value_name = "FILE|-")]
    pub(crate) text: String,
    /// The input holds token ids, separated by white space, instead of text.
    #[arg(help_heading = "Data", long)]
    pub(crate) ids: bool,
}
