//! Does the stages of a recipe in a run directory.

use std::path::PathBuf;
use std::time::Instant;

use groma_report::{Headline, Options, write_report};
use groma_run::{CheckKind, Classify, Clock, RunDirectory, RunRecords, StageRecord, Status, SystemClock};

use crate::recipe::Recipe;
use crate::runner::{Inputs, Runner};
use crate::stages::{organism, preferences, work as work_of};
use crate::work::Work;
use crate::{Error, card, fit};

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The run directory.
    pub directory: PathBuf,
    /// The report.
    pub report: PathBuf,
    /// The headline table.
    pub headline: Headline,
    /// What the stages left, in their order.
    pub stages: Vec<StageRecord>,
    /// Stages that were done now, and stages taken over from an earlier start.
    pub done: usize,
    /// See `done`.
    pub reused: usize,
    /// Conditions of gates that did not hold, in words.
    pub failed_gates: Vec<String>,
    /// Items that got no answer for the moment; the same command asks them again.
    pub unanswered: u64,
    /// Seconds that this start took.
    pub seconds: f64,
    /// What of the records could not be read, in sentences.
    pub warnings: Vec<String>,
}

/// Does `recipe` in `directory`, going on where an earlier start left it.
///
/// # Errors
/// Those of the stages, each with its name. What was done until then stays, and counts at the next start.
pub fn run(recipe: &Recipe, inputs: &Inputs, directory: &RunDirectory, work: &Work) -> Result<Summary, Error> {
    let started = Instant::now();
    fit::settle_base(recipe, inputs.resolve)?;
    fit::check_stages(recipe, inputs.resolve)?;
    let mut runner = Runner::new(recipe, inputs, directory, work)?;
    let result = stages(&mut runner);
    let (status, error) = match &result {
        Ok(()) => (Status::Done, None),
        Err(error) if error.class() == groma_run::Class::Interrupted => (Status::Interrupted, None),
        Err(error) => (Status::Failed, Some(error.to_string())),
    };
    runner.manifest.status = status;
    runner.manifest.error = error;
    runner.manifest.finished = Some(SystemClock::default().now());
    directory.write_manifest(&runner.manifest)?;
    result?;
    let records = RunRecords::read(directory.path())?;
    let report = write_report(directory.files(), &records, &Options::default())?;
    let headline = Headline::of_run(&records);
    card::write(directory, &headline)?;
    let unanswered = runner.records.iter().map(|record| record.unanswered).sum();
    let failed_gates = failed_gates(&records);
    let (done, reused, seconds) = (runner.done, runner.reused, started.elapsed().as_secs_f64());
    let (directory, stages) = (directory.path().to_owned(), runner.records);
    let warnings = records.warnings;
    Ok(Summary { directory, report, headline, stages, done, reused, failed_gates, unanswered, seconds, warnings })
}

/// What gates expected and was not so, or could not be told.
fn failed_gates(records: &RunRecords) -> Vec<String> {
    let checks = records.events.iter().filter_map(|event| event.check.as_ref());
    let failed = checks.filter(|check| check.kind == CheckKind::Gate && check.passed != Some(true));
    failed.map(|check| format!("{}: {} was expected; found: {}", check.name, check.expected, check.found)).collect()
}

fn stages(runner: &mut Runner) -> Result<(), Error> {
    let recipe = runner.recipe;
    for (stage, name) in organism::STAGES.into_iter().filter(|(_, name)| recipe.needs_organism(name)) {
        named(runner, stage, |runner| organism::run(runner, stage, name))?;
    }
    if recipe.uses(preferences::STAGE) {
        named(runner, preferences::STAGE, preferences::run)?;
    }
    recipe.stages.iter().try_for_each(|stage| named(runner, stage.name(), |runner| work_of(stage).run(runner)))
}

/// Runs a stage; its error gets its name.
fn named(runner: &mut Runner, name: &str, work: impl FnOnce(&mut Runner) -> Result<(), Error>) -> Result<(), Error> {
    runner.work.cancel.check()?;
    work(runner).map_err(|source| Error::Stage { stage: name.into(), source: Box::new(source) })
}
