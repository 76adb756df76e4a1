//! `groma oversee`: a protocol of oversight, as a run of one stage.

use std::collections::BTreeMap;
use std::process::ExitCode;

use groma_align::Parameter;
use groma_oversight::{PROTOCOLS, Protocol};
use groma_recipe::{Oversee, Recipe, Stage};
use groma_run::{Digest, Pillar};
use serde_json::{Value, json};

use super::methods::{line, setting};
use super::run::{exit_code, perform, short_name};
use super::{found, resolve};
use crate::cli;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print, print_json};

/// Name of the stage, and of the subject in its results.
const STAGE: &str = "oversight";

pub(crate) fn run(flags: &cli::Oversee, context: &Context) -> Result<ExitCode> {
    let protocol = flags.protocol.as_deref().map(Protocol::find).transpose()?;
    let Some(protocol) = protocol.filter(|_| !flags.list) else {
        return list(protocol, context);
    };
    let recipe = recipe(protocol, flags)?;
    let summary = perform(&recipe, &flags.runs, flags.force, context)?;
    found::show(&summary, Pillar::Oversight, context)?;
    Ok(exit_code(&summary))
}

/// The flags as a recipe.
fn recipe(protocol: &Protocol, flags: &cli::Oversee) -> Result<Recipe> {
    let role = |pair: &String| match pair.split_once('=') {
        // What has no slash would be the name of an earlier stage.
        Some((role, model)) if model.contains('/') => Ok((role.to_owned(), model.to_owned())),
        Some((role, model)) => Ok((role.to_owned(), format!("./{model}"))),
        None => Err(Failure::usage(format!("`{pair}` is not of the form ROLE=MODEL"), "e.g. --role judge=my-model")),
    };
    let stage = Oversee {
        name: STAGE.into(),
        protocol: protocol.id.into(),
        model: None,
        roles: flags.roles.iter().map(role).collect::<Result<BTreeMap<_, _>>>()?,
        data: flags.data.clone(),
        limit: flags.limit,
        settings: resolve::settings(&flags.set)?,
    };
    let model = flags.model.as_deref().unwrap_or("none");
    let mut recipe = Recipe {
        seed: flags.seed,
        chat_template: flags.chat_template.clone(),
        serving: flags.serving.settings(),
        ..Recipe::new("oversee", model, vec![Stage::Oversee(stage)])
    };
    let settings =
        Digest::of_json(&recipe).map_err(|source| groma_run::Error::Encode { path: flags.runs.clone(), source })?;
    let of = flags.model.as_deref().map_or(String::new(), |model| format!("-{}", short_name(model)));
    recipe.name = flags.name.clone().unwrap_or_else(|| format!("{}{of}-{}", protocol.id, settings.short()));
    // What came from flags is checked like a file's.
    Ok(Recipe::parse("groma oversee", &recipe.to_toml()?, &[])?)
}

/// All protocols, or all about one.
fn list(chosen: Option<&'static Protocol>, context: &Context) -> Result<ExitCode> {
    let protocols: Vec<&Protocol> = chosen.map_or_else(|| PROTOCOLS.to_vec(), |protocol| vec![protocol]);
    if context.json {
        print_json(&protocols.into_iter().map(document).collect::<Vec<_>>())?;
    } else if chosen.is_some() {
        protocols.into_iter().for_each(|protocol| print(&page(protocol)));
    } else {
        for protocol in protocols {
            print(&format!("{:<16} {} ({})\n", protocol.id, protocol.title, protocol.paper));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn document(protocol: &Protocol) -> Value {
    let roles: Vec<Value> = protocol.roles.iter().map(|role| json!({ "name": role.name, "doc": role.doc })).collect();
    json!({
        "id": protocol.id, "title": protocol.title, "paper": protocol.paper, "doc": protocol.doc, "roles": roles,
        "data": protocol.data, "poses": protocol.poses, "rows": protocol.rows,
        "settings": protocol.parameters.iter().map(setting).collect::<Vec<_>>(),
    })
}

fn page(protocol: &Protocol) -> String {
    let mut text = format!("{}: {}\n{}\n{}\n\n", protocol.id, protocol.title, protocol.paper, protocol.doc);
    for role in protocol.roles {
        text.push_str(&format!("  role {}: {}\n", role.name, role.doc));
    }
    let shapes: Vec<&str> = protocol.data.iter().map(|shape| shape.name()).collect();
    if !shapes.is_empty() {
        let poses = if protocol.poses { ", or poses questions of its own" } else { "" };
        text.push_str(&format!("  reads rows: {}{poses}\n", shapes.join(", ")));
    }
    text.push_str(&format!(
        "  leaves rows: transcripts{}\n\n",
        protocol.rows.iter().map(|name| format!(", {name}")).collect::<String>()
    ));
    protocol.parameters.iter().for_each(|parameter: &Parameter| text.push_str(&line(parameter, "  ")));
    text
}
