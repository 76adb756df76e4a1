//! `groma check`: everything about a recipe that can be known before a long run, or what rows of data become.

use std::path::Path;
use std::process::ExitCode;

use groma_align::{Limits, METHODS, Method, RowView, Settings, check_columns, look, prepare_read};
use groma_data::{Fields, Layout, Rows, Shape};
use groma_lm::Encoder;
use groma_model::{ChatTemplate, TemplateChoice, Tokenizer, base_checkpoint, spec_in, tokens_in};
use groma_recipe::{Recipe, check, check_parts, check_settings, read_rows};
use groma_run::{Finding, Seed, counted};
use serde_json::{Value, json};

use super::{resolve, rows};
use crate::cli::Check;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print, print_json};

pub(crate) fn run(flags: &Check, context: &Context) -> Result<ExitCode> {
    match (&flags.data, &flags.recipe) {
        (Some(data), _) => check_data(flags, data, context),
        (None, Some(file)) => check_recipe(flags, file, context),
        (None, None) => Err(Failure::usage("nothing to check", "name a recipe, or rows with --data FILE")),
    }
}

fn check_recipe(flags: &Check, file: &Path, context: &Context) -> Result<ExitCode> {
    let (name, text) = (file.display().to_string(), super::run::read_recipe(file)?);
    let recipe = Recipe::parse(&name, &text, &flags.overrides)?;
    check_settings(&recipe, &name, &text)?;
    let findings = resolve::resolving(context, |resolve| check(&recipe, resolve))?;
    if context.json {
        print_json(&json!({ "recipe": recipe, "findings": findings }))?;
    } else {
        for finding in &findings {
            print(&format!("{}\n", groma_report::for_terminal(finding)));
        }
        let stages = counted(recipe.stages.len() as u64, "stage");
        print(&format!("{} can be run: {stages}\n", rows::safe(&name)));
    }
    Ok(ExitCode::SUCCESS)
}

/// The first rows in the tokens of a model, as a method learns from them.
struct Prepared {
    template: ChatTemplate,
    method: &'static Method,
    findings: Vec<Finding>,
    rows: Vec<RowView>,
}

fn check_data(flags: &Check, data: &str, context: &Context) -> Result<ExitCode> {
    let (path, _) = resolve::data(data, &*context.work.progress)?;
    let method = flags.method.as_deref().map(Method::require).transpose()?;
    let accepted = method.map_or(Shape::ALL, |method| method.data);
    let rows = read_rows(&path, accepted, None, Seed::new(0), &flags.columns.reading())?;
    let prepared = flags.model.as_deref().map(|model| prepared(flags, model, method, &rows, context)).transpose()?;
    if context.json {
        print_json(&record(flags, data, &rows, prepared.as_ref()))?;
    } else {
        print(&table(flags, data, &rows, prepared.as_ref()));
    }
    Ok(ExitCode::SUCCESS)
}

fn prepared(
    flags: &Check,
    model: &str,
    method: Option<&'static Method>,
    rows: &Rows,
    context: &Context,
) -> Result<Prepared> {
    resolve::base(model, flags.base.as_deref(), &*context.work.progress)?;
    let (directory, _) = resolve::model(model, &*context.work.progress)?;
    // Of a tokenizer alone nothing is known; else the method must be one that can train the model.
    let predicts = spec_in(&directory).map_or(true, |spec| spec.predicts());
    let fits = |method: &&&Method| method.data.contains(&rows.shape) && (predicts || !method.predicts());
    let method = method.or_else(|| METHODS.iter().find(fits).copied());
    let method = method.ok_or_else(|| {
        let who = if predicts { "no method" } else { "no method that trains a reward model" };
        let why = format!("{who} learns from {} rows", rows.shape);
        Failure::usage(why, "leave out --model to see how they are read")
    })?;
    let settings = Settings::resolve(method, &resolve::settings(&flags.overrides)?)?;
    check_columns(&settings, rows.rows.iter())?;
    if spec_in(&directory).is_ok() {
        check_parts(method, &directory, [])?;
    }
    let (tokenizer, template) = tokens(&directory, &flags.chat_template, context)?;
    let limits = match base_checkpoint(&directory) {
        Ok(checkpoint) => Limits::of(checkpoint.spec()),
        Err(_) => Limits { vocab_size: usize::MAX, max_positions: usize::MAX },
    };
    let stop_ids = tokenizer.stop_ids().iter().copied().chain(template.turn_end(&tokenizer)).collect();
    let encoder = Encoder { tokenizer: &tokenizer, chat: &template, stop_ids };
    let found = prepare_read(&settings, rows, &encoder, limits)?;
    let first = &found.groups[..flags.rows.min(found.groups.len())];
    let views = look(first, &tokenizer)?;
    Ok(Prepared { template, method, findings: found.findings, rows: views })
}

/// The tokenizer and the chat template of a model; its weights are read where the template must be guessed.
fn tokens(directory: &Path, template: &str, context: &Context) -> Result<(Tokenizer, ChatTemplate)> {
    if let (tokenizer, Some(chat)) = tokens_in(directory, &TemplateChoice::parse(template)?)? {
        return Ok((tokenizer, chat));
    }
    let model = resolve::open_directory(directory, template, context.work.backend.clone())?;
    Ok((model.tokenizer, model.chat))
}

fn record(flags: &Check, data: &str, rows: &Rows, prepared: Option<&Prepared>) -> Value {
    let layout = Layout::find(rows.layout).map_or("", |layout| layout.doc);
    let problems: Vec<String> = rows.bad.shown.iter().map(ToString::to_string).collect();
    let read: Vec<_> = rows.rows.iter().take(flags.rows).map(Fields::fields).collect();
    json!({
        "data": data, "layout": rows.layout, "layout_doc": layout, "shape": rows.shape, "count": rows.rows.len(),
        "notes": rows.notes, "left_out": { "count": rows.bad.count, "total": rows.bad.total, "shown": problems },
        "read": read, "method": prepared.map(|prepared| prepared.method.id),
        "chat_template": prepared.map(|prepared| rows::template_record(&prepared.template)),
        "findings": prepared.map(|prepared| &prepared.findings), "rows": prepared.map(|prepared| &prepared.rows),
    })
}

fn table(flags: &Check, data: &str, rows: &Rows, prepared: Option<&Prepared>) -> String {
    let mut text = format!("{}: {}\n", rows::safe(data), rows::read_as(rows));
    let Some(prepared) = prepared else {
        let noted =
            rows.notes.iter().map(|(note, count)| format!("note: {}: {}\n", counted(*count, "row"), rows::safe(note)));
        text.extend(noted);
        for row in rows.rows.iter().take(flags.rows) {
            text.push_str(&format!("\n{}\n", row.location));
            for (name, value) in row.fields() {
                text.push_str(&format!("  {}: {}\n", rows::safe(&name), rows::safe(&value.to_string())));
            }
        }
        return text;
    };
    text.push_str(&format!("{}; method {}\n", rows::template(&prepared.template), prepared.method.id));
    prepared.findings.iter().for_each(|finding| text.push_str(&format!("{}\n", rows::finding(finding))));
    for row in &prepared.rows {
        text.push_str(&format!("\n{}\n", rows::safe(&row.place)));
        for sequence in &row.sequences {
            let learned = sequence.iter().filter(|piece| piece.learned).count();
            let all = sequence.len();
            text.push_str(&format!(
                "  {}, {learned} learned from\n    {}\n",
                counted(all as u64, "token"),
                rows::tokens(sequence)
            ));
        }
    }
    text
}
