//! `groma check`

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
pub(crate) struct Check {
    /// A recipe file.
    #[arg(required_unless_present = "data")]
    pub(crate) recipe: Option<PathBuf>,
    /// Show the first rows of this file: how they are read, and what they become.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID", conflicts_with = "recipe")]
    pub(crate) data: Option<String>,
    /// With --data: show them in this model's tokens, with those that are learned from. Its tokenizer and chat template will
    /// do.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID", requires = "data")]
    pub(crate) model: Option<String>,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID", requires = "model")]
    pub(crate) base: Option<String>,
    /// With --model: the method that is to learn from them; the first that can where not given.
    #[arg(help_heading = "Model", long, value_name = "METHOD", requires = "model")]
    pub(crate) method: Option<String>,
    /// With --model: chat template, as for `groma train`.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto", requires = "model")]
    pub(crate) chat_template: String,
    /// With --data: how many rows.
    #[arg(help_heading = "Data", long, value_name = "COUNT", default_value_t = 3, value_parser = at_least(1_usize))]
    pub(crate) rows: usize,
    #[command(flatten)]
    pub(crate) columns: Columns,
    /// Change a value of the recipe, or with --data a setting of the method. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "KEY=VALUE")]
    pub(crate) overrides: Vec<String>,
}
