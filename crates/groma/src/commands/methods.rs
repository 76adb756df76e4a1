//! `groma methods`: the training methods and their settings, from their records.

use std::process::ExitCode;

use groma_align::{METHODS, Method};
use serde_json::{Value, json};

use crate::cli::Methods;
use crate::failure::Result;
use crate::terminal::{Context, print, print_json};

pub(crate) fn run(flags: &Methods, context: &Context) -> Result<ExitCode> {
    let chosen: Vec<&Method> = match &flags.method {
        Some(name) => vec![Method::require(name)?],
        None => METHODS.to_vec(),
    };
    if context.json {
        print_json(&chosen.iter().map(|method| document(method)).collect::<Vec<_>>())?;
    } else if flags.method.is_some() {
        chosen.iter().for_each(|method| print(&page(method)));
    } else {
        for method in chosen {
            print(&format!("{:<8} {} ({})\n", method.id, method.title, method.paper));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn document(method: &Method) -> Value {
    let settings: Vec<Value> = method
        .all_parameters()
        .map(|p| json!({ "name": p.name, "default": p.default_value(), "range": p.range.map(|range| range.describe()), "doc": p.doc }))
        .collect();
    json!({ "id": method.id, "title": method.title, "paper": method.paper, "settings": settings })
}

fn page(method: &Method) -> String {
    let mut text = format!("{}: {}\n{}\n\n", method.id, method.title, method.paper);
    for p in method.all_parameters() {
        let range = p.range.map_or(String::new(), |range| format!("; {}", range.describe()));
        text.push_str(&format!("  {} = {}{range}\n      {}\n", p.name, p.default, p.doc));
    }
    text
}
