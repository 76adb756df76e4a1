//! `groma runs`: the runs that there are, and whether what they left is what was written.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use groma_run::{Class, Manifest, RunRecords, Verification, is_run, verify_run};
use serde_json::{Value, json};

use super::rows::safe;
use crate::cli::Runs;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print, print_json};

/// A run, and what was found of it.
struct Listed {
    path: PathBuf,
    /// What it says of itself, where that can be read.
    manifest: Result<Manifest, groma_run::Error>,
    /// What verification found, where it was asked for.
    verified: Option<Result<Verification, groma_run::Error>>,
}

pub(crate) fn run(flags: &Runs, context: &Context) -> Result<ExitCode> {
    let mut listed = Vec::new();
    for path in flags.directories.iter().map(|directory| runs_in(directory)).collect::<Result<Vec<_>>>()?.concat() {
        context.work.cancel.check()?;
        let manifest = RunRecords::read(&path).map(|records| records.manifest);
        let verified = flags.verify.then(|| verify_run(&path));
        listed.push(Listed { path, manifest, verified });
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

/// Also one whose manifest is lost.
fn looks_like_a_run(path: &Path) -> bool {
    is_run(path) || path.join(groma_run::STAGES).is_dir()
}

impl Listed {
    fn is_damaged(&self) -> bool {
        self.verified.as_ref().is_some_and(|found| !found.as_ref().is_ok_and(|found| found.problems.is_empty()))
    }

    fn record(&self) -> Value {
        let manifest = match &self.manifest {
            Ok(manifest) => json!({
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
        json!({ "path": self.path, "manifest": manifest, "verified": verified })
    }

    fn text(&self) -> String {
        let path = safe(&self.path.display().to_string());
        let standing = match &self.manifest {
            Ok(manifest) => {
                let status = json!(manifest.status);
                let status = status.as_str().unwrap_or_default();
                format!("{status}, {} stages, begun {}", manifest.stages.len(), manifest.started)
            }
            Err(error) => safe(&error.to_string()),
        };
        let mut text = format!("{path}: {standing}\n");
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
