//! From the scores of items to a number with its uncertainty.

use rand_core::Rng;

use crate::bootstrap::sums;
use crate::reader_error::effective;
use crate::sample::Sample;
use crate::share_difference::difference_of_shares;
use crate::{
    Bootstrap, Interval, Mean, Observation, Statistic, Uncertainty, auroc_interval, clustered_interval,
    clustered_standard_error, mean_interval, wilson,
};

/// The usual confidence of intervals.
pub const LEVEL: f64 = 0.95;
/// The usual number of bootstrap resamples.
pub const RESAMPLES: usize = 2000;

/// How intervals and tests are made.
#[derive(Clone, Copy)]
pub struct Resampling<'a, Random> {
    /// Confidence of intervals.
    pub level: f64,
    /// Bootstrap resamples.
    pub resamples: usize,
    /// Random numbers for a purpose, and of one of its numbered draws.
    pub draw: &'a dyn Fn(&str, Option<u64>) -> Random,
}

/// A number and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The number.
    pub value: f64,
    /// Its interval; `None` where the items do not tell (a single one).
    pub interval: Option<Interval>,
    /// Items, or groups of them, that it rests on.
    pub n: usize,
}

impl Statistic {
    /// The number of items; `None` where it does not exist: of no items, or 0/0.
    pub fn estimate<Random: Rng>(&self, items: &[Observation], how: &Resampling<Random>) -> Option<Estimate> {
        let sample = Sample::new(*self, items, 1);
        let value = sample.value(&sums(&sample.rows), 0)?;
        Some(Estimate { value, interval: sample.interval(how), n: sample.rows.len() })
    }
}

impl Sample {
    fn interval<Random: Rng>(&self, how: &Resampling<Random>) -> Option<Interval> {
        let values: Vec<f64> = self.rows.iter().map(|row| row[0]).collect();
        match self.uncertainty() {
            Uncertainty::Share => {
                let successes = values.iter().filter(|value| **value > 0.5).count();
                self.clustered_share(&values, how.level).or_else(|| wilson(successes, values.len(), how.level))
            }
            Uncertainty::Area => {
                let (area, marked) = (Mean::of(&values)?.mean, self.rows.iter().filter(|row| row[1] > 0.5).count());
                let newcombe = || auroc_interval(area.clamp(0.0, 1.0), [marked, values.len() - marked], how.level);
                self.clustered_share(&values, how.level).or_else(newcombe)
            }
            Uncertainty::Mean => self.clustered(&values, how.level).or_else(|| mean_interval(&values, how.level)),
            Uncertainty::Corrected => {
                let error = self.reader_error(&sums(&self.rows), 0)?;
                let n = values.len() as f64;
                let read = values.iter().sum::<f64>() / n;
                let clustered = self.clusters.as_ref().and_then(|keys| clustered_standard_error(&values, keys));
                error.interval(read, effective(read, n, clustered), how.level)
            }
            Uncertainty::ShareDifference => {
                difference_of_shares(&self.units(), how.level).or_else(|| self.resampled_interval(how))
            }
            Uncertainty::Ratio | Uncertainty::Resampled => self.resampled_interval(how),
        }
    }

    fn resampled_interval<Random: Rng>(&self, how: &Resampling<Random>) -> Option<Interval> {
        how.bootstrap().percentile(&self.units(), |sums| self.value(sums, 0).unwrap_or(f64::NAN))
    }

    /// The clustered interval of what lies between 0 and 1.
    fn clustered_share(&self, values: &[f64], level: f64) -> Option<Interval> {
        let found = self.clustered(values, level)?;
        Some(Interval { low: found.low.max(0.0), high: found.high.min(1.0), ..found })
    }

    /// The clustered interval, unless all values are equal and it would collapse.
    fn clustered(&self, values: &[f64], level: f64) -> Option<Interval> {
        let keys = self.clusters.as_ref()?;
        let varies = values.iter().any(|value| *value != values[0]);
        varies
            .then(|| clustered_interval(values, keys, level))
            .flatten()
            .filter(|interval| interval.low < interval.high)
    }
}

impl<Random: Rng> Resampling<'_, Random> {
    pub(crate) fn bootstrap(&self) -> Bootstrap<impl Fn(u64) -> Random> {
        let draw = |index| (self.draw)("bootstrap", Some(index));
        Bootstrap { resamples: self.resamples, level: self.level, draw }
    }
}
