//! What the work of a recipe is done with.

use std::sync::Arc;

use groma_kernels::Backend;
use groma_run::{Cancel, Progress};

/// What the work is done with.
#[derive(Clone)]
pub struct Work {
    /// Where models run.
    pub backend: Arc<dyn Backend>,
    /// Is told how far the work is.
    pub progress: Arc<dyn Progress>,
    /// May ask to stop.
    pub cancel: Cancel,
    /// Threads that models use, for the manifest.
    pub threads: usize,
    /// Goes on with work that was begun with other instructions; manifest and report say so.
    pub across_machines: bool,
}
