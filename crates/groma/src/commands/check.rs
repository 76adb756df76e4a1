//! `groma check`: everything about a recipe that can be known before a long run.

use std::process::ExitCode;

use groma_recipe::{Recipe, check};
use serde_json::json;

use super::resolve;
use crate::cli::{Check, Run};
use crate::failure::Result;
use crate::terminal::{Context, print, print_json};

pub(crate) fn run(flags: &Check, context: &Context) -> Result<ExitCode> {
    let recipe: Recipe = super::run::recipe(&Run {
        recipe: Some(flags.recipe.clone()),
        model: None,
        preferences: None,
        tasks: Vec::new(),
        chat_template: None,
        name: None,
        runs: "runs".into(),
        overrides: flags.overrides.clone(),
        sample_steps: None,
        sample_prompts: None,
        print_recipe: false,
    })?;
    let findings = resolve::resolving(context, |resolve| check(&recipe, resolve))?;
    if context.json {
        print_json(&json!({ "recipe": recipe, "findings": findings }))?;
    } else {
        for finding in &findings {
            print(&format!("{}\n", groma_report::for_terminal(finding)));
        }
        print(&format!("{} can be run: {} stages\n", flags.recipe.display(), recipe.stages.len()));
    }
    Ok(ExitCode::SUCCESS)
}
