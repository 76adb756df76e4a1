//! The difference of two shares of one sample, whose items may come in clusters and may be of both shares.

use crate::interval::{Interval, Method};
use crate::proportion::wilson_of;
use crate::reader_error::effective;
use crate::special::student_t_quantile;

/// One of two shares: how much of what there is has the property, unit by unit.
struct Side {
    share: f64,
    interval: Interval,
    /// By how much each unit has more than its part.
    excess: Vec<f64>,
}

/// The interval of `a / n - b / m` from the sums `[a, n, b, m]` of independent units (clusters, where there are any), of which each
/// may have a part in either share or in both.
///
/// Both shares get Wilson's interval, over as many items as their clusters are worth (the effective sample size, corrected for
/// few clusters by Student's quantiles: Korn and Graubard 1998, Survey Methodology 24, 193-201). Then the arms that point one way are
/// put together, with the correlation of the shares over units (Newcombe 1998, Statistics in Medicine 17, 2635-2650; Zou and Donner 2008
/// for any two intervals). So nothing collapses where all items agree. Where a share is 0 or 1 its units count once each, as
/// nothing tells how alike their items are. `None` where a share is of fewer than two units, or is none.
pub(crate) fn difference_of_shares(units: &[Vec<f64>], level: f64) -> Option<Interval> {
    let (first, second) = (side(units, 0, level)?, side(units, 2, level)?);
    let alike = correlation(&first.excess, &second.excess);
    let difference = first.share - second.share;
    let arm = |one: f64, other: f64| (one * one + other * other - 2.0 * alike * one * other).max(0.0).sqrt();
    let low = arm(first.share - first.interval.low, second.interval.high - second.share);
    let high = arm(first.interval.high - first.share, second.share - second.interval.low);
    Some(Interval { low: difference - low, high: difference + high, level, method: Method::NewcombeShares })
}

/// The share whose sums begin at a place.
fn side(units: &[Vec<f64>], at: usize, level: f64) -> Option<Side> {
    let [with, all] = [at, at + 1].map(|at| units.iter().map(|unit| unit[at]).sum::<f64>());
    let count = units.iter().filter(|unit| unit[at + 1] > 0.0).count() as f64;
    let share = with / all;
    if count < 2.0 || units.iter().any(|unit| !(0.0..=unit[at + 1]).contains(&unit[at])) {
        return None;
    }
    let excess: Vec<f64> = units.iter().map(|unit| unit[at] - share * unit[at + 1]).collect();
    let squares: f64 = excess.iter().map(|excess| excess * excess).sum();
    let error = (count / (count - 1.0) * squares).sqrt() / all;
    let items = if with == 0.0 || with == all { count } else { effective(share, all, Some(error)) };
    let quantile = |freedom: f64| student_t_quantile(0.5 + level / 2.0, freedom);
    let worth = (quantile(all.max(2.0) - 1.0) / quantile(count - 1.0)).powi(2);
    Some(Side { share, interval: wilson_of(share, items * worth, level), excess })
}

/// The correlation of what units have more than their part; 0 where one side does not vary.
fn correlation(first: &[f64], second: &[f64]) -> f64 {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let found = dot(first, second) / (dot(first, first) * dot(second, second)).sqrt();
    if found.is_finite() { found.clamp(-1.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{newcombe, wilson};

    fn unit(first: Option<bool>, second: Option<bool>) -> Vec<f64> {
        let part = |of: Option<bool>| [f64::from(u8::from(of == Some(true))), f64::from(u8::from(of.is_some()))];
        [part(first), part(second)].concat()
    }

    /// Newcombe 1998, table II, as in `unpaired.rs`: 56/70 - 48/80 = 0.2, [0.0524, 0.3339]. A share's own variance has one degree
    /// of freedom less than it has items, which widens this by a hundredth of it.
    #[test]
    fn of_different_items_it_is_newcombes() {
        let first = (0..70).map(|i| unit(Some(i < 56), None));
        let second = (0..80).map(|i| unit(None, Some(i < 48)));
        let units: Vec<Vec<f64>> = first.chain(second).collect();
        let found = difference_of_shares(&units, 0.95).unwrap();
        let plain = newcombe((0.6, wilson(48, 80, 0.95).unwrap()), (0.8, wilson(56, 70, 0.95).unwrap()));
        assert!(
            (found.low - plain.low).abs() < 0.002 && (found.high - plain.high).abs() < 0.002,
            "{found:?} {plain:?}"
        );
    }

    #[test]
    fn nothing_that_varies_is_not_certainty() {
        let units: Vec<Vec<f64>> = (0..80).map(|_| unit(Some(false), Some(false))).collect();
        let found = difference_of_shares(&units, 0.95).unwrap();
        assert!(found.low < -0.03 && found.high > 0.03, "{found:?}");
        assert_eq!(difference_of_shares(&units[..1], 0.95), None);
        assert_eq!(difference_of_shares(&[], 0.95), None);
    }

    #[test]
    fn items_that_agree_shrink_it_and_clusters_widen_it() {
        let width = |units: &[Vec<f64>]| {
            let found = difference_of_shares(units, 0.95).unwrap();
            found.high - found.low
        };
        let own = |i: usize| (i.is_multiple_of(3), i.is_multiple_of(2));
        let apart: Vec<Vec<f64>> =
            (0..120).flat_map(|i| [unit(Some(own(i).0), None), unit(None, Some(own(i).1))]).collect();
        let paired: Vec<Vec<f64>> = (0..120).map(|i| unit(Some(i % 3 == 0), Some(i % 3 == 0 || i % 7 == 0))).collect();
        let unpaired: Vec<Vec<f64>> =
            (0..120).flat_map(|i| [unit(Some(i % 3 == 0), None), unit(None, Some(i % 3 == 0 || i % 7 == 0))]).collect();
        assert!(width(&paired) < 0.6 * width(&unpaired));
        let clustered: Vec<Vec<f64>> = (0..12)
            .map(|i| {
                let with = if i % 2 == 0 { 16.0 } else { 4.0 };
                if i < 6 { vec![with, 20.0, 0.0, 0.0] } else { vec![0.0, 0.0, with, 20.0] }
            })
            .collect();
        assert!(width(&clustered) > 2.0 * width(&apart), "{} {}", width(&clustered), width(&apart));
    }
}
