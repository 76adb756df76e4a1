//! `groma inspect`

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
pub(crate) struct Inspect {
    /// The instrument; see `groma inspect --list`.
    #[arg(required_unless_present = "list")]
    pub(crate) instrument: Option<String>,
    /// The model or adapter: a directory, or a hub id.
    #[arg(help_heading = "Model", long, value_name = "DIR|HUB_ID", required_unless_present = "list")]
    pub(crate) model: Option<String>,
    /// Where the model is an adapter: the model that it adapts, if the adapter does not say it, or not rightly.
    #[arg(long, value_name = "DIR|HUB_ID", requires = "model")]
    pub(crate) base: Option<String>,
    /// List the instruments and stop; with one named, say all about it.
    #[arg(help_heading = "Output", long)]
    pub(crate) list: bool,
    /// The rows that are looked at; of two classes the first.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID", required_unless_present = "list")]
    pub(crate) data: Option<String>,
    /// Of --data, only rows whose column has this value. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "COLUMN=VALUE", requires = "data")]
    pub(crate) only: Vec<String>,
    /// The rows of the second class.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) against: Option<String>,
    /// Of --against, only rows whose column has this value. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "COLUMN=VALUE", requires = "against")]
    pub(crate) against_only: Vec<String>,
    /// Held-out rows of the first class, where those are to be other rows.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID", requires = "test_against")]
    pub(crate) test: Option<String>,
    /// Of --test, only rows whose column has this value. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "COLUMN=VALUE", requires = "test")]
    pub(crate) test_only: Vec<String>,
    /// Held-out rows of the second class.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID", requires = "test")]
    pub(crate) test_against: Option<String>,
    /// Of --test-against, only rows whose column has this value. May be repeated.
    #[arg(help_heading = "Data", long, value_name = "COLUMN=VALUE", requires = "test_against")]
    pub(crate) test_against_only: Vec<String>,
    /// Texts on which the cost of a change is measured, or from which a dictionary is learned.
    #[arg(help_heading = "Data", long, value_name = "FILE|HUB_ID")]
    pub(crate) texts: Option<String>,
    /// Use at most so many rows of each, drawn by the seed.
    #[arg(help_heading = "Data", long, value_parser = at_least(1_usize))]
    pub(crate) limit: Option<usize>,
    /// The column by which rows belong together, so that held-out rows share no value of it with others.
    #[arg(help_heading = "Data", long, value_name = "COLUMN")]
    pub(crate) cluster: Option<String>,
    /// A setting of the instrument, e.g. pairs=32. May be repeated.
    #[arg(help_heading = "Execution", long = "set", value_name = "KEY=VALUE")]
    pub(crate) settings: Vec<String>,
    /// Chat template: auto, or a built-in one; with @DATE after it, it shows that date and not today's.
    #[arg(help_heading = "Model", long, value_name = "NAME", default_value = "auto")]
    pub(crate) chat_template: String,
    /// Seed of what is drawn: null controls, held-out rows, intervals.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
    /// Where run directories are: numbers, pictures and a report are kept in one of them.
    #[arg(help_heading = "Output", long, value_name = "DIR", default_value = "runs")]
    pub(crate) runs: PathBuf,
    /// Replace a finished run of this name that had other settings; without it, such a run is left and a number added to the name.
    #[arg(long)]
    pub(crate) force: bool,
    /// Name of the run directory; without it, one for this model and these settings.
    #[arg(help_heading = "Output", long)]
    pub(crate) name: Option<String>,
    /// Print all numbers, those of every head and part among them.
    #[arg(help_heading = "Output", long)]
    pub(crate) all: bool,
}
