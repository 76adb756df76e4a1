//! The bootstrap over items (Efron 1979), for statistics that are functions of sums.

use crate::interval::{Interval, Method};
use crate::special::{normal_cdf, normal_quantile};
use rand_core::Rng;

/// Share of resamples whose statistic may be undefined (0/0) before no interval is given.
const UNDEFINED_SHARE: f64 = 0.05;

/// How to resample. `Draw` gives the random numbers of a resample from its index, so that a caller's seeds decide.
#[derive(Clone, Copy, Debug)]
pub struct Bootstrap<Draw> {
    /// Resamples drawn.
    pub resamples: usize,
    /// Confidence, e.g. 0.95.
    pub level: f64,
    /// The random numbers of each resample.
    pub draw: Draw,
}

impl<Random: Rng, Draw: Fn(u64) -> Random> Bootstrap<Draw> {
    /// The statistic of each resample of `rows`, ascending; undefined ones are left out.
    pub fn distribution(&self, rows: &[impl AsRef<[f64]>], statistic: impl Fn(&[f64]) -> f64) -> Vec<f64> {
        self.sorted(|random| statistic(&resampled_sums(rows, random)))
    }

    /// What `resample` finds with each of the draws, ascending; undefined values are left out.
    fn sorted(&self, resample: impl Fn(&mut Random) -> f64) -> Vec<f64> {
        let mut found: Vec<f64> = (0..self.resamples as u64)
            .map(|index| resample(&mut (self.draw)(index)))
            .filter(|value| value.is_finite())
            .collect();
        found.sort_by(f64::total_cmp);
        found
    }

    /// The percentile interval; `None` of fewer than two rows, or where the statistic is often undefined.
    pub fn percentile(&self, rows: &[impl AsRef<[f64]>], statistic: impl Fn(&[f64]) -> f64) -> Option<Interval> {
        self.percentile_of(rows.len(), |random| statistic(&resampled_sums(rows, random)))
    }

    /// The percentile interval of what `resample` finds, each time with other random numbers, in samples of `n` items.
    pub(crate) fn percentile_of(&self, n: usize, resample: impl Fn(&mut Random) -> f64) -> Option<Interval> {
        let sorted = self.enough(n, self.sorted(resample))?;
        let tail = (1.0 - self.level) / 2.0;
        let (low, high) = (quantile(&sorted, tail), quantile(&sorted, 1.0 - tail));
        Some(Interval { low, high, level: self.level, method: Method::Bootstrap })
    }

    /// The bias-corrected and accelerated interval (Efron 1987); `None` as for [`Self::percentile`].
    pub fn bias_corrected(&self, rows: &[impl AsRef<[f64]>], statistic: impl Fn(&[f64]) -> f64) -> Option<Interval> {
        let sorted = self.enough(rows.len(), self.distribution(rows, &statistic))?;
        let found = statistic(&sums(rows));
        let below = sorted.iter().filter(|value| **value < found).count() as f64;
        let equal = sorted.iter().filter(|value| **value == found).count() as f64;
        let half_a_draw = 0.5 / sorted.len() as f64;
        let share = (below + equal / 2.0) / sorted.len() as f64;
        let bias = normal_quantile(share.clamp(half_a_draw, 1.0 - half_a_draw));
        let acceleration = acceleration(&jackknife(rows, &statistic));
        let end = |probability: f64| {
            let z = bias + normal_quantile(probability);
            quantile(&sorted, normal_cdf(bias + z / (1.0 - acceleration * z)))
        };
        let tail = (1.0 - self.level) / 2.0;
        let (low, high) = (end(tail), end(1.0 - tail));
        Some(Interval { low, high, level: self.level, method: Method::BiasCorrectedBootstrap })
    }

    fn enough(&self, rows: usize, sorted: Vec<f64>) -> Option<Vec<f64>> {
        let needed = (1.0 - UNDEFINED_SHARE) * self.resamples as f64;
        (rows > 1 && !sorted.is_empty() && sorted.len() as f64 >= needed).then_some(sorted)
    }
}

/// The statistic without each row in turn.
pub fn jackknife(rows: &[impl AsRef<[f64]>], statistic: impl Fn(&[f64]) -> f64) -> Vec<f64> {
    let all = sums(rows);
    let without = |row: &[f64]| all.iter().zip(row).map(|(sum, value)| sum - value).collect::<Vec<_>>();
    rows.iter().map(|row| statistic(&without(row.as_ref()))).collect()
}

/// Column sums, in the order of the rows; empty of no rows.
pub(crate) fn sums(rows: &[impl AsRef<[f64]>]) -> Vec<f64> {
    let mut sums = vec![0.0; rows.first().map_or(0, |row| row.as_ref().len())];
    rows.iter().for_each(|row| add(&mut sums, row.as_ref()));
    sums
}

pub(crate) fn add(sums: &mut [f64], row: &[f64]) {
    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
}

fn resampled_sums(rows: &[impl AsRef<[f64]>], random: &mut impl Rng) -> Vec<f64> {
    let mut sums = vec![0.0; rows.first().map_or(0, |row| row.as_ref().len())];
    for _ in rows {
        add(&mut sums, rows[below(rows.len(), random)].as_ref());
    }
    sums
}

/// A number below `n`, by the multiply-shift of 64 random bits (its bias is below n / 2^64).
pub fn below(n: usize, random: &mut impl Rng) -> usize {
    ((u128::from(random.next_u64()) * n as u128) >> 64) as usize
}

/// Linear interpolation between order statistics.
fn quantile(sorted: &[f64], probability: f64) -> f64 {
    let place = probability.clamp(0.0, 1.0) * (sorted.len() - 1) as f64;
    let (low, high) = (place.floor() as usize, place.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * (place - low as f64)
}

fn acceleration(left_out: &[f64]) -> f64 {
    let mean = left_out.iter().sum::<f64>() / left_out.len() as f64;
    let (mut squares, mut cubes) = (0.0, 0.0);
    for value in left_out {
        squares += (mean - value).powi(2);
        cubes += (mean - value).powi(3);
    }
    if squares > 0.0 { cubes / (6.0 * squares.powf(1.5)) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::{Random, Seed};

    fn bootstrap() -> Bootstrap<impl Fn(u64) -> Random> {
        Bootstrap { resamples: 4000, level: 0.95, draw: |index| Seed::new(1).index(index).rng() }
    }

    fn mean(sums: &[f64]) -> f64 {
        sums[0] / sums[1]
    }

    #[test]
    fn same_seed_same_interval_and_close_to_normal() {
        let rows: Vec<[f64; 2]> = (0..400).map(|i| [f64::from(i % 20), 1.0]).collect();
        let interval = bootstrap().percentile(&rows, mean).unwrap();
        assert_eq!(Some(interval), bootstrap().percentile(&rows, mean));
        let error = (33.25f64 / 400.0).sqrt();
        assert!((interval.low - (9.5 - 1.96 * error)).abs() < 0.04, "{interval:?} {error}");
        let corrected = bootstrap().bias_corrected(&rows, mean).unwrap();
        assert!((corrected.high - interval.high).abs() < 0.04, "{corrected:?}");
    }

    #[test]
    fn bias_correction_follows_the_skew() {
        let rows: Vec<[f64; 2]> = (0..30).map(|i| [f64::from(i).powi(3) / 100.0, 1.0]).collect();
        let plain = bootstrap().percentile(&rows, mean).unwrap();
        let corrected = bootstrap().bias_corrected(&rows, mean).unwrap();
        assert!(corrected.low > plain.low && corrected.high > plain.high, "{plain:?} {corrected:?}");
    }

    #[test]
    fn undefined_or_too_little_gives_none() {
        assert_eq!(bootstrap().percentile(&[[1.0, 1.0]], mean), None);
        assert_eq!(bootstrap().percentile(&[[1.0, 0.0], [0.0, 0.0]], |_| f64::NAN), None);
        assert_eq!(jackknife(&[[1.0, 1.0], [3.0, 1.0]], mean), vec![3.0, 1.0]);
    }

    #[test]
    fn numbers_below_are_uniform() {
        let mut counts = [0usize; 7];
        let mut random = Seed::new(3).rng();
        (0..70_000).for_each(|_| counts[below(7, &mut random)] += 1);
        assert!(counts.iter().all(|count| (9_600..10_400).contains(count)), "{counts:?}");
    }
}
