//! `groma attack`: attacks on a model, as a run of one attacking stage.

use std::collections::BTreeMap;
use std::process::ExitCode;

use groma_attack::{ATTACKS, Access, Budget};
use groma_recipe::{Attack, Guard, Recipe, Stage, Summary};
use groma_run::{Digest, Measurement, RunRecords};
use serde_json::{Map, Value, json};

use super::resolve;
use super::run::{exit_code, perform, short_name};
use crate::cli::Attack as Flags;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print, print_json, say};

/// Name of the attacking stage, and of the model in its results.
const SUBJECT: &str = "model";

pub(crate) fn run(flags: &Flags, context: &Context) -> Result<ExitCode> {
    if flags.list {
        return list(context);
    }
    let recipe = recipe(flags)?;
    let summary = perform(&recipe, &flags.runs, flags.force, context)?;
    let records = RunRecords::read(&summary.directory)?;
    show(&summary, &records, context)?;
    Ok(exit_code(&summary))
}

/// The flags as a recipe.
fn recipe(flags: &Flags) -> Result<Recipe> {
    let defence = resolve::settings(&flags.defence_set)?;
    let attack = Attack {
        limit: flags.limit,
        target: flags.target.clone(),
        budget: Budget { queries: flags.queries, tokens: flags.tokens, seconds: flags.seconds },
        max_new_tokens: flags.max_new_tokens,
        defence: flags.defence.clone().map(|name| Guard { name, settings: defence }),
        judge: flags.judge.clone(),
        judge_max_new_tokens: flags.judge_max_new_tokens,
        settings: settings(&flags.settings)?,
        show_hits: flags.show_hits,
        goals: flags.goals.clone(),
        texts: flags.texts.clone(),
        reference: flags.reference.clone(),
        ..Attack::new(SUBJECT, flags.attacks.clone())
    };
    let mut recipe = Recipe {
        seed: flags.seed,
        base: flags.base.clone(),
        chat_template: flags.chat_template.clone(),
        serving: flags.serving.settings(),
        ..Recipe::new("attack", flags.model.as_deref().unwrap_or_default(), vec![Stage::Attack(attack)])
    };
    recipe.name = match &flags.name {
        Some(name) => name.clone(),
        None => {
            let settings = Digest::of_json(&recipe)
                .map_err(|source| groma_run::Error::Encode { path: flags.runs.clone(), source })?;
            format!("attack-{}-{}", short_name(&recipe.model), settings.short())
        }
    };
    // What came from flags is checked like a file's.
    Ok(Recipe::parse("groma attack", &recipe.to_toml()?, &[])?)
}

/// `ATTACK.KEY=VALUE` pairs, by attack.
fn settings(pairs: &[String]) -> Result<BTreeMap<String, Map<String, Value>>> {
    let mut found: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for pair in pairs {
        let (attack, rest) = pair.split_once('.').filter(|(attack, _)| !attack.contains('=')).ok_or_else(|| {
            Failure::usage(format!("`{pair}` is not of the form ATTACK.KEY=VALUE"), "e.g. --set gcg.steps=100")
        })?;
        let read = resolve::settings(std::slice::from_ref(&rest.to_owned()))?;
        found.entry(attack.to_owned()).or_default().extend(read);
    }
    Ok(found)
}

/// What was found, attack by attack.
fn show(summary: &Summary, records: &RunRecords, context: &Context) -> Result<()> {
    if context.json {
        let result = summary.stages.iter().find(|record| record.stage == SUBJECT).map(|record| &record.result);
        return print_json(&json!({
            "directory": summary.directory, "report": summary.report, "measurements": records.measurements,
            "attacks": result, "seconds": summary.seconds,
        }));
    }
    for measurement in &records.measurements {
        print(&line(measurement));
    }
    say(&format!("report: {}", summary.report.display()));
    Ok(())
}

fn line(m: &Measurement) -> String {
    let interval =
        m.interval.as_ref().map_or(String::new(), |i| format!("  [{:.4}, {:.4}] {}", i.low, i.high, i.method));
    let failed = if m.failed > 0 { format!("  {} unscored", m.failed) } else { String::new() };
    format!("{:<15} {:<32} {:>10.4}  n {}{failed}{interval}\n", m.task, m.metric, m.value, m.n)
}

/// All attacks.
fn list(context: &Context) -> Result<ExitCode> {
    if context.json {
        let record = |attack: &groma_attack::Attack| {
            let needs = if attack.access == Access::Answers { "answers" } else { "weights" };
            json!({
                "attack": attack.id, "paper": attack.paper, "doc": attack.doc, "needs": needs, "control": attack.is_control,
                "reads": if attack.is_audit { "texts" } else { "goals" },
            })
        };
        print_json(&ATTACKS.iter().map(record).collect::<Vec<_>>())?;
    } else {
        ATTACKS.iter().for_each(|attack| print(&format!("{}\n    {}\n    {}\n", attack.id, attack.doc, attack.paper)));
    }
    Ok(ExitCode::SUCCESS)
}
