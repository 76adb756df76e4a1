//! What Ctrl-C and a request to end (SIGTERM) do.

use std::sync::{Arc, Mutex, PoisonError};

use groma_run::{Cancel, Class};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::output::say;
use crate::failure::{Failure, Result};

/// What is going on when a signal comes.
enum Now {
    /// Work that stops where it can be resumed.
    Work(Cancel),
    /// Part of a session: it alone stops.
    Part(Cancel),
    /// Nothing, in a terminal that was so before lines are edited in it.
    Idle(Option<Box<Termios>>),
}

/// Is told by commands what is going on.
#[derive(Clone)]
pub(crate) struct Interrupts(Arc<Mutex<Now>>);

impl Interrupts {
    /// Listens. The first signal asks the work to stop where it can be resumed, where it is such work, and else ends the process,
    /// as the second does: what reads or loads has nothing to lose.
    pub(super) fn listen(cancel: Cancel) -> Result<Self> {
        let interrupts = Interrupts(Arc::new(Mutex::new(Now::Work(cancel))));
        let heard = interrupts.clone();
        ctrlc::set_handler(move || heard.hear()).map_err(|error| {
            Failure::usage(format!("cannot listen for Ctrl-C: {error}"), "start groma as a process of its own")
        })?;
        Ok(interrupts)
    }

    /// A part of a session begins.
    pub(crate) fn part(&self, cancel: &Cancel) {
        self.set(Now::Part(cancel.clone()));
    }

    /// Somebody is waited for, and a signal ends the process.
    pub(crate) fn idle(&self) {
        self.set(Now::Idle(tcgetattr(std::io::stdin()).ok().map(Box::new)));
    }

    fn set(&self, now: Now) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    fn hear(&self) {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Now::Work(cancel) if !cancel.request() && cancel.is_listened_to() => {
                say("stopping at the next step; press Ctrl-C again to stop at once");
            }
            Now::Part(cancel) if !cancel.request() => {}
            Now::Idle(Some(terminal)) => {
                // A terminal that is gone needs no care.
                let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, terminal);
                end();
            }
            Now::Work(cancel) if !cancel.is_listened_to() => {
                say("stopped; what was finished is kept, and the same command goes on from there");
                end();
            }
            _ => end(),
        }
    }
}

#[allow(clippy::exit, reason = "the user asked for it")]
fn end() {
    std::process::exit(Class::Interrupted.exit_code().into())
}
