//! Measures a model by tasks, and keeps the score of each item for comparisons.

use std::collections::BTreeMap;
use std::path::Path;

use groma_attack::Defended;
use groma_eval::{
    EstimateOptions, Evaluation, ItemSource, Items, Said, Subject, Task, evaluate_judged, examples_beside, find,
    items_at, side_by_side,
};
use groma_lm::{Control, Kind, LanguageModel, Request, Spent, Steering};
use groma_organism::Planted;
use groma_run::{Finished, Group, Recorder, RowWriter, Sample, Seed, StageKey, counted, is_or_are, said_file};
use serde_json::{Value, json};

use crate::asked::Asked;
use crate::data_file::{DataFile, write_file};
use crate::model::Model;
use crate::outside::{MADE, outside};
use crate::recipe::Recipe;
use crate::records::{Measure, TaskConfig};
use crate::resolve::Resolve;
use crate::runner::Runner;
use crate::stage_work::StageWork;
use crate::{Error, said};

impl StageWork for Measure {
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        let own = if self.tasks.is_empty() { Vec::new() } else { recipe.tasks(self)? };
        if let Some(guard) = &self.defence {
            guard.shield()?;
            if !recipe.tasks(self)?.iter().any(TaskConfig::asks_for_text) {
                let problem = format!("the defence `{}` changes answers, and no task here asks for any", guard.name);
                return Err(Error::Recipe { name: recipe.name.clone(), problem });
            }
        }
        if let Some(decoding) = &self.decoding {
            let problem = match decoding.check() {
                Err(problem) => Some(problem),
                Ok(()) if !recipe.tasks(self)?.iter().any(TaskConfig::asks_for_text) => {
                    Some("it changes answers, and no task here asks for any".to_owned())
                }
                Ok(()) => None,
            };
            if let Some(problem) = problem {
                let problem = format!("stage `{}`: decoding: {problem}", self.name);
                return Err(Error::Recipe { name: recipe.name.clone(), problem });
            }
        }
        own.iter().map(|config| check_task(recipe, self, config, resolve)).collect()
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        run(runner, self)
    }
}

/// What can be known of a task before it is put to the model.
fn check_task(recipe: &Recipe, stage: &Measure, config: &TaskConfig, resolve: Resolve<'_>) -> Result<String, Error> {
    let task = find(&config.task)?;
    if task.needs_judge() && stage.judge.is_none() {
        return Err(groma_eval::Error::NoJudge { task: &task.id }.into());
    }
    let found = match outside(recipe, &stage.name, &config.data, resolve)? {
        Some(path) => {
            let examples = config.fewshot_data.as_deref().map(resolve.data).transpose()?.map(|found| found.0);
            let items = items(task, config, &path, examples.as_deref(), Seed::new(recipe.seed))?;
            counted(items.items.len(), "item")
        }
        None => MADE.into(),
    };
    Ok(format!("{}: {} on {} ({found})", stage.name, task.id, config.data))
}

/// A task, what it reads, and its worked examples.
struct Planned<'a> {
    task: &'static Task,
    config: &'a TaskConfig,
    data: DataFile,
    examples: Option<DataFile>,
    /// What is true of the data by construction.
    planted: Option<Planted>,
}

fn run(runner: &mut Runner, stage: &Measure) -> Result<(), Error> {
    let model = runner.model(&stage.name, stage.model.as_deref())?;
    let mut key: StageKey = runner.key(&stage.name).input("model", model.digest);
    let judge = stage.judge.as_deref().map(|name| runner.model(&stage.name, Some(name))).transpose()?;
    if let Some(judge) = &judge {
        key = key.input("judge", judge.digest).config(&stage.judge_max_new_tokens)?;
    }
    if !stage.factors.is_empty() {
        key = key.config(&stage.factors)?;
    }
    if let Some(guard) = &stage.defence {
        key = key.config(guard)?;
    }
    if let Some(decoding) = &stage.decoding {
        key = key.config(decoding)?;
    }
    let unwanted = stage.unwanted().map(|name| runner.model(&stage.name, Some(name))).transpose()?;
    if let Some(unwanted) = &unwanted {
        key = key.input("unwanted", unwanted.digest);
    }
    let configs = runner.recipe.tasks(stage)?;
    let mut planned = Vec::new();
    for config in &configs {
        let task = find(&config.task)?;
        let data = runner.data(&stage.name, &config.data)?;
        let examples = examples(runner, &stage.name, config, &data)?;
        if let Some(examples) = &examples {
            key = key.input("examples", examples.digest);
        }
        let further = runner.recipe.is_trained_further(&stage.name, stage.model.as_deref());
        let planted = if further { None } else { Planted::beside(&data.path)? };
        if let Some(planted) = &planted {
            key = key.config(planted)?;
        }
        let version = json!({ "task": config, "version": task.edition(), "template": runner.recipe.chat_template });
        key = key.config(&version)?.config(&runner.recipe.seed)?.input("data", data.digest);
        planned.push(Planned { task, config, data, examples, planted });
    }
    let computes = model.is_here() || judge.as_ref().is_some_and(Model::is_here);
    runner.stage(key, computes, |runner, recorder| {
        let asked = runner.ask(&model)?;
        planned.iter().try_for_each(|part| asked.require(part.task.kind()))?;
        runner.note_asked(&asked);
        let judge = judge.map(|judge| Ok::<_, Error>((runner.ask(&judge)?, judge.name))).transpose()?;
        let unwanted = unwanted.map(|model| runner.ask(&model)).transpose()?;
        let steering = stage.decoding.as_ref().map(|decoding| decoding.steering(&asked, unwanted.as_ref()));
        let steering = steering.transpose()?;
        let mut finished = Finished { result: json!({}), ..Finished::default() };
        for part in &planned {
            runner.work.cancel.check()?;
            measure_part(runner, recorder, (stage, part), (&asked, steering, judge.as_ref()), &mut finished)?;
        }
        Ok(finished)
    })
}

/// Puts one task to the model, and keeps what came of it.
fn measure_part(
    runner: &Runner,
    recorder: &Recorder,
    (stage, part): (&Measure, &Planned<'_>),
    (asked, steering, judge): (&Asked, Option<Steering<'_>>, Option<&(Asked, String)>),
    finished: &mut Finished,
) -> Result<(), Error> {
    let Planned { task, config, data, examples, .. } = part;
    let seed = Seed::new(runner.recipe.seed).named("items").named(config.result_name());
    let items = items(task, config, &data.path, examples.as_ref().map(|file| file.path.as_path()), seed)?;
    if items.bad_rows > 0 {
        let (rows, are) = (counted(items.bad_rows, "row"), is_or_are(items.bad_rows));
        let text = format!("{}: {rows} of {} could not be used and {are} left out", config.result_name(), config.data);
        said::note(&*runner.work.progress, recorder, &text);
    }
    let shield = stage.defence.as_ref().map(|guard| Ok::<_, Error>((guard.shield()?, &guard.name))).transpose()?;
    let ((evaluation, of_judge), spent) = asked.lend_steered(config.max_length, steering, |model| {
        let behind = shield.as_ref().map(|(shield, name)| Defended::new(model, &**shield, name));
        let model = behind.as_ref().map_or(model, |defended| defended);
        match judge {
            Some((judge, name)) => judge.lend(None, |judge| {
                let judge = Subject::greedy(judge, name, stage.judge_max_new_tokens);
                measure(runner, model, Some(&judge), task, config, &items, &stage.name)
            }),
            None => Ok((measure(runner, model, None, task, config, &items, &stage.name)?, Spent::default())),
        }
    })?;
    record(runner, recorder, (stage, part), &evaluation, [spent, of_judge], finished)?;
    if let Some(output) = config.said() {
        let file = runner.recipe.place(&stage.name, &output);
        write_said(&runner.directory.inside(&file)?, &items, &evaluation)?;
        finished.outputs.push(file);
    }
    Ok(())
}

/// Where a task's worked examples are, where it has some.
fn examples(runner: &mut Runner, stage: &str, config: &TaskConfig, data: &DataFile) -> Result<Option<DataFile>, Error> {
    if config.num_fewshot == 0 {
        return Ok(None);
    }
    match &config.fewshot_data {
        Some(name) => Ok(Some(runner.data(stage, name)?)),
        None => examples_beside(find(&config.task)?, &data.path).map(DataFile::new).transpose(),
    }
}

/// Writes what was said as rows that can be learned from: prompt and completion, in the form in which they were asked.
fn write_said(path: &Path, items: &Items, evaluation: &Evaluation) -> Result<(), Error> {
    let said: BTreeMap<&str, &Said> = evaluation.said.iter().map(|said| (said.id.as_str(), said)).collect();
    let rows = items.items.iter().filter_map(|item| {
        let Some(Request::Generate(prompt)) = item.requests.first() else { return None };
        let said = said.get(item.id.as_deref()?).filter(|said| said.side.error.is_none())?;
        Some(json!({ "id": said.id, "prompt": prompt, "completion": prompt.answered(&said.side.text) }))
    });
    let lines: String = rows.map(|row| format!("{row}\n")).collect();
    write_file(path, lines.as_bytes())
}

/// The items of a task in a file or directory, with worked examples where it asks for some; at most so many as it says.
fn items(
    task: &'static Task,
    config: &TaskConfig,
    path: &Path,
    examples: Option<&Path>,
    seed: Seed,
) -> Result<Items, Error> {
    let source = ItemSource { path, num_fewshot: config.num_fewshot, examples, subjects: &config.subjects };
    Ok(items_at(task, &source)?.limited(config.limit, seed))
}

fn measure(
    runner: &Runner,
    model: &dyn LanguageModel,
    judge: Option<&Subject<'_>>,
    task: &'static Task,
    config: &TaskConfig,
    items: &Items,
    subject: &str,
) -> Result<Evaluation, Error> {
    let progress = &*runner.work.progress;
    let total = items.items.iter().map(|item| item.requests.len() as u64).sum();
    progress.begin(&format!("{subject}: {}", config.result_name()), Some(total), "request");
    let seed = runner.recipe.seed;
    let asked = Subject { seed, ..Subject::greedy(model, subject, config.max_new_tokens) };
    let options = EstimateOptions { seed, ..EstimateOptions::default() };
    let control = Control { progress, cancel: &runner.work.cancel };
    let evaluation = evaluate_judged(task, items, &asked, judge, &options, control)?;
    let headline = evaluation.measurements.first().map_or(String::new(), |m| format!("{} {:.4}", m.metric, m.value));
    progress.finish(&headline);
    Ok(evaluation)
}

/// Writes numbers, items and texts of an evaluation.
fn record(
    runner: &Runner,
    recorder: &Recorder,
    (stage, Planned { config, planted, .. }): (&Measure, &Planned<'_>),
    evaluation: &Evaluation,
    [spent, of_judge]: [Spent; 2],
    finished: &mut Finished,
) -> Result<(), Error> {
    let name = config.result_name();
    let file = recorder.items(&evaluation.subject, name, &evaluation.items)?;
    let first = evaluation.measurements.first().map(|measurement| &measurement.metric);
    for measurement in evaluation.measurements.iter().chain(&evaluation.breakdown) {
        let mut measurement = measurement.clone();
        measurement.task = name.to_owned();
        measurement.secondary =
            !evaluation.task.is_headline(&measurement.metric) && measurement.group != Group::Control;
        if first != Some(&measurement.metric) {
            // Said once a task.
            measurement.note = None;
        }
        measurement.samples = Some(file.clone());
        let planted = planted.as_ref().filter(|planted| planted.metric.as_ref() == Some(&measurement.metric));
        measurement.planted = planted.map(|planted| planted.truth);
        measurement.factors.extend(stage.factors.clone());
        measurement.factors.extend(stage.defence.as_ref().map(|guard| ("defence".to_owned(), guard.name.clone())));
        recorder.measure(measurement)?;
    }
    finished.unanswered += evaluation.unanswered;
    finished.tokens += evaluation.measurements.first().map_or(0, |m| m.tokens);
    finished.outputs.push(file);
    if let Value::Object(results) = &mut finished.result {
        let Evaluation { mode, failures, cut, .. } = evaluation;
        let money = |spent: Spent| runner.recipe.serving.prices().map(|prices| prices.of(spent.usage));
        let mut result =
            json!({ "mode": mode, "failures": failures, "cut": cut, "spent": spent, "money": money(spent) });
        if stage.judge.is_some() {
            result["judge"] = json!({ "spent": of_judge, "money": money(of_judge) });
        }
        results.insert(name.to_owned(), result);
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
