//! Measures a model by tasks, and keeps the score of each item for comparisons.

use std::path::Path;

use groma_data::{ReadOptions, TextUnit, read};
use groma_eval::{EstimateOptions, Evaluation, Items, Subject, Task, evaluate, find, read_items, side_by_side};
use groma_lm::{Control, Kind, Local, LocalOptions};
use groma_model::LocalModel;
use groma_run::{Finished, Group, Recorder, RowWriter, Sample, Seed, StageKey};
use serde_json::{Value, json};

use crate::data::DataFile;
use crate::recipe::{Measure, Stage, TaskConfig};
use crate::runner::Runner;
use crate::{Error, replies, village};

/// What a task's name in the results is.
pub(crate) fn task_name(config: &TaskConfig) -> &str {
    config.name.as_deref().unwrap_or(&config.task)
}

/// The tasks of a measuring stage: its own, or else those of the first one that has some.
pub(crate) fn tasks<'a>(runner: &Runner<'a>, stage: &'a Measure) -> &'a [TaskConfig] {
    if !stage.tasks.is_empty() {
        return &stage.tasks;
    }
    let measures = runner.recipe.stages.iter().filter_map(|s| if let Stage::Measure(s) = s { Some(s) } else { None });
    measures.map(|stage| stage.tasks.as_slice()).find(|tasks| !tasks.is_empty()).unwrap_or_default()
}

/// The file with what a subject said to a task's prompts.
pub(crate) fn said_file(subject: &str, task: &str) -> String {
    format!("samples/said.{}.{}.jsonl.zst", groma_run::file_name(subject), groma_run::file_name(task))
}

pub(crate) fn run(runner: &mut Runner, stage: &Measure) -> Result<(), Error> {
    let model = runner.model(&stage.name, stage.model.as_deref())?;
    let mut planned: Vec<(&'static Task, &TaskConfig, DataFile)> = Vec::new();
    let mut key: StageKey = runner.key(&stage.name).input("model", model.digest);
    for config in tasks(runner, stage) {
        let task = find(&config.task)?;
        let data = runner.data(&config.data)?;
        let version = json!({ "task": config, "version": task.version, "template": runner.recipe.chat_template });
        key = key.config(&version)?.config(&runner.recipe.seed)?.input("data", data.digest);
        planned.push((task, config, data));
    }
    runner.stage(key, |runner, recorder| {
        let mut opened = LocalModel::open(&model.path, &runner.template()?, runner.work.backend.clone())?;
        opened.freeze();
        runner.note_template(&opened);
        let mut finished = Finished { result: json!({}), ..Finished::default() };
        for (task, config, data) in &planned {
            runner.work.cancel.check()?;
            let seed = Seed::new(runner.recipe.seed).named("items").named(task_name(config));
            let made = match (config.data.split_once(':'), task.id.as_str()) {
                (Some(("village", _)), _) if village::judges(task) => Some(village::items(task, &data.path)?),
                (Some(("preferences", _)), "refusal" | "over-refusal") => {
                    Some(replies::items(task.id == "refusal", &data.path)?)
                }
                _ => None,
            };
            let items = match made {
                Some(made) => made.limited(config.limit, seed),
                None => items(task, &data.path, config.limit, seed)?,
            };
            let evaluation = measure(runner, &opened, task, config, &items, &stage.name)?;
            record(runner, recorder, &evaluation, task_name(config), &mut finished)?;
        }
        Ok(finished)
    })
}

/// The items of a task in a file, at most `limit` of them.
pub fn items(task: &'static Task, path: &Path, limit: Option<usize>, seed: Seed) -> Result<Items, Error> {
    // Plain text is one running text, as perplexity is measured on it; rows of other formats are documents.
    let table = read(path, &ReadOptions { text_unit: TextUnit::File, ..ReadOptions::default() })?;
    Ok(read_items(task, table)?.limited(limit, seed))
}

fn measure(
    runner: &Runner,
    model: &LocalModel,
    task: &'static Task,
    config: &TaskConfig,
    items: &Items,
    subject: &str,
) -> Result<Evaluation, Error> {
    let progress = &*runner.work.progress;
    let total = items.items.iter().map(|item| item.requests.len() as u64).sum();
    progress.begin(&format!("{subject}: {}", task_name(config)), Some(total), "request");
    let local = Local::new(model, LocalOptions::default());
    let seed = runner.recipe.seed;
    let asked = Subject { seed, ..Subject::greedy(&local, subject, config.max_new_tokens) };
    let options = EstimateOptions { seed, ..EstimateOptions::default() };
    let control = Control { progress, cancel: &runner.work.cancel };
    let evaluation = evaluate(task, items, &asked, &options, control)?;
    let headline = evaluation.measurements.first().map_or(String::new(), |m| format!("{} {:.4}", m.metric, m.value));
    progress.finish(&headline);
    Ok(evaluation)
}

/// Writes numbers, items and texts of an evaluation.
fn record(
    runner: &Runner,
    recorder: &Recorder,
    evaluation: &Evaluation,
    name: &str,
    finished: &mut Finished,
) -> Result<(), Error> {
    let file = recorder.items(&evaluation.subject, name, &evaluation.items)?;
    let headline = evaluation.task.metrics.first().map(|metric| metric.id);
    for measurement in evaluation.measurements.iter().chain(&evaluation.breakdown) {
        let mut measurement = measurement.clone();
        measurement.task = name.to_owned();
        measurement.secondary = headline != Some(&measurement.metric) && measurement.group != Group::Control;
        if headline != Some(&measurement.metric) {
            // Said once a task.
            measurement.note = None;
        }
        measurement.samples = Some(file.clone());
        recorder.measure(measurement)?;
    }
    finished.tokens += evaluation.measurements.first().map_or(0, |m| m.tokens);
    finished.outputs.push(file);
    if let Value::Object(modes) = &mut finished.result {
        modes.insert(name.to_owned(), Value::from(evaluation.mode.clone()));
    }
    if evaluation.task.kind() == Kind::Generate {
        let said = said_file(&evaluation.subject, name);
        let path = runner.directory.inside(&said)?;
        let mut writer = RowWriter::<Sample>::create(runner.directory.files(), &path)?;
        for mut sample in side_by_side(evaluation, evaluation) {
            sample.task = name.to_owned();
            sample.after = None;
            writer.write(&sample)?;
        }
        writer.finish()?;
        finished.outputs.push(said);
    }
    Ok(())
}
