//! When the next request may go.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use groma_run::{Cancel, Clock};

/// Longest sleep before one looks whether to stop.
pub(super) const NAP: Duration = Duration::from_millis(100);

/// Turns of all threads that ask one server.
#[derive(Debug)]
pub(super) struct Pace {
    clock: Arc<dyn Clock>,
    /// Time between two requests.
    interval: Duration,
    /// When the next one may go.
    next: Mutex<Duration>,
}

impl Pace {
    pub(super) fn new(clock: Arc<dyn Clock>, requests_per_minute: Option<u32>) -> Self {
        let interval = requests_per_minute.map_or(Duration::ZERO, |rate| Duration::from_secs(60) / rate.max(1));
        Pace { clock, interval, next: Mutex::new(Duration::ZERO) }
    }

    /// Waits for a turn; `false` where one is to stop.
    pub(super) fn turn(&self, cancel: &Cancel) -> bool {
        let now = self.clock.elapsed();
        let start = {
            let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
            let start = now.max(*next);
            *next = start + self.interval;
            start
        };
        self.wait(start - now, cancel)
    }

    /// Nobody goes for so long.
    pub(super) fn hold(&self, time: Duration) {
        let until = self.clock.elapsed() + time;
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        *next = until.max(*next);
    }

    /// Sleeps; `false` where one is to stop.
    pub(super) fn wait(&self, time: Duration, cancel: &Cancel) -> bool {
        let end = self.clock.elapsed() + time;
        while !cancel.is_requested() {
            let left = end.saturating_sub(self.clock.elapsed());
            if left.is_zero() {
                return true;
            }
            self.clock.sleep(left.min(NAP));
        }
        false
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::{ManualClock, Timestamp};

    #[test]
    fn turns_are_apart_and_a_hold_is_for_all() {
        let clock = Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        let pace = Pace::new(clock.clone(), Some(60));
        let cancel = Cancel::default();
        assert!((0..3).all(|_| pace.turn(&cancel)));
        assert_eq!(clock.elapsed(), Duration::from_secs(2));
        pace.hold(Duration::from_secs(30));
        assert!(pace.turn(&cancel));
        assert_eq!(clock.elapsed(), Duration::from_secs(32));
        cancel.request();
        assert!(!pace.turn(&cancel));
        assert_eq!(clock.elapsed(), Duration::from_secs(32));
    }
}
