//! `groma eval`: tasks put to a model.

use std::process::ExitCode;

use groma_eval::{Control, EstimateOptions, LocalOptions, LocalSubject, TASKS, Task, evaluate, find};
use groma_model::sampling::SamplingParameters;
use groma_recipe::task_items;
use groma_run::{Measurement, Seed};
use serde_json::json;

use super::resolve;
use crate::cli::Eval;
use crate::failure::Result;
use crate::terminal::{Context, print, print_json};

pub(crate) fn run(flags: &Eval, context: &Context) -> Result<ExitCode> {
    if flags.list {
        return list(context);
    }
    let mut wanted = Vec::new();
    for pair in &flags.tasks {
        let (task, file) = resolve::task_and_file(pair)?;
        wanted.push((find(task)?, resolve::data(file, &*context.work.progress)?.0));
    }
    let mut model = resolve::open(flags.model.as_deref().unwrap_or_default(), &flags.chat_template, context)?;
    model.freeze();
    let options = EstimateOptions { seed: flags.seed, ..EstimateOptions::default() };
    let sampling = SamplingParameters::greedy(flags.max_new_tokens);
    let subject = LocalSubject::new(&model, LocalOptions { sampling, seed: flags.seed, ..LocalOptions::default() });
    let mut documents = Vec::new();
    for (task, path) in wanted {
        let items = task_items(task, &path, flags.limit, Seed::new(flags.seed).named("items").named(task.id))?;
        let progress = &*context.work.progress;
        progress.begin(task.id, Some(items.items.iter().map(|item| item.requests.len() as u64).sum()), "request");
        let control = Control { progress, cancel: &context.work.cancel };
        let evaluation = evaluate(task, &items, &subject, "model", &options, control)?;
        progress.finish("measured");
        if context.json {
            documents.push(json!({
                "task": task.id, "measurements": evaluation.measurements, "breakdown": evaluation.breakdown,
                "failures": evaluation.failures, "items": flags.items.then_some(&evaluation.items),
            }));
        } else {
            print(&table(task, &evaluation.measurements));
        }
    }
    if context.json {
        print_json(&documents)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn table(task: &Task, measurements: &[Measurement]) -> String {
    let mut text = format!("{} ({})\n", task.id, task.mode);
    for m in measurements {
        let interval = m.interval.as_ref().map_or(String::new(), |i| {
            format!("  [{:.4}, {:.4}] {} {:.0} %", i.low, i.high, i.method, 100.0 * i.level)
        });
        let chance = m.chance.map_or(String::new(), |chance| format!("  chance {chance:.4}"));
        let failed = if m.failed > 0 { format!("  {} failed", m.failed) } else { String::new() };
        text.push_str(&format!("  {:<22} {:>10.4}  n {}{failed}{interval}{chance}\n", m.metric, m.value, m.n));
    }
    text
}

fn list(context: &Context) -> Result<ExitCode> {
    if context.json {
        let rows: Vec<_> = TASKS
            .iter()
            .map(|task| {
                let metrics: Vec<&str> = task.metrics.iter().map(|metric| metric.id).collect();
                json!({
                    "task": task.id, "title": task.title, "paper": task.paper, "source": task.source,
                    "mode": task.mode, "reads": task.expected(), "metrics": metrics,
                })
            })
            .collect();
        print_json(&rows)?;
    } else {
        for task in TASKS {
            print(&format!("{}\n    {}\n    reads {}\n", task.id, task.title, task.expected()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
