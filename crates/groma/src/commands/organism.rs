//! `groma organism`: the village as files.

use std::process::ExitCode;

use groma_recipe::build_organism;

use crate::cli::Organism;
use crate::failure::{Failure, Result};
use crate::terminal::{Context, print_json, say};

pub(crate) fn run(flags: &Organism, context: &Context) -> Result<ExitCode> {
    if flags.export.exists() {
        let hint = "choose a directory that does not exist yet";
        return Err(Failure::usage(format!("{} exists already", flags.export.display()), hint));
    }
    build_organism(flags.seed, &flags.export)?;
    if context.json {
        print_json(&serde_json::json!({ "directory": flags.export, "seed": flags.seed }))?;
    } else {
        say(&format!("the village of seed {} is in {}", flags.seed, flags.export.display()));
    }
    Ok(ExitCode::SUCCESS)
}
