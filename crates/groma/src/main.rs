//! The groma program: flags to configuration, configuration to calls, results to output and exit code.

mod cli;
mod commands;
mod failure;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    groma_run::silence_caught_panics();
    let cli = cli::Cli::parse();
    let context = match terminal::Context::new(&cli.global) {
        Ok(context) => context,
        Err(failure) => return failure.report(cli.global.json),
    };
    // Work that begins on a thread of the pool hands nothing over when a kernel begins.
    let result = match context.pool() {
        Ok(pool) => pool.install(|| commands::run(cli.command, &context)),
        Err(failure) => Err(failure),
    };
    match result {
        Ok(code) => code,
        Err(failure) => failure.report(context.json),
    }
}
