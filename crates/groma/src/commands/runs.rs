//! `groma runs`: the runs that there are, and whether what they left is what was written.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use groma_report::Headline;
use groma_run::{Class, Clock, Manifest, RunRecords, SystemClock, Verification, counted, is_run, verify_run};
use indicatif::{HumanBytes, HumanDuration};
use serde_json::{Value, json};

use super::rows::safe;
use crate::cli::Runs;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print, print_json};

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
        listed.iter().for_each(|run| print(&run.text()));
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

    fn text(&self) -> String {
        let path = safe(&self.path.display().to_string());
        let size = HumanBytes(self.bytes);
        let mut text = match &self.found {
            Ok((manifest, headline)) => {
                let status = json!(manifest.status);
                let stages = counted(manifest.stages.len() as u64, "stage");
                let verdict = format!("  {}\n", safe(&headline.verdict));
                let verdict = if headline.verdict.is_empty() { "" } else { &verdict };
                let age = age(manifest);
                format!("{path}: {}, {stages}, {age}, {size}\n{verdict}", status.as_str().unwrap_or_default())
            }
            Err(error) => format!("{path}: {}, {size}\n", safe(&error.to_string())),
        };
        match &self.verified {
            Some(Ok(found)) if found.problems.is_empty() => {
                text.push_str(&format!("  whole: {} stages are what was written\n", found.stages));
            }
            Some(Ok(found)) => {
                let lines = found.problems.iter();
                text.extend(lines.map(|problem| format!("  {}: {}\n", safe(&problem.place), safe(&problem.what))));
            }
            Some(Err(error)) => text.push_str(&format!("  {}\n", safe(&error.to_string()))),
            None => {}
        }
        text
    }
}
