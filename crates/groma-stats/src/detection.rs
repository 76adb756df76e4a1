//! How many of what is looked for are found where few others may be taken for it.

use rand_core::Rng;

use crate::{Bootstrap, Interval, below};

/// The share of the first kind that scores above a threshold which at most the share `rate` of the second kind is above; `None` unless
/// there are items of both, and scores are numbers.
pub fn detection_rate(first: &[f64], second: &[f64], rate: f64) -> Option<f64> {
    if first.is_empty() || second.is_empty() || first.iter().chain(second).any(|score| score.is_nan()) {
        return None;
    }
    let mut sorted = second.to_vec();
    sorted.sort_by(f64::total_cmp);
    let allowed = (rate * sorted.len() as f64).floor() as usize;
    let threshold = sorted.len().checked_sub(allowed + 1).map(|place| sorted[place]);
    let found = first.iter().filter(|score| threshold.is_none_or(|threshold| **score > threshold)).count();
    Some(found as f64 / first.len() as f64)
}

/// The percentile interval of [`detection_rate`], both kinds drawn anew: the threshold is as uncertain as what is above it.
pub fn detection_interval<Random: Rng, Draw: Fn(u64) -> Random>(
    first: &[f64],
    second: &[f64],
    rate: f64,
    bootstrap: &Bootstrap<Draw>,
) -> Option<Interval> {
    bootstrap.percentile_of(first.len().min(second.len()), |random| {
        let mut draw =
            |scores: &[f64]| scores.iter().map(|_| scores[below(scores.len(), random)]).collect::<Vec<f64>>();
        let (first, second) = (draw(first), draw(second));
        detection_rate(&first, &second, rate).unwrap_or(f64::NAN)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normal_quantile;
    use groma_run::Seed;

    #[test]
    fn counted_by_hand() {
        let second: Vec<f64> = (0..100).map(f64::from).collect();
        let first = [98.5, 99.5, 100.0, 3.0];
        let at = |rate| detection_rate(&first, &second, rate).unwrap();
        assert_eq!((at(0.0), at(0.01), at(1.0)), (0.5, 0.75, 1.0));
        // With fewer others than one in a hundred can be, none may be above.
        assert_eq!(detection_rate(&[2.0, 0.5], &[1.0, 0.0], 0.01), Some(0.5));
        assert_eq!(detection_rate(&[], &[1.0], 0.1), None);
        assert_eq!(detection_rate(&[f64::NAN], &[1.0], 0.1), None);
    }

    #[test]
    fn the_interval_covers_the_true_rate() {
        // Normal scores two apart: above the 90th percentile of the second lie Phi(2 - 1.2816) = 0.7637 of the first.
        let mut held = 0;
        for run in 0..40 {
            let mut rng = Seed::new(run).rng();
            let mut normal = |mean: f64| {
                let uniform = (below(1 << 30, &mut rng) as f64 + 0.5) / f64::from(1 << 30);
                mean + normal_quantile(uniform)
            };
            let first: Vec<f64> = (0..200).map(|_| normal(2.0)).collect();
            let second: Vec<f64> = (0..200).map(|_| normal(0.0)).collect();
            let draw = |index| Seed::new(run).named("bootstrap").index(index).rng();
            let bootstrap = Bootstrap { resamples: 300, level: 0.95, draw };
            let interval = detection_interval(&first, &second, 0.1, &bootstrap).unwrap();
            held += usize::from(interval.contains(0.7637));
        }
        assert!((34..=40).contains(&held), "{held} of 40");
    }
}
