//! Splits the preference pairs into those to train with and those that are held out.

use std::path::Path;

use groma_align::read_findings;
use groma_data::{Shape, split, write_jsonl};
use groma_run::{EventKind, Finding, Finished, Recorder, Seed, StageKey, counted};
use serde_json::json;

use crate::data_file::DataFile;
use crate::data_name::{DATA_DIRECTORY, preferences_file};
use crate::reading::Reading;
use crate::rows::read_rows;
use crate::runner::{Runner, VERSION};
use crate::said::read_as;
use crate::{Error, said};

/// The stage's name.
pub(crate) const STAGE: &str = "preferences";

/// Splits the recipe's pairs, unless that was done.
pub(crate) fn run(runner: &mut Runner) -> Result<(), Error> {
    let recipe = runner.recipe;
    let Some(name) = &recipe.preferences else {
        let problem = "names no `preferences`, but a stage reads them".into();
        return Err(Error::Recipe { name: recipe.name.clone(), problem });
    };
    let (path, revision) = (runner.inputs.resolve.data)(name)?;
    let file = DataFile::new(path)?;
    runner.note_input("preferences", name, revision, file.digest);
    let mut config = json!({ "seed": recipe.seed, "held_out": recipe.held_out });
    if !recipe.reading.is_plain() {
        config["reading"] = json!(recipe.reading);
    }
    let key = StageKey::new(STAGE, VERSION).config(&config)?.input("preferences", file.digest);
    runner.stage(key, false, |runner, recorder| halve(runner, recorder, name, &file.path))
}

/// Writes the two files, and says what was found.
fn halve(runner: &Runner, recorder: &Recorder, name: &str, path: &Path) -> Result<Finished, Error> {
    let recipe = runner.recipe;
    let seed = Seed::new(recipe.seed).named(STAGE);
    let found = split_file(path, &recipe.reading, recipe.held_out, seed, runner.directory.path())?;
    let progress = &*runner.work.progress;
    said::note(progress, recorder, &format!("{name}: {}", found.read));
    said::say(progress, STAGE, &found.findings);
    let text = format!("{} to train with, {} held out", counted(found.train as u64, "pair"), found.held_out);
    recorder.message(EventKind::Note, &text);
    found.findings.into_iter().for_each(|finding| recorder.finding(finding));
    let outputs = vec![preferences_file("train"), preferences_file("held_out")];
    let result = json!({ "train": found.train, "held_out": found.held_out });
    Ok(Finished { outputs, result, ..Finished::default() })
}

/// What splitting a preference file found.
struct Halves {
    train: usize,
    held_out: usize,
    /// How they were read, in a line.
    read: String,
    findings: Vec<Finding>,
}

/// Splits a preference file into two JSONL files, by prompt and seed.
///
/// Pairs whose sides are the same text teach nothing and cannot be measured; they are bad rows like any other.
fn split_file(file: &Path, reading: &Reading, held_out: f64, seed: Seed, into: &Path) -> Result<Halves, Error> {
    let rows = read_rows(file, &[Shape::Preference], None, seed, reading)?;
    let (read, findings) = (read_as(&rows), read_findings(&rows));
    let pairs = rows.rows;
    let parts = split(&pairs, held_out, seed)?;
    let (train, eval) = parts.apply(&pairs);
    std::fs::create_dir_all(into.join(DATA_DIRECTORY)).map_err(groma_run::Error::io("create", into))?;
    write_jsonl(&into.join(preferences_file("train")), &train)?;
    write_jsonl(&into.join(preferences_file("held_out")), &eval)?;
    Ok(Halves { train: train.len(), held_out: eval.len(), read, findings })
}
