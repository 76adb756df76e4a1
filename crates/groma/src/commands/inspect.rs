//! `groma inspect`: one instrument on one model, as a run of one stage.

use std::collections::BTreeMap;
use std::process::ExitCode;

use groma_interp::{INSTRUMENTS, Instrument, Need};
use groma_recipe::{Chosen, Inspect, Recipe, Stage, Summary};
use groma_run::{Digest, RunRecords};
use serde_json::{Value, json};

use super::run::{exit_code, perform, short_name};
use super::{found, resolve};
use crate::cli;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print, print_json, say};

/// Name of the stage.
const STAGE: &str = "inspect";

pub(crate) fn run(flags: &cli::Inspect, context: &Context) -> Result<ExitCode> {
    if flags.list {
        return list(flags.instrument.as_deref(), context);
    }
    let recipe = recipe(flags)?;
    let summary = perform(&recipe, &flags.runs, flags.force, context)?;
    let records = RunRecords::read(&summary.directory)?;
    show(flags, &summary, &records, context)?;
    Ok(exit_code(&summary))
}

/// The flags as a recipe.
fn recipe(flags: &cli::Inspect) -> Result<Recipe> {
    let instrument = Instrument::find(flags.instrument.as_deref().unwrap_or_default())?;
    let data = chosen(flags.data.as_deref(), &flags.only)?.ok_or_else(|| {
        Failure::usage("what is looked at? --data is missing".to_owned(), "e.g. --data questions.jsonl")
    })?;
    let model = flags.model.as_deref().unwrap_or_default();
    let stage = Inspect {
        subject: Some(short_name(model)),
        against: chosen(flags.against.as_deref(), &flags.against_only)?,
        test: chosen(flags.test.as_deref(), &flags.test_only)?,
        test_against: chosen(flags.test_against.as_deref(), &flags.test_against_only)?,
        texts: flags.texts.clone(),
        limit: flags.limit,
        cluster: flags.cluster.clone(),
        settings: resolve::settings(&flags.settings)?,
        ..Inspect::new(STAGE, instrument.id, data)
    };
    let mut recipe = Recipe {
        seed: flags.seed,
        base: flags.base.clone(),
        chat_template: flags.chat_template.clone(),
        ..Recipe::new("inspect", model, vec![Stage::Inspect(stage)])
    };
    recipe.name = match &flags.name {
        Some(name) => name.clone(),
        None => {
            let settings = Digest::of_json(&recipe)
                .map_err(|source| groma_run::Error::Encode { path: flags.runs.clone(), source })?;
            format!("inspect-{}-{}-{}", instrument.id, short_name(model), settings.short())
        }
    };
    // What came from flags is checked like a file's.
    Ok(Recipe::parse("groma inspect", &recipe.to_toml()?, &[])?)
}

/// Rows of a file, of which those are meant that `only` names by columns.
fn chosen(file: Option<&str>, only: &[String]) -> Result<Option<Chosen>> {
    let Some(rows) = file.map(str::to_owned) else { return Ok(None) };
    let mut columns = BTreeMap::new();
    for pair in only {
        let (column, value) = pair.split_once('=').ok_or_else(|| {
            Failure::usage(format!("`{pair}` is not of the form COLUMN=VALUE"), "e.g. --only condition=with")
        })?;
        columns.insert(column.trim().to_owned(), value.trim().to_owned());
    }
    Ok(Some(if columns.is_empty() { Chosen::All(rows) } else { Chosen::Only { rows, only: columns } }))
}

/// What was found.
fn show(flags: &cli::Inspect, summary: &Summary, records: &RunRecords, context: &Context) -> Result<()> {
    let files = summary.stages.iter().find(|record| record.stage == STAGE).map(|record| &record.result["files"]);
    if context.json {
        return print_json(&json!({
            "measurements": records.measurements, "files": files, "directory": summary.directory, "report": summary.report,
        }));
    }
    let shown = records.measurements.iter().filter(|number| flags.all || !number.secondary);
    print(&found::table(shown));
    for file in files.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        say(&format!("{}", summary.directory.join(file).display()));
    }
    say(&format!("report: {}", summary.report.display()));
    Ok(())
}

/// All instruments, or all about one.
fn list(named: Option<&str>, context: &Context) -> Result<ExitCode> {
    let chosen: Vec<&Instrument> = match named {
        Some(name) => vec![Instrument::find(name)?],
        None => INSTRUMENTS.iter().collect(),
    };
    if context.json {
        print_json(&chosen.into_iter().map(record).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    for one in chosen {
        let needs: String = one.needs.iter().map(|need| format!("    needs --{}\n", flag(*need))).collect();
        print(&format!("{}\n    {}\n    {} ({})\n{needs}\n", one.id, one.title, one.doc, one.paper));
    }
    Ok(ExitCode::SUCCESS)
}

fn flag(need: Need) -> &'static str {
    match need {
        Need::Against => "against",
        Need::Texts => "texts",
    }
}

fn record(one: &Instrument) -> Value {
    let needs: Vec<&str> = one.needs.iter().map(|need| flag(*need)).collect();
    json!({ "instrument": one.id, "title": one.title, "paper": one.paper, "doc": one.doc, "needs": needs })
}
