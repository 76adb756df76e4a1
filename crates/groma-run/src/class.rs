//! What an error means for whoever started the run.

/// Classes of failure; each has its exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A gate did not hold, or an alarm stopped a training: exit code 1.
    Gate,
    /// Wrong usage, configuration or input: exit code 2.
    Usage,
    /// Some of the work failed and the rest is there: exit code 3.
    Partial,
    /// Nothing was selected or left to run: exit code 4.
    NothingRan,
    /// A loss, gradient or weight was not finite: exit code 5.
    NonFinite,
    /// Out of memory or disk, or the disk failed: exit code 6.
    Resources,
    /// Interrupted, and resumable: exit code 130.
    Interrupted,
}

impl Class {
    /// The program's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Class::Gate => 1,
            Class::Usage => 2,
            Class::Partial => 3,
            Class::NothingRan => 4,
            Class::NonFinite => 5,
            Class::Resources => 6,
            Class::Interrupted => 130,
        }
    }
}

/// Implemented by the error type of every crate.
pub trait Classify: std::error::Error {
    /// The class that decides the exit code.
    fn class(&self) -> Class;

    /// What the user can do about it, where that is not part of the message.
    fn hint(&self) -> Option<String> {
        None
    }
}

/// The class of an input/output error: no space, quota or memory, or a disk that fails, is a matter of resources, all else of
/// usage.
pub fn class_of_io(error: &std::io::Error) -> Class {
    use std::io::ErrorKind::{FileTooLarge, OutOfMemory, QuotaExceeded, StaleNetworkFileHandle, StorageFull};
    match error.kind() {
        StorageFull | QuotaExceeded | FileTooLarge | OutOfMemory | StaleNetworkFileHandle => Class::Resources,
        _ if is_failure_of_the_disk(error) => Class::Resources,
        _ => Class::Usage,
    }
}

#[cfg(unix)]
fn is_failure_of_the_disk(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error())
}

#[cfg(not(unix))]
fn is_failure_of_the_disk(_: &std::io::Error) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_fails_is_no_wrong_usage() {
        let of = |errno: rustix::io::Errno| class_of_io(&errno.into());
        assert_eq!(of(rustix::io::Errno::IO), Class::Resources);
        assert_eq!(of(rustix::io::Errno::NOSPC), Class::Resources);
        assert_eq!(of(rustix::io::Errno::STALE), Class::Resources);
        assert_eq!(of(rustix::io::Errno::ACCESS), Class::Usage);
    }
}
