//! Before and after on the same items.

use rand_core::Rng;

use crate::bootstrap::sums;
use crate::sample::Sample;
use crate::{
    BinaryPairs, Interval, Mean, Observation, Resampling, Statistic, Uncertainty, clustered_interval,
    clustered_standard_error, minimum_detectable_effect, normal_quantile, sign_flip_test, student_t_cdf,
    sum_by_cluster,
};

/// Sign patterns drawn by the permutation test.
const SIGN_PATTERNS: usize = 10_000;

/// A statistic on both sides, and its difference.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// The first side's number.
    pub before: f64,
    /// The second side's number.
    pub after: f64,
    /// After less before.
    pub difference: f64,
    /// Uncertainty of the difference.
    pub interval: Option<Interval>,
    /// Probability of so large a difference if there were none.
    pub p_value: Option<f64>,
    /// Pairs of items, or of groups of them.
    pub n: usize,
    /// The test.
    pub method: &'static str,
    /// The smallest true difference that would be found four times in five.
    pub detectable: Option<f64>,
}

/// A test of no difference.
struct Test {
    interval: Option<Interval>,
    p_value: Option<f64>,
    method: &'static str,
    standard_error: Option<f64>,
}

impl Statistic {
    /// The difference over items that both sides have scores of; `None` where either number does not exist.
    ///
    /// Shares: Agresti and Min's interval and McNemar's exact test. Means: paired bootstrap and sign-flip test. Ratios: the
    /// bootstrap draws items (or clusters) and forms both numbers anew; the test flips the signs of the differences of the
    /// first sums, and there is none where the other sums differ. Shares and means of clustered items: t with clustered
    /// errors. Any other statistic: the bootstrap alone.
    pub fn compare<Random: Rng>(&self, pairs: &[Observation], how: &Resampling<Random>) -> Option<Difference> {
        let sample = Sample::new(*self, pairs, 2);
        let sums = sums(&sample.rows);
        let (before, after) = (sample.value(&sums, 0)?, sample.value(&sums, 1)?);
        let test = match sample.uncertainty() {
            Uncertainty::Share => sample.clustered_test(how.level).unwrap_or_else(|| sample.binary(how.level)),
            Uncertainty::Mean | Uncertainty::Area => {
                sample.clustered_test(how.level).unwrap_or_else(|| sample.resampled(how))
            }
            Uncertainty::Corrected => sample.corrected(&sums, how).unwrap_or_else(|| sample.resampled(how)),
            Uncertainty::Ratio | Uncertainty::ShareDifference | Uncertainty::Resampled => sample.resampled(how),
        };
        Some(Difference {
            before,
            after,
            difference: after - before,
            interval: test.interval,
            p_value: test.p_value,
            n: sample.rows.len(),
            method: test.method,
            detectable: test.standard_error.map(minimum_detectable_effect),
        })
    }
}

impl Sample {
    /// Of statistics of one score: after less before, row by row.
    fn differences(&self) -> Vec<f64> {
        self.rows.iter().map(|row| self.first(row, 1) - self.first(row, 0)).collect()
    }

    /// Of a share that one instrument read on both sides: the test of what it read, and the interval of that over what the
    /// instrument leaves of a difference. `None` where the sides had different instruments.
    fn corrected<Random: Rng>(&self, sums: &[f64], how: &Resampling<Random>) -> Option<Test> {
        let error = self.reader_error(sums, 0).filter(|error| self.reader_error(sums, 1) == Some(*error))?;
        let read = self.as_read();
        let found = read.clustered_test(how.level).unwrap_or_else(|| read.binary(how.level));
        let left = error.discrimination();
        let interval = found.interval.map(|interval| {
            let (centre, half) = ((interval.low + interval.high) / 2.0, (interval.high - interval.low) / 2.0);
            let half = error.widened(centre / left, half, how.level);
            Interval::around(centre / left, half, interval.level, interval.method)
        });
        Some(Test { interval, standard_error: found.standard_error.map(|error| error / left), ..found })
    }

    fn binary(&self, level: f64) -> Test {
        let pairs = BinaryPairs::of(self.rows.iter().map(|row| (row[0] > 0.5, row[1] > 0.5)));
        Test {
            interval: pairs.agresti_min(level),
            p_value: Some(pairs.mcnemar_exact()),
            method: "exact McNemar",
            standard_error: Mean::of(&self.differences()).and_then(|mean| mean.standard_error()),
        }
    }

    /// t with clustered errors; `None` without clusters, or where nothing changed and the interval would collapse.
    fn clustered_test(&self, level: f64) -> Option<Test> {
        let keys = self.clusters.as_ref()?;
        let differences = self.differences();
        let error = clustered_standard_error(&differences, keys).filter(|error| *error > 0.0)?;
        let clusters = sum_by_cluster(&self.rows, keys).len() as f64;
        let t = Mean::of(&differences)?.mean / error;
        Some(Test {
            interval: clustered_interval(&differences, keys, level),
            p_value: Some(2.0 * student_t_cdf(-t.abs(), clusters - 1.0)),
            method: "clustered t",
            standard_error: Some(error),
        })
    }

    fn resampled<Random: Rng>(&self, how: &Resampling<Random>) -> Test {
        let units = self.units();
        let difference = |sums: &[f64]| Some(self.value(sums, 1)? - self.value(sums, 0)?);
        let interval = how.bootstrap().percentile(&units, |sums| difference(sums).unwrap_or(f64::NAN));
        let width = 2.0 * normal_quantile(0.5 + how.level / 2.0);
        let flips = self.first_sums(&units).map(|moved| {
            let p_value = sign_flip_test(&moved, SIGN_PATTERNS, &mut (how.draw)("sign flips", None));
            (moved.len() > 1).then_some(p_value)
        });
        Test {
            interval,
            p_value: flips.flatten(),
            method: if flips.is_some() { "sign-flip permutation" } else { "paired bootstrap" },
            standard_error: interval.map(|interval| (interval.high - interval.low) / width),
        }
    }

    /// How the first sum of each unit changed, where that says which way the statistic went: all else is equal.
    fn first_sums(&self, units: &[Vec<f64>]) -> Option<Vec<f64>> {
        if matches!(self.uncertainty(), Uncertainty::Resampled | Uncertainty::ShareDifference) {
            return None;
        }
        let same = |row: &Vec<f64>| {
            let (before, after) = row[..row.len() - 1].split_at((row.len() - 1) / 2);
            let others = before.iter().zip(after).skip(1);
            others.into_iter().all(|(before, after)| (before - after).abs() <= 1e-9 * before.abs())
        };
        let middle = units.first().map_or(0, |row| (row.len() - 1) / 2);
        units.iter().all(same).then(|| units.iter().map(|row| row[middle] - row[0]).collect())
    }
}
