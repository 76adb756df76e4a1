//! `groma run`: a recipe, from a file or built in, done in a run directory.

mod looks;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use groma_align::Method;
use groma_lm::Address;
use groma_recipe::{
    ALIGN, BUILT_IN, Inputs, LOOP, Measure, Recipe, Stage, Summary, TaskConfig, VILLAGE, check, name_apart,
    run as run_recipe,
};
use groma_run::{Class, Classify, EventKind, RunDirectory, RunRecords, Status, counted, is_or_are};
use serde_json::{Value, json};

use super::resolve;
use crate::cli::Run;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, columns, print, print_json, say};

pub(crate) fn run(flags: &Run, context: &Context) -> Result<ExitCode> {
    if flags.list {
        return list(context);
    }
    let recipe = recipe(flags)?;
    if flags.print_recipe {
        if context.json {
            print_json(&recipe)?;
        } else {
            let text = recipe.to_toml()?;
            // A file gets it to the bit, a terminal what it may show.
            let shown =
                |text: &str| text.lines().map(|line| format!("{}\n", super::rows::safe(line))).collect::<String>();
            print(&if std::io::stdout().is_terminal() { shown(&text) } else { text });
        }
        return Ok(ExitCode::SUCCESS);
    }
    let summary = perform(&recipe, &flags.runs, flags.force, context)?;
    show(&summary, flags.gate, context)
}

/// The exit code where a gate does not hold.
const GATE_FAILED: u8 = 1;

/// Does a recipe in its run directory below `runs`, and says where. A finished run of other settings is left as it is, unless
/// `force` says otherwise.
pub(crate) fn perform(recipe: &Recipe, runs: &Path, force: bool, context: &Context) -> Result<Summary> {
    resolve::resolving(context, |resolve| check(recipe, resolve))?;
    std::fs::create_dir_all(runs).map_err(groma_run::Error::io("create", runs))?;
    let recipe = &if force { recipe.clone() } else { with_free_name(recipe, runs) };
    let path = runs.join(&recipe.name);
    let directory = RunDirectory::create_or_resume(&path)?;
    say(&format!("run directory {}", super::rows::safe(&path.display().to_string())));
    directory.repairs().iter().for_each(|repair| say(&format!("repaired: {}", super::rows::safe(repair))));
    let command = std::env::args().collect();
    let done = resolve::resolving(context, |resolve| {
        run_recipe(recipe, &Inputs { resolve, command }, &directory, &context.work)
    });
    done.map_err(|error| {
        say(&format!("what was done so far is kept in {}; the same command goes on from there", path.display()));
        error.into()
    })
}

/// The recipe under its own name, or under that name with the first number whose run it does not replace.
fn with_free_name(recipe: &Recipe, runs: &Path) -> Recipe {
    let numbered = |number: u32| match number {
        1 => recipe.clone(),
        _ => Recipe { name: format!("{}-{number}", recipe.name), ..recipe.clone() },
    };
    let free = (1..).map(numbered).find(|recipe| !is_done_otherwise(recipe, &runs.join(&recipe.name)));
    let free = free.unwrap_or_else(|| recipe.clone());
    if free.name != recipe.name {
        let (there, here) = (runs.join(&recipe.name), runs.join(&free.name));
        let (there, here) = (there.display(), here.display());
        say(&format!("{there} is finished, with other settings; this is {here} (--force replaces {there})"));
    }
    free
}

/// Whether there is a finished run of another recipe.
fn is_done_otherwise(recipe: &Recipe, path: &Path) -> bool {
    let manifest = RunRecords::read(path).map(|records| records.manifest);
    let own = decisive(json!(recipe));
    manifest.is_ok_and(|manifest| manifest.status == Status::Done && decisive(manifest.config) != own)
}

/// A recipe without what says how servers are asked: that changes what is answered yet, and no answer. The tokenizer does.
fn decisive(mut recipe: Value) -> Value {
    if let Some(fields) = recipe.as_object_mut() {
        let tokenizer = fields.get("serving").and_then(|serving| serving.get("tokenizer")).cloned();
        fields.insert("serving".into(), tokenizer.unwrap_or_default());
    }
    recipe
}

/// The recipe that the flags ask for.
pub(crate) fn recipe(flags: &Run) -> Result<Recipe> {
    let users_own = flags.model.is_some() || flags.preferences.is_some();
    let (source, mut recipe) = match &flags.recipe {
        Some(path) => parsed(&path.display().to_string(), &read_recipe(path)?)?,
        None if users_own => of_users_model(flags)?,
        None if flags.quick => parsed("village", VILLAGE)?,
        None => parsed("loop", LOOP)?,
    };
    if let Some(model) = &flags.model {
        recipe.model.clone_from(model);
    }
    if let Some(base) = &flags.base {
        recipe.base = Some(base.clone());
    }
    if let Some(preferences) = &flags.preferences {
        recipe.preferences = Some(preferences.clone());
    }
    let reading = flags.columns.reading();
    if !reading.is_plain() {
        recipe.reading = reading;
    }
    if let Some(template) = &flags.chat_template {
        recipe.chat_template.clone_from(template);
    }
    if let Some(name) = &flags.name {
        recipe.name.clone_from(name);
    }
    add_tasks(&mut recipe, &flags.tasks)?;
    add_samples(&mut recipe, flags)?;
    looks::add(&mut recipe, flags)?;
    // Names that came from flags are checked like those of a file, and --set reaches stages that flags added.
    Ok(Recipe::parse(&source, &recipe.to_toml()?, &flags.overrides)?)
}

fn parsed(name: &str, text: &str) -> Result<(String, Recipe)> {
    Ok((name.to_owned(), Recipe::parse(name, text, &[])?))
}

/// The built-in recipe for a user's model with preference pairs; without them, an empty one for what else is asked.
fn of_users_model(flags: &Run) -> Result<(String, Recipe)> {
    let looked_at = !(flags.tasks.is_empty() && flags.attacks.is_empty() && flags.inspections.is_empty());
    match (&flags.model, &flags.preferences) {
        (Some(model), Some(_)) => {
            let (source, mut recipe) = parsed("align", ALIGN)?;
            let name = short_name(model);
            recipe.name = if name.ends_with("-dpo") { format!("{name}-2") } else { format!("{name}-dpo") };
            Ok((source, recipe))
        }
        (Some(model), None) if looked_at => {
            let stages = if flags.tasks.is_empty() { vec![] } else { vec![Stage::Measure(Measure::new("measured"))] };
            Ok(("look".to_owned(), Recipe::new(&short_name(model), model, stages)))
        }
        (model, _) => {
            let missing = if model.is_some() { "--preferences" } else { "--model" };
            Err(Failure::usage(
                format!("--model and --preferences belong together; {missing} is missing"),
                "groma run --model my-model --preferences pairs.jsonl; or, to look at a model alone: --eval, --attack, --inspect",
            ))
        }
    }
}

fn list(context: &Context) -> Result<ExitCode> {
    let recipes = BUILT_IN
        .iter()
        .map(|(name, text)| Recipe::parse(name, text, &[]))
        .collect::<std::result::Result<Vec<_>, _>>()?;
    if context.json {
        let record = |recipe: &Recipe| json!({ "recipe": recipe.name, "description": recipe.description });
        print_json(&recipes.iter().map(record).collect::<Vec<_>>())?;
    } else {
        recipes.iter().for_each(|recipe| print(&format!("{}\n    {}\n", recipe.name, recipe.description)));
    }
    Ok(ExitCode::SUCCESS)
}

/// The largest recipe that is read, in bytes.
const RECIPE_BYTES: u64 = 4 << 20;

/// The recipe in a file, or the built-in one of this name where there is no such file.
pub(super) fn read_recipe(path: &Path) -> Result<String> {
    let built_in = BUILT_IN.iter().find(|(name, _)| path.as_os_str() == *name && !path.exists());
    if let Some((_, text)) = built_in {
        return Ok((*text).to_owned());
    }
    groma_run::read_text(path, RECIPE_BYTES).map_err(|error| match error.class() {
        Class::Usage => Failure::usage(
            format!("cannot read the recipe: {error}"),
            format!(
                "`groma run --print-recipe` prints one to begin with; built in are {}",
                BUILT_IN.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
            ),
        ),
        _ => error.into(),
    })
}

/// The last part of a path, hub id or address, as a name for a directory.
pub(crate) fn short_name(model: &str) -> String {
    if let Ok(address) = Address::parse(model) {
        return groma_run::file_name(address.model());
    }
    let path = PathBuf::from(model);
    let last = path.canonicalize().unwrap_or(path).file_name().map(|name| name.to_string_lossy().into_owned());
    groma_run::file_name(&last.unwrap_or_else(|| "model".into()))
}

/// Adds `TASK=FILE` to the first measuring stage; later ones take its tasks over.
fn add_tasks(recipe: &mut Recipe, tasks: &[String]) -> Result<()> {
    let own = recipe.stages.iter().find_map(Stage::as_measure).map_or(0, |measure| measure.tasks.len());
    for pair in tasks {
        let (task, file) = resolve::task_and_file(pair)?;
        let data = resolve::task_data(groma_eval::find(task)?, file)?;
        let config = TaskConfig::new(task, &data);
        let Some(measure) = recipe.stages.iter_mut().find_map(Stage::as_measure_mut) else {
            return Err(Failure::usage("the recipe has no measuring stage for --eval", "add one to the recipe"));
        };
        if !measure.tasks.contains(&config) {
            measure.tasks.push(config);
        }
    }
    if let Some(measure) = recipe.stages.iter_mut().find_map(Stage::as_measure_mut) {
        name_apart(&mut measure.tasks, own);
    }
    Ok(())
}

/// Gives `--sample-steps` and `--sample-prompts` to the stages that train a model which answers.
fn add_samples(recipe: &mut Recipe, flags: &Run) -> Result<()> {
    for stage in recipe.stages.iter_mut().filter_map(Stage::as_train_mut).filter(|_| flags.sample_steps.is_some()) {
        if Method::require(&stage.method)?.predicts() {
            stage.settings.extend(resolve::sampling(flags.sample_steps, flags.sample_prompts));
        }
    }
    Ok(())
}

fn show(summary: &Summary, gated: bool, context: &Context) -> Result<ExitCode> {
    say_warnings(&summary.warnings);
    if context.json {
        let records = RunRecords::read(&summary.directory)?;
        let of_kind = |kind| records.events.iter().filter(move |event| event.kind == kind);
        let findings =
            of_kind(EventKind::Finding).map(|event| json!({ "stage": event.stage, "finding": event.finding }));
        let notes = of_kind(EventKind::Note).map(|event| json!({ "stage": event.stage, "note": event.message }));
        print_json(&json!({
            "notes": notes.collect::<Vec<_>>(), "findings": findings.collect::<Vec<_>>(),
            "directory": summary.directory, "report": summary.report, "headline": summary.headline,
            "stages_done": summary.done, "stages_reused": summary.reused, "seconds": summary.seconds,
            "failed_gates": summary.failed_gates, "warnings": summary.warnings,
        }))?;
    } else {
        print(&summary.headline.to_text(columns()));
        say(&format!(
            "{} done, {} taken over, {:.0} s",
            counted(summary.done as u64, "stage"),
            summary.reused,
            summary.seconds
        ));
        say(&format!("report: {}", summary.report.display()));
    }
    for failed in &summary.failed_gates {
        say(&format!("gate: {}", super::rows::safe(failed)));
    }
    Ok(if gated && !summary.failed_gates.is_empty() { ExitCode::from(GATE_FAILED) } else { exit_code(summary) })
}

/// What could not be read of a run's records.
pub(crate) fn say_warnings(warnings: &[String]) {
    warnings.iter().for_each(|warning| say(&format!("warning: {}", super::rows::safe(warning))));
}

/// That of a run that has ended; something without an answer is told.
pub(crate) fn exit_code(summary: &Summary) -> ExitCode {
    if summary.unanswered == 0 {
        return ExitCode::SUCCESS;
    }
    let count = summary.unanswered;
    say(&format!(
        "{} without an answer, which {} in no number; the same command asks for these alone",
        counted(count, "item"),
        is_or_are(count)
    ));
    ExitCode::from(Class::Partial.exit_code())
}
