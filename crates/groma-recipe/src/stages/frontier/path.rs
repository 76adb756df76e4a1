//! Trainings on the way: gold and proxy at each log, against how far the policy was.

use groma_align::{Log, Watched};
use groma_inner::form::{Fitted, POLICY_GRADIENT};
use groma_run::StageRecord;

/// A log of a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stop {
    /// The root of the nats from the reference, on what was sampled since the log before.
    pub(super) distance: f64,
    /// The reward that does not count, or the one that does where there is no other.
    pub(super) gold: f64,
    /// The reward that is learned from.
    pub(super) reward: f64,
}

/// One training.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Path {
    pub(super) stops: Vec<Stop>,
    /// Alarms that it raised.
    pub(super) alarms: usize,
}

impl Path {
    /// What a training stage recorded; `None` unless it learned from rewards and its distance was watched.
    pub(super) fn of(record: &StageRecord) -> Option<Path> {
        let watched: Watched = serde_json::from_value(record.result.get("watched")?.clone()).ok()?;
        let stops: Vec<Stop> = watched.past.logs.iter().filter_map(stop).collect();
        (!stops.is_empty()).then_some(Path { stops, alarms: watched.alarms.len() })
    }

    /// What was won over the first log, at its best and at the end.
    pub(super) fn gains(&self) -> (f64, f64) {
        let (first, last) = (self.stops[0].gold, self.stops[self.stops.len() - 1].gold);
        let best = self.stops.iter().map(|stop| stop.gold).fold(f64::NEG_INFINITY, f64::max);
        (best - first, last - first)
    }

    /// Gao's form of a policy gradient, of what was won over the first log.
    pub(super) fn fit(&self) -> Option<Fitted> {
        let first = self.stops[0];
        let (distances, gains): (Vec<f64>, Vec<f64>) =
            self.stops.iter().map(|stop| (stop.distance, stop.gold - first.gold)).unzip();
        POLICY_GRADIENT.fit(&distances, &gains)
    }
}

fn stop(log: &Log) -> Option<Stop> {
    let metric = |name: &str| log.metrics.get(name).copied().filter(|value| value.is_finite());
    let reward = metric("reward")?;
    Some(Stop {
        distance: metric("sampling/kl")?.max(0.0).sqrt(),
        gold: metric("rewards/held_out").unwrap_or(reward),
        reward,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gains_and_coefficients_are_over_the_first_log() {
        let stop = |distance: f64| {
            let gold = if distance > 0.0 { 0.3 + distance * (1.2 - 0.5 * distance.ln()) } else { 0.3 };
            Stop { distance, gold, reward: distance }
        };
        let path = Path { stops: [0.0, 1.0, 2.0, 4.0, 9.0, 20.0, 40.0].map(stop).to_vec(), alarms: 0 };
        let fitted = path.fit().unwrap();
        assert!((fitted.alpha - 1.2).abs() < 1e-9 && (fitted.beta - 0.5).abs() < 1e-9);
        let (best, last) = path.gains();
        assert!(best > last && last < 0.0);
    }

    #[test]
    fn a_log_needs_a_distance_and_the_reward_stands_in_for_the_gold() {
        let log = |metrics: &[(&str, f64)]| Log {
            step: 1,
            metrics: metrics.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        };
        assert_eq!(super::stop(&log(&[("reward", 1.0)])), None);
        let both = super::stop(&log(&[("reward", 1.0), ("sampling/kl", 4.0), ("rewards/held_out", 0.5)])).unwrap();
        assert_eq!((both.distance, both.gold, both.reward), (2.0, 0.5, 1.0));
        assert_eq!(super::stop(&log(&[("reward", 1.0), ("sampling/kl", -0.1)])).unwrap().gold, 1.0);
    }
}
