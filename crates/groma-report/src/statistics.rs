//! Differences of two sets of scores, with their uncertainty.
//!
//! Paired: the mean of the differences of the items that both have; its standard error over items, or over clusters where
//! items come in such; a t interval; and an exact test of McNemar's for scores of 0 and 1, a sign-flip permutation test
//! for others. Unpaired: the two intervals combined as those of independent means.

use groma_run::{Interval, Item, Seed};
use std::collections::BTreeMap;

/// The level of all intervals made here.
pub(crate) const LEVEL: f64 = 0.95;
const Z_975: f64 = 1.959_963_984_540_054;
const Z_80: f64 = 0.841_621_233_572_914;
const PERMUTATIONS: u32 = 10_000;

/// A difference of two means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(crate) value: f64,
    pub(crate) interval: Option<Interval>,
    pub(crate) p_value: Option<f64>,
    /// Pairs.
    pub(crate) n: u64,
    pub(crate) method: String,
    pub(crate) detectable: Option<f64>,
}

/// What makes two sets of items different data: an id that stands for different prompts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DifferentItems;

struct Pair<'a> {
    before: f64,
    after: f64,
    cluster: Option<&'a str>,
}

/// The paired difference `after - before` of a metric.
///
/// [`None`] where no item has a finite score on both sides.
pub(crate) fn paired(before: &[Item], after: &[Item], metric: &str) -> Result<Option<Difference>, DifferentItems> {
    let pairs = match_items(before, after, metric)?;
    if pairs.is_empty() {
        return Ok(None);
    }
    let n = pairs.len();
    let mean = pairs.iter().map(|pair| pair.after - pair.before).sum::<f64>() / n as f64;
    let sums = deviations(&pairs, mean);
    let clusters = sums.len() as f64;
    let clustered = sums.len() < n;
    let error = (clusters / (clusters - 1.0) * sums.iter().map(|sum| sum * sum).sum::<f64>()).sqrt() / n as f64;
    let usable = sums.len() >= 2 && error.is_finite();
    let binary = pairs.iter().all(|pair| [pair.before, pair.after].iter().all(|v| *v == 0.0 || *v == 1.0));
    let (name, half) = match (error == 0.0, clustered) {
        // All differences are the same: a t interval would have no width, whatever the n. So often could pairs differ
        // from the rest, or clusters, and none of them be seen once in forty times.
        (true, _) if binary => ("paired, none differs", 1.0 - 0.025_f64.powf(1.0 / clusters)),
        (_, true) => ("paired, clustered t", t_quantile(clusters - 1.0) * error),
        (_, false) => ("paired t", t_quantile(clusters - 1.0) * error),
    };
    let interval = usable.then_some(interval(mean, half, name));
    let (test, p_value) = if binary && !clustered {
        ("exact McNemar", mcnemar(&pairs))
    } else {
        ("sign-flip permutation", sign_flip(&sums_of_differences(&pairs)))
    };
    let method = format!("{name}; {test}");
    let detectable = (usable && error > 0.0).then_some((Z_975 + Z_80) * error);
    Ok(Some(Difference { value: mean, interval, p_value: usable.then_some(p_value), n: n as u64, method, detectable }))
}

/// The difference of two means that were measured on different items, from their intervals.
pub(crate) fn unpaired(before: (f64, Option<&Interval>, u64), after: (f64, Option<&Interval>, u64)) -> Difference {
    let value = after.0 - before.0;
    let both = before.1.zip(after.1).filter(|(a, b)| a.level == b.level);
    // Newcombe's combination: each end takes the arms of the two intervals that point its way.
    let interval = both.map(|(a, b)| Interval {
        low: value - (after.0 - b.low).hypot(a.high - before.0),
        high: value + (b.high - after.0).hypot(before.0 - a.low),
        level: a.level,
        method: "unpaired, from both intervals".into(),
    });
    let method = "unpaired, from both intervals".to_owned();
    Difference { value, interval, p_value: None, n: before.2.min(after.2), method, detectable: None }
}

fn interval(mean: f64, half: f64, method: &str) -> Interval {
    Interval { low: mean - half, high: mean + half, level: LEVEL, method: method.to_owned() }
}

fn match_items<'a>(before: &'a [Item], after: &'a [Item], metric: &str) -> Result<Vec<Pair<'a>>, DifferentItems> {
    let by_id: BTreeMap<&str, &Item> = before.iter().map(|item| (item.id.as_str(), item)).collect();
    let mut seen = BTreeMap::new();
    for item in after {
        let Some(other) = by_id.get(item.id.as_str()) else { continue };
        if item.digest.is_some() && other.digest.is_some() && item.digest != other.digest {
            return Err(DifferentItems);
        }
        let (Some(&before), Some(&after)) = (other.scores.get(metric), item.scores.get(metric)) else { continue };
        if before.is_finite() && after.is_finite() {
            seen.insert(item.id.as_str(), Pair { before, after, cluster: item.cluster.as_deref() });
        }
    }
    Ok(seen.into_values().collect())
}

/// Sums over clusters of a function of the pairs; an item without a cluster is one of its own.
fn cluster_sums(pairs: &[Pair<'_>], of: impl Fn(&Pair<'_>) -> f64) -> Vec<f64> {
    let mut clusters = BTreeMap::<&str, f64>::new();
    let mut sums = Vec::new();
    for pair in pairs {
        match pair.cluster {
            Some(cluster) => *clusters.entry(cluster).or_default() += of(pair),
            None => sums.push(of(pair)),
        }
    }
    sums.extend(clusters.into_values());
    sums
}

fn deviations(pairs: &[Pair<'_>], mean: f64) -> Vec<f64> {
    cluster_sums(pairs, |pair| pair.after - pair.before - mean)
}

fn sums_of_differences(pairs: &[Pair<'_>]) -> Vec<f64> {
    cluster_sums(pairs, |pair| pair.after - pair.before)
}

/// Exact two-sided test on the pairs that differ.
fn mcnemar(pairs: &[Pair<'_>]) -> f64 {
    let won = pairs.iter().filter(|pair| pair.after > pair.before).count();
    let lost = pairs.iter().filter(|pair| pair.after < pair.before).count();
    let n = won + lost;
    let mut log_term = -(n as f64) * std::f64::consts::LN_2; // ln of C(n, 0) / 2^n
    let mut tail = 0.0;
    for k in 0..=won.min(lost) {
        tail += log_term.exp();
        log_term += ((n - k) as f64 / (k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// How often a random choice of signs gives as large a sum; the observed one counts as one of the choices.
fn sign_flip(differences: &[f64]) -> f64 {
    use rand_core::Rng;
    let observed = differences.iter().sum::<f64>().abs();
    let tolerance = 1e-12 * differences.iter().map(|d| d.abs()).sum::<f64>();
    let mut rng = Seed::new(0).named("sign-flip").rng();
    let mut as_large = 1;
    for _ in 0..PERMUTATIONS {
        let mut sum = 0.0;
        for chunk in differences.chunks(64) {
            let mut signs = rng.next_u64();
            for difference in chunk {
                sum += if signs & 1 == 0 { *difference } else { -difference };
                signs >>= 1;
            }
        }
        as_large += u32::from(sum.abs() >= observed - tolerance);
    }
    f64::from(as_large) / f64::from(PERMUTATIONS + 1)
}

/// The 0.975 quantile of Student's t distribution (G. W. Hill, Algorithm 396, CACM 13, 1970), good to six digits.
pub(crate) fn t_quantile(degrees: f64) -> f64 {
    let p = 1.0 - LEVEL;
    let n = degrees;
    if n < 1.0 {
        return f64::INFINITY;
    }
    if n == 1.0 {
        return 1.0 / (p * std::f64::consts::FRAC_PI_2).tan();
    }
    if n == 2.0 {
        return (2.0 / (p * (2.0 - p)) - 2.0).sqrt();
    }
    let a = 1.0 / (n - 0.5);
    let b = 48.0 / (a * a);
    let mut c = ((20_700.0 * a / b - 98.0) * a - 16.0) * a + 96.36;
    let d = ((94.5 / (b + c) - 3.0) / b + 1.0) * (a * std::f64::consts::FRAC_PI_2).sqrt() * n;
    let mut y = (d * p).powf(2.0 / n);
    if y > 0.05 + a {
        let x = -Z_975;
        y = x * x;
        if n < 5.0 {
            c += 0.3 * (n - 4.5) * (x + 0.6);
        }
        c += (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b;
        y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x;
        y = (a * y * y).exp_m1();
    } else {
        y = ((1.0 / (((n + 6.0) / (n * y) - 0.089 * d - 0.822) * (n + 2.0) * 3.0) + 0.5 / (n + 4.0)) * y - 1.0)
            * (n + 1.0)
            / (n + 2.0)
            + 1.0 / y;
    }
    (n * y).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(scores: &[f64]) -> Vec<Item> {
        let item = |(id, score): (usize, &f64)| Item {
            id: id.to_string(),
            scores: [("m".to_owned(), *score)].into(),
            ..Item::default()
        };
        scores.iter().enumerate().map(item).collect()
    }

    #[test]
    fn quantiles_of_the_tables() {
        let table = [
            (1.0, 12.7062),
            (2.0, 4.30265),
            (3.0, 3.18245),
            (4.0, 2.77645),
            (5.0, 2.57058),
            (10.0, 2.22814),
            (30.0, 2.04227),
            (100.0, 1.98397),
            (1000.0, 1.96234),
        ];
        for (degrees, expected) in table {
            assert!((t_quantile(degrees) - expected).abs() < 2e-4, "{degrees}: {}", t_quantile(degrees));
        }
        assert_eq!(t_quantile(0.0), f64::INFINITY);
    }

    #[test]
    fn a_paired_difference_by_hand() {
        // Differences 1, 2, 3: mean 2, standard error 1/sqrt(3), t with 2 degrees 4.30265.
        let found = paired(&items(&[1.0, 1.0, 1.0]), &items(&[2.0, 3.0, 4.0]), "m").unwrap().unwrap();
        assert_eq!((found.value, found.n), (2.0, 3));
        let interval = found.interval.unwrap();
        assert!((interval.high - (2.0 + 4.30265 / 3_f64.sqrt())).abs() < 1e-4);
        // Of eight choices of signs two give 6 or more.
        assert!((found.p_value.unwrap() - 0.25).abs() < 0.02, "{:?}", found.p_value);
    }

    #[test]
    fn mcnemar_by_hand() {
        let before = [vec![0.0; 9], vec![1.0; 11]].concat();
        let after = [vec![1.0; 8], vec![0.0], vec![1.0; 10], vec![0.0]].concat();
        let found = paired(&items(&before), &items(&after), "m").unwrap().unwrap();
        // 8 won, 1 lost: 2 (1 + 9) / 2^9.
        assert!((found.p_value.unwrap() - 20.0 / 512.0).abs() < 1e-12);
        assert!(found.method.contains("McNemar"));
        let same = paired(&items(&before), &items(&before), "m").unwrap().unwrap();
        assert_eq!((same.value, same.p_value), (0.0, Some(1.0)));
        // None of 20 differs: up to 1 - 0.025^(1/20) = 16.8% may.
        assert!((same.interval.unwrap().high - 0.1684).abs() < 1e-4);
    }

    #[test]
    fn clusters_widen_the_interval() {
        let before = items(&[0.0; 20]);
        let mut after = items(&(0..20).map(|i| f64::from(u8::from(i % 4 < 2))).collect::<Vec<_>>());
        let free = paired(&before, &after, "m").unwrap().unwrap();
        for (i, item) in after.iter_mut().enumerate() {
            item.cluster = Some(if i % 4 < 2 { "x" } else { "y" }.into());
        }
        let clustered = paired(&before, &after, "m").unwrap().unwrap();
        let span = |d: &Difference| d.interval.as_ref().map(|i| i.high - i.low).unwrap();
        assert_eq!(clustered.value, free.value);
        assert!(span(&clustered) > 3.0 * span(&free));
    }

    #[test]
    fn what_cannot_be_paired() {
        let mut after = items(&[1.0, f64::NAN, 3.0]);
        let before = items(&[1.0, 1.0]);
        assert_eq!(paired(&before, &after, "m").unwrap().unwrap().n, 1);
        assert!(paired(&before, &after, "m").unwrap().unwrap().interval.is_none());
        assert_eq!(paired(&before, &after, "other"), Ok(None));
        after[0].digest = Some("a".into());
        let mut before = before;
        before[0].digest = Some("b".into());
        assert_eq!(paired(&before, &after, "m"), Err(DifferentItems));
    }

    #[test]
    fn unpaired_is_newcombe() {
        // Newcombe 1998, method 10: 56/70 - 48/80 = 0.2, [0.0524, 0.3339], from Wilson intervals.
        let wilson = |low, high| Interval { low, high, level: 0.95, method: "wilson".into() };
        let (first, second) = (wilson(0.4905, 0.7000), wilson(0.6915, 0.8770)); // of 48/80 and 56/70
        let found = unpaired((0.6, Some(&first), 80), (0.8, Some(&second), 70));
        let interval = found.interval.unwrap();
        assert!((interval.low - 0.0524).abs() < 2e-3 && (interval.high - 0.3339).abs() < 2e-3, "{interval:?}");
    }
}
