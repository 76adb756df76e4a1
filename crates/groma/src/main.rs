//! The groma program: flags to configuration, configuration to calls, results to output and exit code.

mod cli;
mod commands;
mod failure;
mod terminal;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use clap::error::{Error, ErrorKind};

use failure::Failure;

fn main() -> ExitCode {
    groma_run::silence_caught_panics();
    let cli = match cli::Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return method_help(&error).unwrap_or_else(|| misused(&error)),
    };
    terminal::speak_json(cli.global.json);
    let context = match terminal::Context::new(&cli.global) {
        Ok(context) => context,
        Err(failure) => return failure.report(),
    };
    // Work that begins on a thread of the pool hands nothing over when a kernel begins.
    let result = match context.pool() {
        Ok(pool) => pool.install(|| commands::run(cli.command, &context)),
        Err(failure) => Err(failure),
    };
    match result {
        Ok(code) => match terminal::lost() {
            Some(error) => {
                Failure::from(groma_run::Error::io("write to", Path::new("standard output"))(error)).report()
            }
            None => code,
        },
        Err(failure) => failure.report(),
    }
}

/// Shows a method's own help where it was asked for with the method's name.
fn method_help(error: &Error) -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    let help = (error.kind() == ErrorKind::DisplayHelp).then(|| commands::method_help(&arguments)).flatten()?;
    terminal::print(&help);
    Some(ExitCode::SUCCESS)
}

/// Shows what a user ought to have said, in JSON where JSON was asked for; help is no misuse.
fn misused(error: &Error) -> ExitCode {
    let is_json = std::env::args_os().any(|argument| argument == "--json");
    if !(error.use_stderr() && is_json) {
        // That nobody reads it is no failure.
        let _ = error.print();
        return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
    }
    terminal::speak_json(true);
    let text = error.render().to_string();
    let (message, usage) = text.split_once("\n\nUsage:").unwrap_or((&text, ""));
    let usage = usage.lines().next().map_or("see --help".to_owned(), |usage| format!("usage: {}", usage.trim()));
    Failure::usage(message.trim_start_matches("error: ").trim(), usage).report()
}
