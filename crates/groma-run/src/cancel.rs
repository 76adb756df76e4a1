//! A request to stop, asked for once and heard everywhere.

use crate::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Shared by whoever asks (a signal handler) and whoever works; checking costs one atomic load.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<Asked>);

#[derive(Debug, Default)]
struct Asked {
    here: AtomicBool,
    /// How many work that look whether a stop was asked for.
    listeners: AtomicUsize,
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
        Cancel(Arc::new(Asked { above: Some(self.clone()), ..Asked::default() }))
    }

    /// For work that stops where it can be resumed once a stop is asked for: until it is dropped, it is waited for.
    pub fn listening(&self) -> Listening {
        let mut at = Some(self);
        while let Some(cancel) = at {
            cancel.0.listeners.fetch_add(1, Ordering::SeqCst);
            at = cancel.0.above.as_ref();
        }
        Listening(self.clone())
    }

    /// Whether anybody looks whether a stop was asked for. While nobody does, nothing is gained by waiting.
    pub fn is_listened_to(&self) -> bool {
        self.0.listeners.load(Ordering::SeqCst) > 0
    }

    /// For `?` at a place where work can stop.
    ///
    /// # Errors
    /// [`Error::Interrupted`] once a stop was asked for.
    pub fn check(&self) -> Result<(), Error> {
        if self.is_requested() { Err(Error::Interrupted) } else { Ok(()) }
    }
}

/// Work that looks whether a stop was asked for; see [`Cancel::listening`].
#[derive(Debug)]
pub struct Listening(Cancel);

impl Drop for Listening {
    fn drop(&mut self) {
        let mut at = Some(&self.0);
        while let Some(cancel) = at {
            cancel.0.listeners.fetch_sub(1, Ordering::SeqCst);
            at = cancel.0.above.as_ref();
        }
    }
}
