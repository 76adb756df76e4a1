//! `groma eval`: tasks put to a model.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use groma_eval::{EstimateOptions, Evaluation, ItemSource, Subject, Task, Tasks, evaluate_judged, items_at};
use groma_lm::{Control, LanguageModel};
use groma_run::{Class, Seed};
use serde_json::{Value, json};

use super::asked::Asked;
use super::resolve;
use crate::cli::Eval;
use crate::failure::Result;
use crate::terminal::{Context, print, print_json, say};

pub(crate) fn run(flags: &Eval, context: &Context) -> Result<ExitCode> {
    if flags.list {
        return list(&flags.known()?, flags.tasks.as_slice(), context);
    }
    let tasks = flags.known()?;
    let mut wanted = Vec::new();
    for pair in &flags.tasks {
        let (name, file) = resolve::task_and_file(pair)?;
        let task = tasks.find(name)?;
        wanted.push((task, resolve::data(&resolve::task_data(task, file)?, &*context.work.progress)?.0));
    }
    let mut examples = BTreeMap::new();
    for pair in &flags.fewshot_data {
        let (name, file) = resolve::task_and_file(pair)?;
        let task = tasks.find(name)?;
        examples.insert(&task.id, resolve::data(&resolve::task_data(task, file)?, &*context.work.progress)?.0);
    }
    let name = flags.model.as_deref().unwrap_or_default();
    let asked = Asked::open(name, &flags.chat_template, flags.max_length, &flags.serving, context)?;
    let judge = flags.judge.as_deref();
    let judge =
        judge.map(|judge| Asked::open(judge, &flags.chat_template, None, &flags.serving, context)).transpose()?;
    let failed = asked.lend(&flags.serving, |model| {
        let work = |judge: Option<&dyn LanguageModel>| measure(flags, wanted, &examples, (model, judge), context);
        match &judge {
            Some(judge) => judge.lend(&flags.serving, |judge| work(Some(judge))),
            None => work(None),
        }
    })?;
    if failed > 0 && (asked.is_served() || judge.as_ref().is_some_and(Asked::is_served)) {
        say(&format!(
            "{failed} items have no answer and are in no number; run it again, with --cache only these are asked"
        ));
        return Ok(ExitCode::from(Class::Partial.exit_code()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures a model, perhaps with a judge, and shows; gives the number of items that failed.
fn measure(
    flags: &Eval,
    wanted: Vec<(&'static Task, PathBuf)>,
    examples: &BTreeMap<&String, PathBuf>,
    (model, judge): (&dyn LanguageModel, Option<&dyn LanguageModel>),
    context: &Context,
) -> Result<u64> {
    let options = EstimateOptions { seed: flags.seed, ..EstimateOptions::default() };
    let subject = Subject { seed: flags.seed, ..Subject::greedy(model, "model", flags.max_new_tokens) };
    let judge_name = flags.judge.as_deref().unwrap_or_default();
    let judge = judge.map(|judge| Subject::greedy(judge, judge_name, flags.judge_max_new_tokens));
    let mut failed = 0;
    let mut documents = Vec::new();
    for (task, path) in wanted {
        let seed = Seed::new(flags.seed).named("items").named(&task.id);
        let items = items_at(task, &flags.source(&path, examples.get(&task.id)))?.limited(flags.limit, seed);
        let progress = &*context.work.progress;
        progress.begin(&task.id, Some(items.items.iter().map(|item| item.requests.len() as u64).sum()), "request");
        let control = Control { progress, cancel: &context.work.cancel };
        let evaluation = evaluate_judged(task, &items, &subject, judge.as_ref(), &options, control)?;
        progress.finish("measured");
        failed += evaluation.failures.values().sum::<u64>();
        if context.json {
            documents.push(json!({
                "task": task.id, "measurements": evaluation.measurements, "breakdown": evaluation.breakdown,
                "failures": evaluation.failures, "cut": evaluation.cut, "mode": evaluation.mode, "items": flags.items.then_some(&evaluation.items),
            }));
        } else {
            print(&table(&evaluation));
        }
    }
    if context.json {
        print_json(&documents)?;
    }
    Ok(failed)
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

    fn source<'a>(&'a self, path: &'a Path, examples: Option<&'a PathBuf>) -> ItemSource<'a> {
        ItemSource {
            path,
            num_fewshot: self.num_fewshot,
            examples: examples.map(PathBuf::as_path),
            subjects: &self.subjects,
        }
    }
}

fn table(evaluation: &Evaluation) -> String {
    let mut text = format!("{} ({})\n", evaluation.task.id, evaluation.mode);
    for m in evaluation.measurements.iter().chain(&evaluation.breakdown) {
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
