//! `groma compare`: the headline numbers of two runs side by side.

use std::process::ExitCode;

use groma_report::{Headline, write_comparison};
use groma_run::{Disk, RunRecords};

use super::run::columns;
use crate::cli::Compare;
use crate::failure::Result;
use crate::terminal::{Context, print, print_json, say};

pub(crate) fn run(flags: &Compare, context: &Context) -> Result<ExitCode> {
    let (first, second) = (RunRecords::read(&flags.first)?, RunRecords::read(&flags.second)?);
    let headline = Headline::of_two_runs(&first, &second, flags.subject.as_deref())?;
    if let Some(path) = &flags.html {
        write_comparison(&Disk::files(), path, (&first, &second), &headline)?;
        say(&format!("page: {}", path.display()));
    }
    if context.json {
        print_json(&headline)?;
    } else {
        print(&headline.to_text(columns()));
    }
    Ok(ExitCode::SUCCESS)
}
