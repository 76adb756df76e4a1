//! `groma runs`: the runs that there are, and whether what they left is what was written.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use groma_report::{Headline, paragraph};
use groma_run::{Class, Clock, Manifest, RunRecords, SystemClock, Verification, counted, is_run, verify_run};
use indicatif::{HumanBytes, HumanDuration};
use serde_json::{Value, json};

use super::rows::safe;
use crate::cli::Runs;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, columns, print, print_json};

/// A run, and what was found of it.
struct Listed {
    path: PathBuf,
    /// What it says of itself, and its headline, where that can be read.
    found: Result<(Manifest, Headline), groma_run::Error>,
    /// What it takes on the disk.
    bytes: u64,
    /// What verification found, where it was asked for.
    verified: Option<Result<Verification, groma_run::Error>>,
}

pub(crate) fn run(flags: &Runs, context: &Context) -> Result<ExitCode> {
    let mut listed = Vec::new();
    for path in flags.directories.iter().map(|directory| runs_in(directory)).collect::<Result<Vec<_>>>()?.concat() {
        context.work.cancel.check()?;
        let found = RunRecords::read(&path).map(|records| (records.manifest.clone(), Headline::of_run(&records)));
        let verified = flags.verify.then(|| verify_run(&path));
        listed.push(Listed { bytes: bytes_below(&path), path, found, verified });
    }
    if context.json {
        print_json(&listed.iter().map(Listed::record).collect::<Vec<_>>())?;
    } else {
        listed.iter().for_each(|run| print(&run.text(columns())));
    }
    let damaged = listed.iter().any(Listed::is_damaged);
    Ok(if damaged { ExitCode::from(Class::Usage.exit_code()) } else { ExitCode::SUCCESS })
}

/// The directory itself where it is a run, else those in it that are.
fn runs_in(directory: &Path) -> Result<Vec<PathBuf>> {
    if looks_like_a_run(directory) {
        return Ok(vec![directory.to_owned()]);
    }
    let list = std::fs::read_dir(directory).map_err(groma_run::Error::io("list", directory))?;
    let mut found: Vec<PathBuf> =
        list.flatten().map(|entry| entry.path()).filter(|path| looks_like_a_run(path)).collect();
    found.sort();
    if found.is_empty() {
        let what = format!("{} is no run directory and holds none", directory.display());
        return Err(Failure::usage(what, "name a directory that a groma run has left, or one with such directories"));
    }
    Ok(found)
}

/// How long ago it ended, or began where it has not ended.
fn age(manifest: &Manifest) -> String {
    let since = manifest.finished.unwrap_or(manifest.started);
    let seconds = SystemClock::default().now().as_second().saturating_sub(since.as_second()).max(0);
    format!("{} ago", HumanDuration(Duration::from_secs(seconds.unsigned_abs())))
}

/// The size of all files below a directory; no link is followed.
fn bytes_below(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_below(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

/// Also one whose manifest is lost.
fn looks_like_a_run(path: &Path) -> bool {
    is_run(path) || path.join(groma_run::STAGES).is_dir()
}

impl Listed {
    fn is_damaged(&self) -> bool {
        self.verified.as_ref().is_some_and(|found| !found.as_ref().is_ok_and(|found| found.problems.is_empty()))
    }

    fn record(&self) -> Value {
        let manifest = match &self.found {
            Ok((manifest, _)) => json!({
                "name": manifest.name, "status": manifest.status, "started": manifest.started,
                "finished": manifest.finished, "kernels": manifest.kernels, "stages": manifest.stages,
            }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        let problem = |problem: &groma_run::Problem| json!({ "place": problem.place, "what": problem.what });
        let verified = self.verified.as_ref().map(|found| match found {
            Ok(found) => {
                let problems: Vec<Value> = found.problems.iter().map(problem).collect();
                json!({ "whole": problems.is_empty(), "stages": found.stages, "problems": problems })
            }
            Err(error) => json!({ "whole": false, "error": error.to_string() }),
        });
        let verdict = self.found.as_ref().ok().map(|(_, headline)| &headline.verdict);
        json!({
            "path": self.path, "manifest": manifest, "verdict": verdict, "bytes": self.bytes, "verified": verified,
        })
    }

    /// A line about the run and what it found, laid out for so many columns; a path is never broken.
    fn text(&self, columns: usize) -> String {
        let path = format!("{}:", safe(&self.path.display().to_string()));
        let size = HumanBytes(self.bytes);
        let (about, verdict) = match &self.found {
            Ok((manifest, headline)) => {
                let (status, stages) = (json!(manifest.status), counted(manifest.stages.len(), "stage"));
                let status = status.as_str().unwrap_or_default();
                (format!("{status}, {stages}, {}, {size}", age(manifest)), headline.in_short())
            }
            Err(error) => (format!("{error}, {size}"), String::new()),
        };
        let fits = path.chars().count() + 1 + about.chars().count() <= columns;
        let mut text = if fits { format!("{path} {}\n", safe(&about)) } else { format!("{path}\n") };
        let below = if fits { "" } else { &about };
        let mut lines = vec![below.to_owned(), verdict];
        match &self.verified {
            Some(Ok(found)) if found.problems.is_empty() => {
                lines.push(format!("whole: {} as written", counted(found.stages, "stage")));
            }
            Some(Ok(found)) => {
                lines.extend(found.problems.iter().map(|problem| format!("{}: {}", problem.place, problem.what)));
            }
            Some(Err(error)) => lines.push(error.to_string()),
            None => {}
        }
        text.extend(lines.iter().filter(|line| !line.is_empty()).map(|line| paragraph("  ", line, columns)));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_fit_the_terminal_that_is_there() {
        let path = PathBuf::from("runs/a-name-that-is-not-short");
        let reason = "the manifest is not what was written: \u{1b}[31mit lacks its end ".repeat(3);
        let found = Err(groma_run::Error::Corrupt { path: path.clone(), reason });
        let run = Listed { path: path.clone(), found, bytes: 12, verified: None };
        for columns in [40, 80, 120] {
            let text = run.text(columns);
            assert!(text.lines().all(|line| line.chars().count() <= columns) && !text.contains('\u{1b}'), "{text}");
            assert!(text.starts_with(&format!("{}:", path.display())) && text.contains("12 B"), "{text}");
        }
    }
}
