//! `groma organism`

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
pub(crate) struct Organism {
    /// Directory for its files.
    #[arg(help_heading = "Output", long, value_name = "DIR", required_unless_present = "list_plants")]
    pub(crate) export: Option<PathBuf>,
    /// Flaws that grow in it: PLANT=SIZE, or PLANT alone for its default size; several with commas between them.
    #[arg(help_heading = "World", long = "plant", value_name = "PLANT[=SIZE]", value_delimiter = ',')]
    pub(crate) plants: Vec<String>,
    /// Write the clean twin: the same seed, rows and words without the flaws.
    #[arg(help_heading = "World", long)]
    pub(crate) twin: bool,
    /// List the plants with their sizes, and write nothing.
    #[arg(help_heading = "Output", long, conflicts_with_all = ["export", "plants", "twin"])]
    pub(crate) list_plants: bool,
    /// Seed of the world.
    #[arg(help_heading = "Execution", long, default_value_t = 42, value_parser = at_least(0_u64))]
    pub(crate) seed: u64,
}
