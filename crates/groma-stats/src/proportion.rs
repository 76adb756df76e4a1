//! Intervals of a proportion: `successes` out of `n` independent trials.

use crate::interval::{Interval, Method};
use crate::special::{beta_quantile, normal_quantile};

/// Wilson's score interval (Wilson 1927); `None` for no trials.
pub fn wilson(successes: usize, n: usize, level: f64) -> Option<Interval> {
    if n == 0 {
        return None;
    }
    Some(clip(wilson_of(successes as f64 / n as f64, n as f64, level), successes, n))
}

/// The same of a share of so many items, which need be no whole number.
pub(crate) fn wilson_of(share: f64, total: f64, level: f64) -> Interval {
    let z = normal_quantile(0.5 + level / 2.0);
    let centre = (share + z * z / (2.0 * total)) / (1.0 + z * z / total);
    let half = z / (1.0 + z * z / total) * (share * (1.0 - share) / total + z * z / (4.0 * total * total)).sqrt();
    let found = Interval::around(centre, half, level, Method::Wilson);
    Interval { low: found.low.max(0.0), high: found.high.min(1.0), ..found }
}

/// Clopper and Pearson's exact interval (1934); `None` for no trials.
pub fn clopper_pearson(successes: usize, n: usize, level: f64) -> Option<Interval> {
    let failures = n.checked_sub(successes)?;
    let tail = (1.0 - level) / 2.0;
    let low = if successes == 0 { 0.0 } else { beta_quantile(successes as f64, failures as f64 + 1.0, tail) };
    let high = if failures == 0 { 1.0 } else { beta_quantile(successes as f64 + 1.0, failures as f64, 1.0 - tail) };
    (n > 0).then_some(Interval { low, high, level, method: Method::ClopperPearson })
}

/// The equal-tailed interval from Jeffreys' prior, with the ends 0 and 1 where nothing or everything succeeded (Brown, Cai
/// and DasGupta 2001); `None` for no trials.
pub fn jeffreys(successes: usize, n: usize, level: f64) -> Option<Interval> {
    let failures = n.checked_sub(successes)?;
    let tail = (1.0 - level) / 2.0;
    let (a, b) = (successes as f64 + 0.5, failures as f64 + 0.5);
    let interval = Interval {
        low: beta_quantile(a, b, tail),
        high: beta_quantile(a, b, 1.0 - tail),
        level,
        method: Method::Jeffreys,
    };
    (n > 0).then(|| clip(interval, successes, n))
}

fn clip(interval: Interval, successes: usize, n: usize) -> Interval {
    let low = if successes == 0 { 0.0 } else { interval.low.max(0.0) };
    let high = if successes == n { 1.0 } else { interval.high.min(1.0) };
    Interval { low, high, ..interval }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(interval: Option<Interval>, low: f64, high: f64) {
        let interval = interval.unwrap();
        assert!((interval.low - low).abs() < 1e-4 && (interval.high - high).abs() < 1e-4, "{interval:?}");
    }

    /// Wilson: the figures of the specification; the others: scipy's beta.ppf.
    #[test]
    fn published_figures() {
        check(wilson(0, 50, 0.95), 0.0, 0.0713);
        check(wilson(7, 50, 0.95), 0.0695, 0.2619);
        check(wilson(50, 100, 0.95), 0.4038, 0.5962);
        check(clopper_pearson(7, 50, 0.95), 0.05819, 0.26739);
        check(clopper_pearson(0, 50, 0.95), 0.0, 0.07112);
        check(jeffreys(7, 50, 0.95), 0.06487, 0.25533);
    }

    #[test]
    fn ends_are_exact_and_nothing_has_none() {
        for interval in [wilson(5, 5, 0.9), clopper_pearson(5, 5, 0.9), jeffreys(5, 5, 0.9)] {
            assert_eq!(interval.unwrap().high, 1.0);
        }
        assert_eq!((wilson(0, 0, 0.95), clopper_pearson(0, 0, 0.95), jeffreys(0, 0, 0.95)), (None, None, None));
    }
}
