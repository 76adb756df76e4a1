//! From values of rows to measurements.

use std::collections::BTreeMap;

use groma_run::{Interval, Measurement, Seed};
use groma_stats::formulas::RATIO;
use groma_stats::{LEVEL, Mean, Observation, RESAMPLES, Resampling, Statistic, mean_interval, newcombe, wilson};

/// The conditions of a number, by name.
pub(crate) fn factors<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

/// An interval as a run keeps it.
pub(crate) fn kept(interval: groma_stats::Interval) -> Interval {
    let method = interval.method.name().to_owned();
    Interval { low: interval.low, high: interval.high, level: interval.level, method }
}

/// The mean of values of rows, with Student's interval; `None` where no value is finite.
pub(crate) fn mean(subject: &str, task: &str, metric: &str, values: &[f64]) -> Option<Measurement> {
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    let mean = Mean::of(&values)?;
    let interval = mean_interval(&values, LEVEL).map(kept);
    Some(Measurement { interval, ..Measurement::new(subject, task, metric, mean.mean, mean.n as u64) })
}

/// The share of rows for which something holds, with Wilson's interval; `None` of no rows.
pub(crate) fn share(subject: &str, task: &str, metric: &str, holds: &[bool]) -> Option<Measurement> {
    let count = holds.iter().filter(|holds| **holds).count();
    let interval = wilson(count, holds.len(), LEVEL)?;
    let value = count as f64 / holds.len() as f64;
    let unit = groma_run::Unit::Share;
    let interval = Some(kept(interval));
    Some(Measurement { interval, unit, ..Measurement::new(subject, task, metric, value, holds.len() as u64) })
}

/// The sum of the first numbers over the sum of the second ones, with a bootstrap interval over rows; `None` where it does not
/// exist.
pub(crate) fn ratio(names: [&str; 3], pairs: &[[f64; 2]], seed: Seed) -> Option<Measurement> {
    let [subject, task, metric] = names;
    let ids: Vec<String> = (0..pairs.len()).map(|index| index.to_string()).collect();
    let observed = ids.iter().zip(pairs);
    let items: Vec<Observation<'_>> =
        observed.map(|(id, pair)| Observation { id, cluster: None, group: None, scores: pair.into() }).collect();
    let draw = |purpose: &str, index| seed.draw(purpose, metric, index);
    let how = Resampling { level: LEVEL, resamples: RESAMPLES, draw: &draw };
    let found = Statistic { formula: &RATIO, across: None }.estimate(&items, &how)?;
    let interval = found.interval.map(kept);
    Some(Measurement { interval, ..Measurement::new(subject, task, metric, found.value, found.n as u64) })
}

/// The mean of the first values less that of the second ones, with Newcombe's interval from both; `None` where a side is empty.
pub(crate) fn apart([subject, task, metric]: [&str; 3], first: &[f64], second: &[f64]) -> Option<Measurement> {
    let side = |values: &[f64]| {
        let (count, mean) = (values.len(), Mean::of(values)?.mean);
        let is_share = values.iter().all(|value| *value == 0.0 || *value == 1.0);
        let ones = values.iter().filter(|value| **value == 1.0).count();
        Some((mean, if is_share { wilson(ones, count, LEVEL)? } else { mean_interval(values, LEVEL)? }))
    };
    let (first_side, second_side) = (side(first)?, side(second)?);
    let interval = Some(kept(newcombe(second_side, first_side)));
    let n = (first.len() + second.len()) as u64;
    Some(Measurement { interval, ..Measurement::new(subject, task, metric, first_side.0 - second_side.0, n) })
}
