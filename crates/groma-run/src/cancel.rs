//! A request to stop, asked for once and heard everywhere.

use crate::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Shared by whoever asks (a signal handler) and whoever works; checking costs one atomic load.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    here: AtomicBool,
    /// Whose request is heard too.
    above: Option<Cancel>,
}

impl Cancel {
    /// Asks to stop. Returns whether it had been asked before, as the second time means "at once".
    pub fn request(&self) -> bool {
        self.0.here.swap(true, Ordering::SeqCst)
    }

    /// Whether a stop was asked for.
    pub fn is_requested(&self) -> bool {
        self.0.here.load(Ordering::Relaxed) || self.0.above.as_ref().is_some_and(Cancel::is_requested)
    }

    /// For a part of the work: it stops with the whole, and can be stopped alone.
    pub fn part(&self) -> Cancel {
        Cancel(Arc::new(Asked { here: AtomicBool::new(false), above: Some(self.clone()) }))
    }

    /// For `?` at a place where work can stop.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once a stop was asked for.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_requested() { Err(Error::Interrupted) } else { Ok(()) }
    }
}
