//! `groma rewrite`: rows made of other rows, so that supervised training on them is a method of its own.

use std::process::ExitCode;

use groma_align::{REWRITES, Rewrite};
use groma_data::write_jsonl;
use groma_recipe::rewrite_rows;
use groma_run::{Seed, counted};
use serde_json::{Value, json};

use super::methods::{line, setting};
use super::resolve;
use crate::cli;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print, print_json, say};

pub(crate) fn run(flags: &cli::Rewrite, context: &Context) -> Result<ExitCode> {
    match (&flags.rewrite, &flags.data, &flags.output) {
        (Some(name), Some(data), Some(output)) if !flags.list => {
            let stage = groma_recipe::Rewrite {
                name: name.clone(),
                rewrite: name.clone(),
                data: data.display().to_string(),
                limit: flags.limit,
                settings: resolve::settings(&flags.settings)?,
            };
            let (rows, read) = rewrite_rows(&stage, data, Seed::new(flags.seed))?;
            write_jsonl(output, &rows)?;
            say(&format!(
                "{} of {} in {}",
                counted(rows.len() as u64, "row"),
                counted(read.rows.len() as u64, "row"),
                output.display()
            ));
            Ok(ExitCode::SUCCESS)
        }
        (name, ..) if flags.list => list(name.as_deref(), context),
        _ => Err(Failure::usage("a way, --data and --output go together", "see `groma rewrite --list`")),
    }
}

fn list(name: Option<&str>, context: &Context) -> Result<ExitCode> {
    let chosen: Vec<&Rewrite> = match name {
        Some(name) => vec![Rewrite::find(name)?],
        None => REWRITES.to_vec(),
    };
    if context.json {
        let document = |way: &&Rewrite| {
            let settings: Vec<Value> = way.parameters.iter().map(setting).collect();
            json!({ "id": way.id, "title": way.title, "paper": way.paper, "doc": way.doc, "data": way.data,
                "settings": settings })
        };
        print_json(&chosen.iter().map(document).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    for way in chosen {
        print(&format!("{:<16} {} ({})\n", way.id, way.title, way.paper));
        if name.is_some() {
            let shapes: Vec<&str> = way.data.iter().map(|shape| shape.name()).collect();
            print(&format!("{}\nRows: {}\n\n", way.doc, shapes.join(", ")));
            way.parameters.iter().for_each(|parameter| print(&line(parameter, "  ")));
        }
    }
    Ok(ExitCode::SUCCESS)
}
