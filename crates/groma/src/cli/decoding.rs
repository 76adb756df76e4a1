//! How answers are decoded, for the commands that ask for some.

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use clap::Args;

use super::numbers::at_least;

/// How answers are decoded, where that is not as the model would.
#[derive(Debug, Args)]
pub(crate) struct Decoding {
    /// Self-debiasing: what answers are not to contain, in words, such as "rude, disrespectful or unreasonable language". Tokens
    /// that become likelier where the model is told to show it lose (Schick et al. 2021). May be repeated.
    #[arg(help_heading = "Decoding", long, value_name = "TEXT", conflicts_with = "detox")]
    pub(crate) debias: Vec<String>,
    /// How fast they lose.
    #[arg(help_heading = "Decoding", long, default_value_t = 50.0, value_parser = at_least(0.0_f64), requires = "debias")]
    pub(crate) debias_decay: f64,
    /// Self-detoxification: a model of the unwanted, of the same tokenizer; the likeliest tokens are re-ranked by how unlikely it
    /// finds them (Xu et al. 2022).
    #[arg(help_heading = "Decoding", long, value_name = "DIR|HUB_ID")]
    pub(crate) detox: Option<String>,
    /// How many; 0 for all.
    #[arg(help_heading = "Decoding", long, default_value_t = 20, value_parser = at_least(0_usize), requires = "detox")]
    pub(crate) detox_top_k: usize,
    /// How much it counts what that model finds; too much of it, and tokens come first that nobody would say.
    #[arg(help_heading = "Decoding", long, default_value_t = 0.5, value_parser = at_least(0.0_f64), requires = "detox")]
    pub(crate) detox_weight: f64,
    /// Implicit Q-learning: tokens are weighed by how much more they are worth than was to be expected, times this, by a model that
    /// `groma train ilql` left (Snell et al. 2022). 0 leaves its own distribution.
    #[arg(help_heading = "Decoding", long, value_name = "BETA", value_parser = at_least(0.0_f64), conflicts_with_all = ["debias", "detox"])]
    pub(crate) advantage: Option<f64>,
}
