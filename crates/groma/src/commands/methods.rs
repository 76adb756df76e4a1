//! `groma methods`, and `groma train METHOD --help`: the training methods and their settings, from their records.

use std::process::ExitCode;

use groma_align::{METHODS, Method, Parameter, Role, SAMPLED_METRICS, SHARED_METRICS, Variant};
use groma_data::LAYOUTS;
use serde_json::{Value, json};

use crate::cli::Methods;
use crate::failure::Result;
use crate::terminal::{Context, columns, folded, print, print_json};

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
        let widest = chosen.iter().map(|method| method.id.len()).max().unwrap_or(0);
        for method in chosen {
            print(&format!("{:<widest$} {} ({})\n", method.id, method.title, method.paper));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What `groma train METHOD --help` shows, where these arguments ask for that.
pub(crate) fn help(arguments: &[String]) -> Option<String> {
    let mut words = arguments.iter().skip(1).skip_while(|word| *word != "train").skip(1);
    let method = words.find_map(|word| Method::find(word))?;
    Some(format!("{}\nAll flags: groma train --help\n", page(method)))
}

/// A training with it, and a row that it takes.
fn example(method: &Method) -> String {
    let seats = [Role::Teacher, Role::Reward].into_iter().filter(|role| method.roles.contains(role));
    let seats: Vec<&str> = seats.map(Role::setting).collect();
    let wanted = method.all_parameters().filter(|p| p.doc.contains("Must be given") && !seats.contains(&p.name));
    let wanted: String = wanted.map(|p| format!(" --set {}=...", p.name)).collect();
    let models: String = seats.iter().map(|setting| format!(" --set {setting}=OTHER_MODEL")).collect();
    let command =
        format!("groma train {} --model my-model --data rows.jsonl --output trained{models}{wanted}", method.id);
    let layout = LAYOUTS.iter().find(|layout| method.data.first() == Some(&layout.shape));
    format!("Example:\n  {command}\nA row of it:\n  {}\n", layout.map_or("", |layout| layout.example))
}

fn document(method: &Method) -> Value {
    let settings: Vec<Value> = method.all_parameters().map(|p| setting(&p)).collect();
    let variant = |(chooser, v): (&str, &Variant)| {
        let own: Vec<Value> = v.parameters.iter().map(setting).collect();
        json!({ "of": chooser, "id": v.id, "title": v.title, "paper": v.paper, "doc": v.doc, "settings": own })
    };
    json!({
        "id": method.id, "names": method.names, "title": method.title, "paper": method.paper, "doc": method.doc,
        "data": method.data, "roles": method.roles, "predicts": method.predicts(), "settings": settings,
        "variants": method.variants().map(variant).collect::<Vec<_>>(), "metrics": metrics(method).collect::<Vec<_>>(),
    })
}

/// The metrics that it logs besides those that all methods log.
fn metrics(method: &Method) -> impl Iterator<Item = &'static str> {
    let sampled = SAMPLED_METRICS.iter().filter(|_| method.samples());
    method.metrics.iter().copied().flatten().chain(sampled).copied()
}

pub(super) fn setting(p: &Parameter) -> Value {
    let range = p.range.map(|range| range.describe());
    json!({ "name": p.name, "kind": p.kind.describe(), "default": p.default_value(), "range": range, "doc": p.doc })
}

fn page(method: &Method) -> String {
    let shapes: Vec<&str> = method.data.iter().map(|shape| shape.name()).collect();
    let doc = folded(method.doc, "", columns());
    let rows = folded(&format!("Rows: {}", shapes.join(", ")), "", columns());
    let mut text = format!("{}: {}\n{}\n{doc}{rows}", method.id, method.title, method.paper);
    if !method.roles.is_empty() {
        let roles: Vec<String> = method.roles.iter().map(|role| role.to_string()).collect();
        text.push_str(&format!("Roles besides the policy: {}\n", roles.join(", ")));
    }
    text.push('\n');
    method.all_parameters().for_each(|p| text.push_str(&line(&p, "  ")));
    for (chooser, variant) in method.variants() {
        let doc = folded(variant.doc, "  ", columns());
        let head = format!("{chooser} = {}: {} ({})", variant.id, variant.title, variant.paper);
        text.push_str(&format!("\n{}{doc}", folded(&head, "", columns())));
        variant.parameters.iter().for_each(|p| text.push_str(&line(p, "    ")));
    }
    let metrics: Vec<&str> = SHARED_METRICS.iter().copied().chain(metrics(method)).collect();
    text.push_str(&format!(
        "\n{}\n{}",
        folded(&format!("Metrics: {}", metrics.join(", ")), "", columns()),
        example(method)
    ));
    text
}

pub(super) fn line(p: &Parameter, indent: &str) -> String {
    let range = p.range.map_or(String::new(), |range| format!(", {}", range.describe()));
    let head = folded(&format!("{} = {}  ({}{range})", p.name, p.default, p.kind.describe()), indent, columns());
    head + &folded(p.doc, &format!("{indent}    "), columns())
}
