//! `groma chat`

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use std::path::PathBuf;

use clap::Args;

use super::decoding::Decoding;
use super::numbers::{at_least, within};
use super::serving::Serving;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Chat {
    /// The model or adapter: a directory, a hub id, or a model on an OpenAI-compatible server.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID|URL#NAME")]
    pub(crate) model: String,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID")]
    pub(crate) base: Option<String>,
    /// Chat template: auto, or a built-in one; with @DATE after it, it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto")]
    pub(crate) chat_template: String,
    /// What the system message says.
    #[arg(help_heading = "Model", long)]
    pub(crate) system: Option<String>,
    /// Longest answer, in tokens.
    #[arg(help_heading = "Execution", long, default_value_t = 256, value_parser = at_least(1_usize))]
    pub(crate) max_new_tokens: usize,
    /// 0 gives the most likely answer.
    #[arg(help_heading = "Execution", long, default_value_t = 0.7, value_parser = at_least(0.0_f32))]
    pub(crate) temperature: f32,
    /// Keep the most likely tokens that reach this probability together.
    #[arg(help_heading = "Execution", long, default_value_t = 0.95, value_parser = within(0.0_f32, 1.0))]
    pub(crate) top_p: f32,
    /// Keep so many of the most likely tokens; 0 keeps all.
    #[arg(help_heading = "Execution", long, default_value_t = 0, value_parser = at_least(0_usize))]
    pub(crate) top_k: usize,
    /// Keep tokens at least this fraction as likely as the most likely one.
    #[arg(help_heading = "Execution", long, default_value_t = 0.0, value_parser = within(0.0_f32, 1.0))]
    pub(crate) min_p: f32,
    /// Makes tokens that occurred less likely; 1 for none.
    #[arg(help_heading = "Execution", long, default_value_t = 1.0, value_parser = at_least(0.0_f32))]
    pub(crate) repetition_penalty: f32,
    /// Interventions at hook points while the model answers: a JSON list, e.g. [{"point": "blocks.3.hook_resid_post",
    /// "edit": {"add": {"vector": [...], "coefficient": 4}}}]. An address holds sequence, positions ("all", {"from": 7},
    /// {"at": [7]}) and columns.
    #[arg(help_heading = "Execution", long, value_name = "FILE")]
    pub(crate) steer: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) decoding: Decoding,
    /// Seed of the samples.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
    #[command(flatten)]
    pub(crate) serving: Serving,
}
