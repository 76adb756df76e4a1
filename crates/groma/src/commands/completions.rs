//! `groma completions`: a script for a shell.

use std::process::ExitCode;

use clap::CommandFactory;
use serde_json::json;

use crate::cli::{Cli, Completions};
use crate::failure::Result;
use crate::terminal::{Context, print, print_json};

pub(crate) fn run(flags: &Completions, context: &Context) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut Cli::command(), "groma", &mut script);
    let script = String::from_utf8_lossy(&script);
    if context.json {
        print_json(&json!({ "shell": flags.shell.to_string(), "script": script }))?;
    } else {
        print(&script);
    }
    Ok(ExitCode::SUCCESS)
}
