//! What every command is given.

use std::sync::Arc;

use groma_kernels::{Backend, Cpu, Level};
use groma_recipe::Work;
use groma_run::{Cancel, Progress};

use super::interrupts::Interrupts;
use super::output::say;
use super::progress::progress;
use crate::cli::Global;
use crate::failure::{Failure, Result};

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
        let progress: Arc<dyn Progress> = progress(global.progress);
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
            Failure::usage(
                format!("cannot start {}: {error}", groma_run::counted(self.work.threads, "thread")),
                "give fewer --threads",
            )
        })
    }
}
