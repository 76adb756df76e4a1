//! The groma program: flags to configuration, configuration to calls, results to output and exit code.

mod cli;
mod commands;
mod failure;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let context = match terminal::Context::new(&cli.global) {
        Ok(context) => context,
        Err(failure) => return failure.report(cli.global.json),
    };
    match commands::run(cli.command, &context) {
        Ok(code) => code,
        Err(failure) => failure.report(context.json),
    }
}
