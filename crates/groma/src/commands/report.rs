//! `groma report`: the report of a run, written again from its records, and its table.

use std::process::ExitCode;

use groma_report::{Headline, Options, write_report};
use groma_run::{Disk, RunRecords};
use serde_json::json;

use super::run::say_warnings;
use crate::cli::Report;
use crate::failure::Result;
use crate::terminal::{Context, columns, print, print_json, say};

pub(crate) fn run(flags: &Report, context: &Context) -> Result<ExitCode> {
    let records = RunRecords::read(&flags.run)?;
    let path = write_report(&Disk::files(), &records, &Options::default())?;
    say_warnings(&records.warnings);
    let headline = Headline::of_run(&records);
    if context.json {
        print_json(&json!({ "report": path, "headline": headline, "warnings": records.warnings }))?;
    } else {
        print(&headline.to_text(columns()));
        say(&format!("report: {}", path.display()));
    }
    Ok(ExitCode::SUCCESS)
}
