//! One module a command: from flags to a call, and from its result to output.

use std::process::ExitCode;

use crate::cli::Command;
use crate::failure::Result;
use crate::terminal::Context;

mod attack;
mod chat;
mod check;
mod compare;
mod completions;
mod doctor;
mod eval;
mod found;
mod inner;
mod inspect;
mod methods;
mod organism;
mod oversee;
mod report;
mod resolve;
mod rewrite;
mod rows;
mod run;
mod runs;
mod score;
mod train;

pub(crate) use methods::help as method_help;

/// Does a command.
pub(crate) fn run(command: Command, context: &Context) -> Result<ExitCode> {
    match command {
        Command::Run(flags) => run::run(&flags, context),
        Command::Train(flags) => train::run(&flags, context),
        Command::Eval(flags) => eval::run(&flags, context),
        Command::Inspect(flags) => inspect::run(&flags, context),
        Command::Attack(flags) => attack::run(&flags, context),
        Command::Oversee(flags) => oversee::run(&flags, context),
        Command::Inner(flags) => inner::run(&flags, context),
        Command::Score(flags) => score::run(&flags, context),
        Command::Chat(flags) => chat::run(&flags, context),
        Command::Compare(flags) => compare::run(&flags, context),
        Command::Runs(flags) => runs::run(&flags, context),
        Command::Report(flags) => report::run(&flags, context),
        Command::Check(flags) => check::run(&flags, context),
        Command::Methods(flags) => methods::run(&flags, context),
        Command::Rewrite(flags) => rewrite::run(&flags, context),
        Command::Organism(flags) => organism::run(&flags, context),
        Command::Doctor => doctor::run(context),
        Command::Completions(flags) => completions::run(&flags, context),
    }
}
