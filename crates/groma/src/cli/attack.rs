//! `groma attack`

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use std::path::PathBuf;

use clap::Args;
use groma_attack::ATTACKS;

use super::defence::defences;
use super::numbers::{amount, at_least};
use super::serving::Serving;

#[derive(Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct Attack {
    /// The model or adapter: a directory, a hub id, or a model on an OpenAI-compatible server, which attacks by gradients cannot
    /// use.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID|URL#NAME", required_unless_present = "list")]
    pub(crate) model: Option<String>,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID", requires = "model")]
    pub(crate) base: Option<String>,
    /// An attack; the controls are always among them. May be repeated.
    #[arg(help_heading = "Data", long = "attack", value_name = "NAME", required_unless_present = "list", long_help = attacks())]
    pub(crate) attacks: Vec<String>,
    /// What is wanted of the model: a file of rows, or a hub id with file.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID", required_unless_present_any = ["list", "texts"])]
    pub(crate) goals: Option<String>,
    /// What training may have had, for attacks on privacy: rows with `text`, and as far as known `prefix`, `secret`, and `member` or
    /// `repetitions`.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) texts: Option<String>,
    /// A model that did not train on those texts, to hold their likelihood against.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID|URL#NAME", requires = "texts")]
    pub(crate) reference: Option<String>,
    /// List the attacks and stop.
    #[arg(help_heading = "Output", long)]
    pub(crate) list: bool,
    /// Use at most so many goals and texts, drawn by the seed.
    #[arg(help_heading = "Data", long, value_parser = at_least(1_usize))]
    pub(crate) limit: Option<usize>,
    /// How an answer begins that grants a goal, where its row does not say it.
    #[arg(help_heading = "Data", long, value_name = "TEXT")]
    pub(crate) target: Option<String>,
    /// A setting of an attack, e.g. gcg.steps=100. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "ATTACK.KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Questions that each attack may put for each goal: replies, and texts whose likelihood or gradient is taken.
    #[arg(help_heading = "Budget", long, value_name = "N", value_parser = at_least(1_u64))]
    pub(crate) queries: Option<u64>,
    /// Tokens that the model may work through for each goal.
    #[arg(help_heading = "Budget", long, value_name = "N", value_parser = at_least(1_u64))]
    pub(crate) tokens: Option<u64>,
    /// Seconds that each attack may take for each goal; where they end it, another machine ends it elsewhere.
    #[arg(help_heading = "Budget", long, value_name = "S", value_parser = amount)]
    pub(crate) seconds: Option<f64>,
    /// Ask the model for answers through a defence, which attacks then adapt to.
    #[arg(help_heading = "Model", long, value_name = "NAME", long_help = defences())]
    pub(crate) defence: Option<String>,
    /// A setting of the defence, e.g. copies=20. May be repeated.
    #[arg(help_heading = "Model", long, value_name = "KEY=VALUE", requires = "defence")]
    pub(crate) defence_set: Vec<String>,
    /// The model that judges answers, in place of the rows' truth: as for --model.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID|URL#NAME")]
    pub(crate) judge: Option<String>,
    /// Longest verdict of the judge, in tokens.
    #[arg(help_heading = "Model", long, default_value_t = 512, value_parser = at_least(1_usize))]
    pub(crate) judge_max_new_tokens: usize,
    /// Longest answer, in tokens.
    #[arg(help_heading = "Model", long, default_value_t = 64, value_parser = at_least(1_usize))]
    pub(crate) max_new_tokens: usize,
    /// Chat template: auto, or a built-in one; with @DATE after it, it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto")]
    pub(crate) chat_template: String,
    /// Write inputs and answers into the log of hits as they are; without it their lengths and digests alone.
    #[arg(help_heading = "Output", long)]
    pub(crate) show_hits: bool,
    /// Seed of all that is drawn.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
    /// Where run directories are: numbers, pictures, rows to harden the model with and a report are kept in one of them.
    #[arg(help_heading = "Output", long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Replace a finished run of this name that had other settings; without it, such a run is left and a number added to the name.
    #[arg(long)]
    pub(crate) force: bool,
    /// Name of the run directory; without it, one for this model and these settings.
    #[arg(help_heading = "Output", long)]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) serving: Serving,
}

/// The help of `--attack`: what there is.
fn attacks() -> String {
    let described = ATTACKS.iter().map(|attack| format!("- {}: {} ({})", attack.id, attack.doc, attack.paper));
    let described: Vec<String> = described.collect();
    format!("An attack; the controls are always among them. May be repeated. There are:\n{}", described.join("\n"))
}
