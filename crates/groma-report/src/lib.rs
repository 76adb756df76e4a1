//! One static HTML file per run, comparison of runs, and the same tables in a terminal.
//!
//! All of it is made from the records of a run directory; no model is needed. [`write_report`] leaves `report.html`;
//! [`Headline`] is the table of one run or of two, as text ([`Headline::to_text`]) and as JSON (it serialises).

mod differences;
mod error;
mod format;
mod harness;
mod headline;
mod page;
mod reading;
mod table;
mod text;

pub use error::Error;
pub use harness::{HarnessResults, HarnessTask, sanitized};
pub use headline::{Change, Headline, HeadlineRow, Reading, Side};
pub use text::for_terminal;

use groma_run::{Files, REPORT, RunRecords, atomic};
use std::path::{Path, PathBuf};

/// How large a report may become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Side-by-side samples shown of each task.
    pub samples_a_task: usize,
    /// Bytes of samples in all.
    pub samples_bytes: usize,
    /// Bytes of the page; samples give way until it fits.
    pub page_bytes: usize,
}

impl Default for Options {
    fn default() -> Self {
        Options { samples_a_task: 200, samples_bytes: 3_000_000, page_bytes: 5_000_000 }
    }
}

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

/// The page of a comparison of two runs; `headline` is that of [`Headline::of_two_runs`].
pub fn render_comparison(first: &RunRecords, second: &RunRecords, headline: &Headline) -> String {
    page::render_comparison(first, second, headline)
}

/// Writes the page of a comparison of two runs to `path`, whole or not at all.
pub fn write_comparison(
    files: &Files,
    path: &Path,
    (first, second): (&RunRecords, &RunRecords),
    headline: &Headline,
) -> Result<(), Error> {
    Ok(atomic::write_file(files, path, render_comparison(first, second, headline).as_bytes())?)
}
