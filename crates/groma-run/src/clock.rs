//! Time, so that tests may own it.

use jiff::Timestamp;
use std::fmt::Debug;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Where the time comes from.
pub trait Clock: Debug + Send + Sync {
    /// The date and time, to whole milliseconds.
    fn now(&self) -> Timestamp;
    /// Time that only moves forward, from a start of the clock's own.
    fn elapsed(&self) -> Duration;

    /// Lets so much time pass.
    fn sleep(&self, time: Duration);
}

/// The machine's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock(Instant);

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock(Instant::now())
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

/// A clock that moves only when told, or slept on.
#[derive(Debug)]
pub struct ManualClock(Mutex<(Timestamp, Duration)>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        ManualClock(Mutex::new((start, Duration::ZERO)))
    }

    /// Moves forward.
    pub fn advance(&self, by: Duration) {
        let mut state = crate::lock_mutex(&self.0);
        state.0 = state.0.saturating_add(by).unwrap_or(Timestamp::MAX);
        state.1 = state.1.saturating_add(by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        crate::lock_mutex(&self.0).0
    }

    fn elapsed(&self) -> Duration {
        crate::lock_mutex(&self.0).1
    }

    fn sleep(&self, time: Duration) {
        self.advance(time);
    }
}
