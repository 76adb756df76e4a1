//! `groma methods`: the training methods and their settings, from their records.

use std::process::ExitCode;

use groma_align::{METHODS, Method, Parameter, SAMPLED_METRICS, SHARED_METRICS, Variant};
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
            print(&format!("{:<16} {} ({})\n", method.id, method.title, method.paper));
        }
    }
    Ok(ExitCode::SUCCESS)
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
    let mut text =
        format!("{}: {}\n{}\n{}\nRows: {}\n", method.id, method.title, method.paper, method.doc, shapes.join(", "));
    if !method.roles.is_empty() {
        let roles: Vec<String> = method.roles.iter().map(|role| role.to_string()).collect();
        text.push_str(&format!("Roles besides the policy: {}\n", roles.join(", ")));
    }
    text.push('\n');
    method.all_parameters().for_each(|p| text.push_str(&line(&p, "  ")));
    for (chooser, variant) in method.variants() {
        text.push_str(&format!(
            "\n{chooser} = {}: {} ({})\n  {}\n",
            variant.id, variant.title, variant.paper, variant.doc
        ));
        variant.parameters.iter().for_each(|p| text.push_str(&line(p, "    ")));
    }
    text.push_str(&format!(
        "\nMetrics: {}\n",
        SHARED_METRICS.iter().copied().chain(metrics(method)).collect::<Vec<_>>().join(", ")
    ));
    text
}

pub(super) fn line(p: &Parameter, indent: &str) -> String {
    let range = p.range.map_or(String::new(), |range| format!(", {}", range.describe()));
    format!("{indent}{} = {}  ({}{range})\n{indent}    {}\n", p.name, p.default, p.kind.describe(), p.doc)
}
