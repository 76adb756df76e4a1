//! What the program shows: data on standard output, everything else on standard error.

use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use groma_kernels::{Backend, Cpu, Level};
use groma_recipe::Work;
use groma_run::{Cancel, Progress};
use serde_json::{Value, json};

use crate::cli::Global;
use crate::failure::{Failure, Result};

mod interrupts;
mod progress;

pub(crate) use interrupts::Interrupts;

/// What every command needs.
pub(crate) struct Context {
    /// Standard output is one JSON document.
    pub(crate) json: bool,
    /// Progress, cancellation and the backend.
    pub(crate) work: Work,
    /// Is told by sessions what a signal means.
    pub(crate) interrupts: Interrupts,
}

impl Context {
    pub(crate) fn new(global: &Global) -> Result<Self> {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        let threads = global.threads.map_or_else(cores, usize::from);
        let cancel = Cancel::default();
        let interrupts = Interrupts::listen(cancel.clone())?;
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
        let across_machines = global.across_machines;
        let work = Work { backend, progress, cancel, threads, across_machines };
        Ok(Context { json: global.json, work, interrupts })
    }

    /// The threads that models use.
    pub(crate) fn pool(&self) -> Result<rayon::ThreadPool> {
        let built = rayon::ThreadPoolBuilder::new().num_threads(self.work.threads).build();
        built.map_err(|error| {
            Failure::usage(format!("cannot start {} threads: {error}", self.work.threads), "give fewer --threads")
        })
    }
}

/// Columns of the terminal that standard output goes to: as `COLUMNS` says, else as the terminal says, else 80.
pub(crate) fn columns() -> usize {
    const USUAL: usize = 80;
    let said = std::env::var("COLUMNS").ok().and_then(|columns| columns.trim().parse().ok());
    let asked = || Some(usize::from(terminal_size::terminal_size_of(std::io::stdout())?.0.0));
    said.or_else(asked).filter(|columns| *columns > 0).unwrap_or(USUAL)
}

/// Whether all that is written is JSON.
static SPEAKS_JSON: AtomicBool = AtomicBool::new(false);

/// From now on all that is written is JSON, or text.
pub(crate) fn speak_json(json: bool) {
    SPEAKS_JSON.store(json, Ordering::Relaxed);
}

/// Whether standard output takes colours: a terminal, unless `NO_COLOR` is set.
pub(crate) fn colours() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
}

/// Writes a note to standard error.
pub(crate) fn say(text: &str) {
    tell(text, &json!({ "note": text }));
}

/// Writes a text, or a line of JSON in its place, to standard error; that nobody reads it is no failure.
pub(crate) fn tell(text: &str, document: &Value) {
    let mut out = std::io::stderr().lock();
    let _ = if SPEAKS_JSON.load(Ordering::Relaxed) { writeln!(out, "{document}") } else { writeln!(out, "{text}") };
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
