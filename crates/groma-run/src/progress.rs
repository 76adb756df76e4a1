//! What long work tells about itself; the program draws it.

use std::time::Duration;

/// How far a stage is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Advance {
    /// Units done since the stage began.
    pub done: u64,
    /// Tokens worked through since the stage began, where that is known.
    pub tokens: u64,
    /// The latest loss, where there is one.
    pub loss: Option<f64>,
    /// A short note, such as the name of the task at hand.
    pub note: Option<String>,
}

/// How grave a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know.
    Info,
    /// Something is off, and the work goes on.
    Warning,
}

/// Receives the progress of long work. All methods may be called from any thread.
pub trait Progress: Send + Sync {
    /// A stage begins; `total` units of work lie ahead where that is known, counted in `unit` ("step", "prompt").
    fn begin(&self, stage: &str, total: Option<u64>, unit: &str);
    /// The stage has come so far.
    fn advance(&self, advance: &Advance);
    /// The stage is over; `summary` says in a few words with what result.
    fn finish(&self, summary: &str);
    /// Something to say between.
    fn message(&self, level: Level, text: &str);
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &str, _total: Option<u64>, _unit: &str) {}
    fn advance(&self, _advance: &Advance) {}
    fn finish(&self, _summary: &str) {}
    fn message(&self, _level: Level, _text: &str) {}
}

/// Rate and time left, from how far a stage is and how long it took; smoothed over the last stretch, as the first steps
/// of a stage are often slow.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    last: Option<(Duration, u64)>,
    rate: Option<f64>,
}

impl Meter {
    /// Takes note of `done` units after `elapsed`.
    pub fn record(&mut self, elapsed: Duration, done: u64) {
        const SMOOTHING: f64 = 0.3;
        let (start, before) = self.last.unwrap_or_default();
        let seconds = elapsed.saturating_sub(start).as_secs_f64();
        if seconds <= 0.0 || done <= before {
            return;
        }
        let now = (done - before) as f64 / seconds;
        self.rate = Some(self.rate.map_or(now, |rate| rate + SMOOTHING * (now - rate)));
        self.last = Some((elapsed, done));
    }

    /// Units a second.
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// Time until `total` units are done.
    pub fn remaining(&self, total: u64) -> Option<Duration> {
        let done = self.last.map_or(0, |(_, done)| done);
        Duration::try_from_secs_f64(total.saturating_sub(done) as f64 / self.rate?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_and_time_left() {
        let mut meter = Meter::default();
        assert_eq!((meter.rate(), meter.remaining(10)), (None, None));
        meter.record(Duration::from_secs(2), 4);
        meter.record(Duration::from_secs(2), 4);
        meter.record(Duration::from_secs(4), 8);
        assert_eq!(meter.rate(), Some(2.0));
        assert_eq!(meter.remaining(20), Some(Duration::from_secs(6)));
        assert_eq!(meter.remaining(5), Some(Duration::ZERO));
    }
}
