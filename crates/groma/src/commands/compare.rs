//! `groma compare`: the headline numbers of runs side by side.

use std::process::ExitCode;

use groma_report::{compare_runs, write_comparison};
use groma_run::{Disk, RunRecords};

use crate::cli::Compare;
use crate::failure::Result;
use crate::terminal::{Context, columns, print, print_json, say};

pub(crate) fn run(flags: &Compare, context: &Context) -> Result<ExitCode> {
    let runs = flags.runs.iter().map(|path| RunRecords::read(path)).collect::<std::result::Result<Vec<_>, _>>()?;
    let compared = compare_runs(&runs, flags.subject.as_deref())?;
    if let Some(path) = &flags.html {
        write_comparison(&Disk::files(), path, &runs, &compared)?;
        say(&format!("page: {}", path.display()));
    }
    if context.json {
        print_json(&compared)?;
    } else {
        print(&compared.to_text(columns(), flags.answers));
    }
    Ok(ExitCode::SUCCESS)
}
