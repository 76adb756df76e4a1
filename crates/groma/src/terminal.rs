//! What the program shows: data on standard output, everything else on standard error.

use std::io::Write;
use std::sync::Arc;

use groma_kernels::{Backend, Cpu, Level};
use groma_recipe::Work;
use groma_run::{Cancel, Progress};

use crate::cli::Global;
use crate::failure::{Failure, Result};

mod progress;

/// What every command needs.
pub(crate) struct Context {
    /// Standard output is one JSON document.
    pub(crate) json: bool,
    /// Progress, cancellation and the backend.
    pub(crate) work: Work,
}

impl Context {
    pub(crate) fn new(global: &Global) -> Result<Self> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = global.threads.map_or_else(cores, usize::from);
        let cancel = Cancel::default();
        stop_on_interrupt(cancel.clone())?;
        let progress: Arc<dyn Progress> = progress::progress(global.progress);
        let level = Level::requested().map_err(|error| Failure::usage(error.to_string(), "unset GROMA_CPU"))?;
        let cpu = level.map_or_else(|| Ok(Cpu::new()), Cpu::with_level);
        let cpu = cpu.map_err(|error| Failure::usage(error.to_string(), "unset GROMA_CPU"))?;
        let cpu = cpu.with_precision(global.precision);
        if cpu.precision() != global.precision {
            say(
                "this processor, or GROMA_CPU, has no instructions for bf16; products are computed in f32 (see groma doctor)",
            );
        }
        let backend: Arc<dyn Backend> = Arc::new(cpu);
        Ok(Context { json: global.json, work: Work { backend, progress, cancel, threads } })
    }

    /// The threads that models use.
    pub(crate) fn pool(&self) -> Result<rayon::ThreadPool> {
        let built = rayon::ThreadPoolBuilder::new().num_threads(self.work.threads).build();
        built.map_err(|error| {
            Failure::usage(format!("cannot start {} threads: {error}", self.work.threads), "give fewer --threads")
        })
    }
}

/// The first Ctrl-C asks the work to stop where it can be resumed; the second stops the process.
fn stop_on_interrupt(cancel: Cancel) -> Result<()> {
    let handler = move || {
        if cancel.request() {
            #[allow(clippy::exit, reason = "the user asked twice")]
            std::process::exit(groma_run::Class::Interrupted.exit_code().into());
        }
        say("stopping at the next step; press Ctrl-C again to stop at once");
    };
    let set = ctrlc::set_handler(handler);
    set.map_err(|error| {
        Failure::usage(format!("cannot listen for Ctrl-C: {error}"), "start groma as a process of its own")
    })
}

/// Writes a line to standard error; that nobody reads it is no failure.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// Writes data to standard output. A reader that went away is no failure, as with other filters.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Writes a JSON document to standard output.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| {
        Failure::usage(format!("the result cannot be written as JSON: {error}"), "leave out --json")
    })?;
    print(&format!("{text}\n"));
    Ok(())
}
