//! How well scores tell two kinds of items apart: the area under the ROC curve.

use crate::interval::{Interval, Method};
use crate::special::normal_quantile;

/// The probability that an item of the first kind scores above one of the second, ties counting half (Mann and Whitney 1947);
/// `None` unless there are items of both, and scores are numbers.
pub fn auroc(first: &[f64], second: &[f64]) -> Option<f64> {
    if first.is_empty() || second.is_empty() || first.iter().chain(second).any(|score| score.is_nan()) {
        return None;
    }
    let scored: Vec<(f64, bool)> =
        first.iter().map(|&score| (score, true)).chain(second.iter().map(|&score| (score, false))).collect();
    let wins: f64 = above(&scored)[..first.len()].iter().sum();
    Some(wins / (first.len() as f64 * second.len() as f64))
}

/// Of each score, which is of the first kind or of the second, how many of the other kind lie below it, ties counting half.
pub(crate) fn above(scored: &[(f64, bool)]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scored.len()).collect();
    order.sort_by(|&a, &b| scored[a].0.total_cmp(&scored[b].0));
    let (mut found, mut below) = (vec![0.0; scored.len()], [0.0; 2]);
    for tied in order.chunk_by(|&a, &b| scored[a].0 == scored[b].0) {
        let of_first = tied.iter().filter(|&&item| scored[item].1).count() as f64;
        let of = [of_first, tied.len() as f64 - of_first];
        for &item in tied {
            let other = usize::from(scored[item].1);
            found[item] = below[other] + of[other] / 2.0;
        }
        below = [below[0] + of[0], below[1] + of[1]];
    }
    found
}

/// The score interval of an area found with so many items of each kind (Newcombe 2006, Statistics in Medicine 25: 559, method 5):
/// the areas `a` for which the one found is at most `z` standard errors away, the variance being that of Hanley and McNeil 1982
/// with half of all items less one in the place of both counts. Unlike DeLong's it has a width where the kinds do not overlap.
pub fn auroc_interval(area: f64, [first, second]: [usize; 2], level: f64) -> Option<Interval> {
    if first == 0 || second == 0 || !(0.0..=1.0).contains(&area) {
        return None;
    }
    let (m, n) = (first as f64, second as f64);
    let middle = (m + n) / 2.0 - 1.0;
    let z = normal_quantile(0.5 + level / 2.0);
    let variance = |a: f64| a * (1.0 - a) * (1.0 + middle * (1.0 - a) / (2.0 - a) + middle * a / (1.0 + a)) / (m * n);
    let is_near = |a: f64| (area - a).abs() <= z * variance(a).sqrt();
    // Between a far end, which is not near, and the area itself, which is.
    let end = |far: f64| {
        let (mut out, mut within) = (far, area);
        for _ in 0..200 {
            let half = f64::midpoint(out, within);
            if is_near(half) { within = half } else { out = half }
        }
        within
    };
    Some(Interval { low: end(0.0), high: end(1.0), level, method: Method::NewcombeArea })
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_run::Seed;
    use rand_core::Rng;

    #[test]
    fn counted_by_hand() {
        let brute = |first: &[f64], second: &[f64]| {
            let win = |a: &f64, b: &f64| {
                if a > b {
                    1.0
                } else if a == b {
                    0.5
                } else {
                    0.0
                }
            };
            let pairs = first.iter().flat_map(|a| second.iter().map(move |b| win(a, b)));
            pairs.sum::<f64>() / (first.len() * second.len()) as f64
        };
        let (first, second) = ([0.9, 0.4, 0.4, 0.1], [0.4, 0.3, 0.9, -1.0, 0.1]);
        assert_eq!(auroc(&first, &second), Some(brute(&first, &second)));
        assert_eq!(auroc(&first, &second).map(|area| 1.0 - area), auroc(&second, &first));
        assert_eq!(auroc(&[2.0, 3.0], &[1.0, 0.0]), Some(1.0));
        assert_eq!((auroc(&[], &[1.0]), auroc(&[f64::NAN], &[1.0])), (None, None));
    }

    #[test]
    fn ends_are_a_standard_score_away_and_the_sides_mirror() {
        for (area, counts) in [(0.8, [30, 50]), (0.5, [20, 20]), (1.0, [40, 40]), (0.97, [12, 300])] {
            let found = auroc_interval(area, counts, 0.95).unwrap();
            let mirrored = auroc_interval(1.0 - area, [counts[1], counts[0]], 0.95).unwrap();
            assert!((found.low - (1.0 - mirrored.high)).abs() < 1e-9 && found.contains(area), "{found:?} {mirrored:?}");
            assert!(found.low < area && found.low > area - 0.25, "{found:?}");
        }
        assert!(auroc_interval(1.0, [40, 40], 0.95).unwrap().high == 1.0);
    }

    /// Items of the first kind are higher by one standard deviation: the true area is Phi(1 / sqrt 2) = 0.7602.
    #[test]
    fn it_covers() {
        let normal = |rng: &mut groma_run::Random| {
            (0..12).map(|_| f64::from(rng.next_u32()) / 4_294_967_296.0).sum::<f64>() - 6.0
        };
        let covered = (0..1000).filter(|&trial| {
            let mut rng = Seed::new(9).index(trial).rng();
            let first: Vec<f64> = (0..25).map(|_| normal(&mut rng) + 1.0).collect();
            let second: Vec<f64> = (0..35).map(|_| normal(&mut rng)).collect();
            let found = auroc(&first, &second).and_then(|area| auroc_interval(area, [25, 35], 0.95));
            found.is_some_and(|interval| interval.contains(0.760_25))
        });
        let covered = covered.count();
        assert!((930..=985).contains(&covered), "{covered} of 1000");
    }
}
