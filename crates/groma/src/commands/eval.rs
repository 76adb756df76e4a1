//! `groma eval`: tasks put to a model, as a run of one measuring stage.

use std::path::Path;
use std::process::ExitCode;

use groma_eval::{Task, Tasks};
use groma_lm::Spent;
use groma_recipe::{Guard, Measure, Recipe, Stage, Summary, TaskConfig, name_apart};
use groma_report::{HarnessResults, HarnessTask, sanitized};
use groma_run::{Digest, Disk, Item, Measurement, RowReader, RunRecords};
use serde_json::{Value, json};

use super::resolve;
use super::run::{exit_code, perform, short_name};
use crate::cli::Eval;
use crate::failure::Result;
use crate::terminal::{Context, columns, print, print_json, say};

/// Name of the measuring stage, and of the model in its results.
const SUBJECT: &str = "model";

pub(crate) fn run(flags: &Eval, context: &Context) -> Result<ExitCode> {
    if flags.list {
        return list(&flags.known()?, flags.tasks.as_slice(), context);
    }
    let recipe = recipe(flags)?;
    let summary = perform(&recipe, &flags.runs, flags.force, context)?;
    let records = RunRecords::read(&summary.directory)?;
    show(flags, &recipe, &summary, &records, context)?;
    if let Some(directory) = &flags.output {
        write_results(directory, &recipe, &records)?;
    }
    Ok(exit_code(&summary))
}

/// The flags as a recipe.
fn recipe(flags: &Eval) -> Result<Recipe> {
    let tasks = flags.known()?;
    let mut configs = Vec::new();
    for pair in &flags.tasks {
        let (pattern, file) = resolve::task_and_file(pair)?;
        for task in tasks.matching(pattern)? {
            let config = flags.config(task, &tasks, file)?;
            if !configs.contains(&config) {
                configs.push(config);
            }
        }
    }
    name_apart(&mut configs, 0);
    let measure = Measure {
        judge: flags.judge.clone(),
        judge_max_new_tokens: flags.judge_max_new_tokens,
        defence: flags.guard()?,
        decoding: resolve::decoding(&flags.decoding),
        tasks: configs,
        ..Measure::new(SUBJECT)
    };
    let mut recipe = Recipe {
        seed: flags.seed,
        base: flags.base.clone(),
        chat_template: flags.chat_template.clone(),
        serving: flags.serving.settings(),
        ..Recipe::new("eval", flags.model.as_deref().unwrap_or_default(), vec![Stage::Measure(measure)])
    };
    recipe.name = match &flags.name {
        Some(name) => name.clone(),
        None => {
            let settings = Digest::of_json(&recipe)
                .map_err(|source| groma_run::Error::Encode { path: flags.runs.clone(), source })?;
            format!("eval-{}-{}", short_name(&recipe.model), settings.short())
        }
    };
    // What came from flags is checked like a file's.
    Ok(Recipe::parse("groma eval", &recipe.to_toml()?, &[])?)
}

impl Eval {
    /// groma's own tasks, and those of the user's directory.
    fn known(&self) -> Result<Tasks> {
        let tasks = Tasks::built_in()?;
        Ok(match &self.task_dir {
            Some(directory) => tasks.with_directory(directory)?,
            None => tasks,
        })
    }

    /// What stands before the model.
    fn guard(&self) -> Result<Option<Guard>> {
        let settings = resolve::settings(&self.defence_set)?;
        Ok(self.defence.clone().map(|name| Guard { name, settings }))
    }

    /// What is asked of a task: named by its file where it is a user's, by its name otherwise.
    fn config(&self, task: &Task, tasks: &Tasks, file: Option<&str>) -> Result<TaskConfig> {
        let mut examples = None;
        for pair in &self.fewshot_data {
            let (name, file) = resolve::task_and_file(pair)?;
            if tasks.matching(name)?.iter().any(|other| other.id == task.id) {
                examples = Some(resolve::task_data(task, file)?);
            }
        }
        let path = task.path.as_deref();
        Ok(TaskConfig {
            name: path.is_some().then(|| task.id.clone()),
            num_fewshot: self.num_fewshot,
            fewshot_data: examples,
            subjects: self.subjects.clone(),
            limit: self.limit,
            max_length: self.max_length,
            max_new_tokens: self.max_new_tokens,
            ..TaskConfig::new(path.unwrap_or(&task.id), &resolve::task_data(task, file)?)
        })
    }
}

/// What was measured, task by task.
fn show(flags: &Eval, recipe: &Recipe, summary: &Summary, records: &RunRecords, context: &Context) -> Result<()> {
    let result = summary.stages.iter().find(|record| record.stage == SUBJECT).map(|record| &record.result);
    let mut documents = Vec::new();
    for name in recipe.measured()? {
        let of_task = records.measurements.iter().filter(|m| m.task == name);
        let (breakdown, measurements): (Vec<&Measurement>, Vec<_>) = of_task.partition(|m| m.metric.ends_with(']'));
        let said = result.and_then(|result| result.get(&name)).unwrap_or(&Value::Null);
        if !context.json {
            if flags.breakdown {
                print(&table(&name, &measurements, &breakdown));
            }
            say_spent("", said);
            say_spent("judge: ", &said["judge"]);
            continue;
        }
        let file = measurements.first().and_then(|m| m.samples.clone()).filter(|_| flags.items);
        documents.push(json!({
            "task": name, "measurements": measurements, "breakdown": breakdown, "failures": said["failures"],
            "cut": said["cut"], "mode": said["mode"], "spent": said["spent"], "money": said["money"],
            "judge": said["judge"],
            "items": file.map(|file| items(&summary.directory.join(file))).transpose()?,
        }));
    }
    if context.json {
        return print_json(&documents);
    }
    print(&summary.headline.to_summary(columns()));
    say(&format!("report: {}", summary.report.display()));
    Ok(())
}

/// Writes the results in lm-evaluation-harness's form.
fn write_results(directory: &Path, recipe: &Recipe, records: &RunRecords) -> Result<()> {
    let mut tasks = Vec::new();
    for config in recipe.stages.iter().filter_map(Stage::as_measure).flat_map(|stage| &stage.tasks) {
        let version = groma_eval::find(&config.task)?.edition();
        let name = config.name.as_ref().unwrap_or(&config.task).clone();
        tasks.push(HarnessTask { name, version, num_fewshot: config.num_fewshot, limit: config.limit });
    }
    let found = HarnessResults::of_run(records, SUBJECT, &recipe.model, &tasks)?;
    let folder = directory.join(sanitized(&recipe.model));
    std::fs::create_dir_all(&folder).map_err(groma_run::Error::io("create", &folder))?;
    let date = records.manifest.finished.unwrap_or(records.manifest.started).to_string().replace(':', "-");
    let write =
        |name: String, text: String| groma_run::atomic::write_file(&Disk::files(), &folder.join(name), text.as_bytes());
    write(format!("results_{date}.json"), format!("{:#}\n", found.results))?;
    write(format!("results_{date}.md"), found.table())?;
    for (task, rows) in &found.samples {
        let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
        write(format!("samples_{}_{date}.jsonl", groma_run::file_name(task)), lines)?;
    }
    say(&format!("results in lm-evaluation-harness's form: {}", folder.display()));
    Ok(())
}

/// What a server says that it spent, where one was asked; `who` it was, where there are several.
pub(super) fn say_spent(who: &str, said: &Value) {
    let spent: Spent = serde_json::from_value(said["spent"].clone()).unwrap_or_default();
    if spent.answered + spent.failed > 0 {
        let money = said["money"].as_f64().map_or(String::new(), |money| format!("; {money:.6} in money"));
        say(&format!("{who}{spent}{money}"));
    }
}

fn items(path: &Path) -> Result<Vec<Item>> {
    Ok(RowReader::<Item>::open(path)?.collect::<std::result::Result<_, _>>()?)
}

fn table(task: &str, measurements: &[&Measurement], breakdown: &[&Measurement]) -> String {
    let mode = measurements.first().map_or("", |m| &m.mode);
    let mut text = format!("{task} ({mode})\n");
    for m in measurements.iter().chain(breakdown) {
        let interval = m.interval.as_ref().map_or(String::new(), |i| {
            format!("  [{:.4}, {:.4}] {} {:.0} %", i.low, i.high, i.method, 100.0 * i.level)
        });
        let chance = m.chance.map_or(String::new(), |chance| format!("  chance {chance:.4}"));
        let failed = if m.failed > 0 { format!("  {} failed", m.failed) } else { String::new() };
        text.push_str(&format!("  {:<22} {:>10.4}  n {}{failed}{interval}{chance}\n", m.metric, m.value, m.n));
    }
    text
}

/// All tasks, or all about those that are named.
fn list(tasks: &Tasks, named: &[String], context: &Context) -> Result<ExitCode> {
    let chosen: Vec<&Task> = match named {
        [] => tasks.iter().collect(),
        named => named.iter().map(|name| tasks.find(name)).collect::<std::result::Result<_, _>>()?,
    };
    if context.json {
        print_json(&chosen.into_iter().map(record).collect::<Vec<_>>())?;
    } else if named.is_empty() {
        for task in chosen {
            print(&format!("{}\n    {}\n    reads {}\n", task.id, task.title, task.expected()));
        }
    } else {
        chosen.into_iter().for_each(|task| print(&described(task)));
    }
    Ok(ExitCode::SUCCESS)
}

fn record(task: &Task) -> Value {
    let metrics: Vec<&str> = task.metrics.iter().map(|metric| metric.id).collect();
    json!({
        "task": task.id, "title": task.title, "paper": task.paper, "source": task.source, "licence": task.licence,
        "section": task.section, "version": task.version, "mode": task.mode, "reads": task.expected(), "metrics": metrics,
        "data": task.data,
    })
}

fn described(task: &Task) -> String {
    let mut text = format!("{}\n    {}\n", task.id, task.title);
    let hub = task.data.hub.clone().unwrap_or_default();
    let lines = [
        ("paper", &task.paper),
        ("data", &task.source),
        ("on the hub", &hub),
        ("licence", &task.licence),
        ("section", &task.section),
        ("asks", &task.mode),
        ("reads", &task.expected()),
    ];
    for (name, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("    {name}: {value}\n"));
    }
    for metric in &task.metrics {
        text.push_str(&format!("    {:<22} {}\n", metric.id, metric.title));
    }
    text
}
