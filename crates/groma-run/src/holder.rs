//! Who holds a run directory.

use crate::Clock;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who holds a run directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The process.
    pub pid: u32,
    /// The machine it runs on.
    pub host: String,
    /// Since when.
    pub since: Timestamp,
}

impl Holder {
    /// This process.
    pub fn this_process(clock: &dyn Clock) -> Self {
        Holder { pid: std::process::id(), host: crate::machine::host_name(), since: clock.now() }
    }

    /// Somebody who does not say who it is.
    pub(crate) fn unknown() -> Self {
        Holder { pid: 0, host: String::new(), since: Timestamp::UNIX_EPOCH }
    }

    /// Whether it is known to live on this machine.
    pub(crate) fn lives_here(&self) -> bool {
        self.pid != 0 && self.host == crate::machine::host_name() && process_lives(self.pid)
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.pid {
            0 => write!(f, "another process"),
            pid => write!(f, "process {pid} on {} since {}", self.host, self.since),
        }
    }
}

/// Whether a process of this machine lives.
#[cfg(unix)]
pub(crate) fn process_lives(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    // Any answer but "no such process" comes from a living one.
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// Whether a process of this machine lives; unknown here, so assumed.
#[cfg(not(unix))]
pub(crate) fn process_lives(_pid: u32) -> bool {
    true
}
