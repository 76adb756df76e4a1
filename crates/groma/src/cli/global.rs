//! Flags of all commands.

#![allow(
    rustdoc::broken_intra_doc_links,
    rustdoc::invalid_html_tags,
    reason = "comments here are help texts, not pages"
)]

use clap::{Args, ValueEnum};
use groma_kernels::Precision;

use super::numbers::within;

/// Flags of all commands.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Write one JSON document to standard output.
    #[arg(help_heading = "Output", long, global = true)]
    pub(crate) json: bool,
    /// How progress is shown on standard error.
    #[arg(help_heading = "Execution", long, global = true, value_enum, default_value_t = ProgressKind::Auto)]
    pub(crate) progress: ProgressKind,
    /// Threads that models use; all cores by default. Results do not depend on it.
    #[arg(help_heading = "Execution", long, global = true, value_parser = within(1_u16, 1024))]
    pub(crate) threads: Option<u16>,
    /// Numbers that matrix products are computed in: f32 or bf16 (faster where the processor has AMX or AVX-512 BF16;
    /// sums and weights stay f32).
    #[arg(help_heading = "Execution", long, global = true, default_value_t = Precision::F32, hide_possible_values = true)]
    pub(crate) precision: Precision,
    /// Go on with what another machine began, though its instructions give other bits; manifest and report say so.
    #[arg(help_heading = "Execution", long, global = true)]
    pub(crate) across_machines: bool,
}

/// Ways to show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProgressKind {
    /// A bar in a terminal; elsewhere a line every ten seconds.
    Auto,
    /// A bar.
    Bar,
    /// A line every ten seconds, and one at the end of each stage.
    Plain,
    /// Nothing.
    None,
}
