//! How far the distribution of rewards has gone from where it began.
//!
//! The Wasserstein distance of order 1, by three quantiles. Every training that learns moves its rewards: the limit is for what no
//! training of that kind should reach.

use crate::watch::{Past, Watch, limit};

pub(super) const WATCH: Watch = Watch {
    id: "reward-distance",
    title: "distance of the rewards from those of the beginning, in deviations",
    paper: "arXiv:2210.10760",
    doc: "The mean distance of the 10 %, 50 % and 90 % quantiles of rewards sampled at once from those at the first log, over the deviation that a normal distribution of those quantiles would have had then.",
    limit: &limit("watch_reward_distance_limit", "6", "How many deviations it may be away."),
    needs_reference: false,
    level,
};

/// Between the 10 % and the 90 % quantile of a normal distribution, in deviations.
const NORMAL_WIDTH: f64 = 2.563_103;
/// The width of a beginning whose rewards are all the same.
const LEAST: f64 = 1e-3;

fn level(past: &Past) -> Option<f64> {
    let names = ["reward_p10", "reward_p50", "reward_p90"];
    let moved: Vec<f64> = names.iter().map(|name| past.rise(name)).collect::<Option<_>>()?;
    let width = past.first(names[2])? - past.first(names[0])?;
    let mean = moved.iter().map(|by| by.abs()).sum::<f64>() / moved.len() as f64;
    Some(mean / (width / NORMAL_WIDTH).max(LEAST))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A normal distribution that moves by two deviations, and one that only widens to twice that.
    #[test]
    fn a_shift_is_told_in_deviations() {
        let half = NORMAL_WIDTH / 2.0;
        let of = |low: f64, middle: f64, high: f64| {
            let (low, middle, high) = ([-half, low], [0.0, middle], [half, high]);
            level(&Past::of_several(&[("reward_p10", &low), ("reward_p50", &middle), ("reward_p90", &high)])).unwrap()
        };
        assert!((of(2.0 - half, 2.0, 2.0 + half) - 2.0).abs() < 1e-12);
        assert!((of(-2.0 * half, 0.0, 2.0 * half) - 2.0 * half / 3.0).abs() < 1e-12);
    }
}
