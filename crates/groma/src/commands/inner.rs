//! `groma inner`: an experiment on what is learned, as a run of one stage.

use std::process::ExitCode;

use groma_inner::{EXPERIMENTS, Experiment};
use groma_recipe::{Inner, Recipe, Stage};
use groma_run::{Digest, Pillar};
use serde_json::{Value, json};

use super::methods::{line, setting};
use super::run::{exit_code, perform};
use super::{found, resolve};
use crate::cli;
use crate::failure::Result;
use crate::terminal::{Context, print, print_json};

/// Name of the stage.
const STAGE: &str = "inner";

pub(crate) fn run(flags: &cli::Inner, context: &Context) -> Result<ExitCode> {
    let experiment = flags.experiment.as_deref().map(Experiment::find).transpose()?;
    let Some(experiment) = experiment.filter(|_| !flags.list) else {
        return list(experiment, context);
    };
    let stage =
        Inner { name: STAGE.into(), experiment: experiment.id.into(), settings: resolve::settings(&flags.set)? };
    let mut recipe = Recipe { seed: flags.seed, ..Recipe::new("inner", "none", vec![Stage::Inner(stage)]) };
    let settings =
        Digest::of_json(&recipe).map_err(|source| groma_run::Error::Encode { path: flags.runs.clone(), source })?;
    recipe.name = flags.name.clone().unwrap_or_else(|| format!("{}-{}", experiment.id, settings.short()));
    // What came from flags is checked like a file's.
    let recipe = Recipe::parse("groma inner", &recipe.to_toml()?, &[])?;
    let summary = perform(&recipe, &flags.runs, flags.force, context)?;
    found::show(&summary, Pillar::Inner, context)?;
    Ok(exit_code(&summary))
}

/// All experiments, or all about one.
fn list(chosen: Option<&'static Experiment>, context: &Context) -> Result<ExitCode> {
    let experiments: Vec<&Experiment> = chosen.map_or_else(|| EXPERIMENTS.to_vec(), |experiment| vec![experiment]);
    if context.json {
        print_json(&experiments.into_iter().map(document).collect::<Vec<_>>())?;
    } else if chosen.is_some() {
        experiments.into_iter().for_each(|experiment| print(&page(experiment)));
    } else {
        for experiment in experiments {
            print(&format!("{:<24} {} ({})\n", experiment.id, experiment.title, experiment.paper));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn document(experiment: &Experiment) -> Value {
    json!({
        "id": experiment.id, "title": experiment.title, "paper": experiment.paper, "doc": experiment.doc,
        "hypothesis": experiment.hypothesis, "control": experiment.control, "metric": experiment.metric,
        "settings": experiment.parameters.iter().map(setting).collect::<Vec<_>>(),
    })
}

fn page(experiment: &Experiment) -> String {
    let mut text = format!("{}: {}\n{}\n{}\n\n", experiment.id, experiment.title, experiment.paper, experiment.doc);
    for (name, said) in
        [("hypothesis", experiment.hypothesis), ("control", experiment.control), ("metric", experiment.metric)]
    {
        text.push_str(&format!("  {name}: {said}\n"));
    }
    text.push('\n');
    experiment.parameters.iter().for_each(|parameter| text.push_str(&line(parameter, "  ")));
    text
}
