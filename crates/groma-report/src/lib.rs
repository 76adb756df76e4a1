//! One static HTML file per run, comparison of runs, and the same tables in a terminal.
//!
//! All of it is made from the records of a run directory; no model is needed. [`write_report`] leaves `report.html`;
//! [`Headline`] is the table of one run or of two, as text ([`Headline::to_text`]) and as JSON (it serialises).

mod change;
mod changed;
mod compared;
mod differences;
mod effect;
mod error;
mod format;
mod grid;
mod harness;
mod headline;
mod logged_step;
mod options;
mod page;
mod protobuf;
mod reading;
mod row;
mod settings;
mod table;
mod tensorboard;
mod text;
mod verdict;
mod wandb;

pub use change::Change;
pub use changed::{ChangedAnswer, ChangedAnswers};
pub use compared::{Contender, RunAnswers, RunsCompared, RunsRow, SharedItems, Standing, compare_runs};
pub use effect::{RULE as SIZE_RULE, Size};
pub use error::Error;
pub use format::value as value_text;
pub use harness::{HarnessResults, HarnessTask, sanitized};
pub use headline::Headline;
pub use logged_step::LoggedStep;
pub use options::Options;
pub use reading::Reading;
pub use row::{HeadlineRow, Side};
pub use settings::DifferentSetting;
pub use tensorboard::{event, event_file};
pub use text::{for_terminal, paragraph};
pub use wandb::{WandbRun, wandb_step};

use groma_run::{Files, REPORT, RunRecords, atomic};
use std::path::{Path, PathBuf};

/// The report of a run as one HTML page.
pub fn render(records: &RunRecords, options: &Options) -> String {
    page::render(records, options)
}

/// Writes the report into the run directory, whole or not at all; returns its path.
pub fn write_report(files: &Files, records: &RunRecords, options: &Options) -> Result<PathBuf, Error> {
    let path = records.path.join(REPORT);
    atomic::write_file(files, &path, render(records, options).as_bytes())?;
    Ok(path)
}

/// The page of a comparison of runs.
pub fn render_comparison(runs: &[RunRecords], compared: &RunsCompared) -> String {
    page::render_comparison(runs, compared)
}

/// Writes the page of a comparison of runs to `path`, whole or not at all.
pub fn write_comparison(files: &Files, path: &Path, runs: &[RunRecords], compared: &RunsCompared) -> Result<(), Error> {
    Ok(atomic::write_file(files, path, render_comparison(runs, compared).as_bytes())?)
}
