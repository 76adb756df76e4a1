//! `groma compare`: the headline numbers of two runs side by side.

use std::process::ExitCode;

use groma_report::Headline;
use groma_run::RunRecords;

use super::run::columns;
use crate::cli::Compare;
use crate::failure::Result;
use crate::terminal::{Context, print, print_json};

pub(crate) fn run(flags: &Compare, context: &Context) -> Result<ExitCode> {
    let (first, second) = (RunRecords::read(&flags.first)?, RunRecords::read(&flags.second)?);
    let headline = Headline::of_two_runs(&first, &second, flags.subject.as_deref())?;
    if context.json {
        print_json(&headline)?;
    } else {
        print(&headline.to_text(columns()));
    }
    Ok(ExitCode::SUCCESS)
}
