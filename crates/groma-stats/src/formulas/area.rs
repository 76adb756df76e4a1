//! The area under the ROC curve, as a mean over items.

use crate::auroc::above;
use crate::{Formula, Sums, Uncertainty};

/// How often an item of the kind that the second score marks (1, else 0) has a higher first score than one of the other kind, ties
/// counting half.
///
/// The area is a sum over pairs of items. Written as a mean over items (DeLong, DeLong and Clarke-Pearson 1988, Biometrics 44: 837),
/// it is `A + (V - A) N / N_kind` of each, `V` being the share of the other kind that the item is on the right side of: the mean is
/// the area `A`, and the standard error of the mean is DeLong's but for `N / (N - 1)` and the like.
pub static AUROC: Formula = Formula {
    id: "auroc",
    doc: "how often an item that is marked scores above one that is not, ties counting half (area under the ROC curve)",
    sums: 2,
    of: |sums: &Sums| (0.0 < sums.of[1] && sums.of[1] < sums.n).then(|| sums.of[0] / sums.n),
    uncertainty: Uncertainty::Area,
    placed: Some(parts),
};

/// Each item's part in the area, and its mark. Where all or none are marked, there is no area, and scores stay as they are.
fn parts(items: &[&[f64]]) -> Vec<Vec<f64>> {
    let scored: Vec<(f64, bool)> = items.iter().map(|item| (item[0], item[1] > 0.5)).collect();
    let marked = scored.iter().filter(|(_, marked)| *marked).count() as f64;
    let (all, others) = (scored.len() as f64, scored.len() as f64 - marked);
    if marked == 0.0 || others == 0.0 {
        return items.iter().map(|item| item.to_vec()).collect();
    }
    let above = above(&scored);
    let wins = above.iter().zip(&scored).filter(|(_, (_, marked))| *marked).map(|(above, _)| above).sum::<f64>();
    let area = wins / (marked * others);
    let part = |(above, (_, is_marked)): (&f64, &(f64, bool))| {
        let (right, kind) = if *is_marked { (above / others, marked) } else { (1.0 - above / marked, others) };
        vec![area + (right - area) * all / kind, f64::from(u8::from(*is_marked))]
    };
    above.iter().zip(&scored).map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Interval, Mean, Method, Observation, Resampling, Statistic, auroc, auroc_interval};
    use groma_run::Seed;
    use rand_core::Rng;

    const AREA: Statistic = Statistic { formula: &AUROC, across: None };

    fn items<'a>(
        names: &'a [String],
        scores: &[Vec<f64>],
        cluster: impl Fn(usize) -> Option<&'a str>,
    ) -> Vec<Observation<'a>> {
        let item = |(place, name): (usize, &'a String)| Observation {
            id: name,
            cluster: cluster(place),
            group: None,
            scores: scores[place].clone(),
        };
        names.iter().enumerate().map(item).collect()
    }

    fn with<T>(statistics: impl FnOnce(&Resampling<groma_run::Random>) -> T) -> T {
        let draw = |purpose: &str, index| Seed::new(0).draw(purpose, "auroc", index);
        statistics(&Resampling { level: 0.95, resamples: 500, draw: &draw })
    }

    fn drawn(n: usize, shift: f64, seed: u64) -> Vec<Vec<f64>> {
        let mut rng = Seed::new(seed).rng();
        let mut uniform = || f64::from(rng.next_u32()) / 4_294_967_296.0;
        (0..n)
            .map(|i| (f64::from(u8::from(i % 3 == 0)), uniform()))
            .map(|(mark, u)| vec![u + shift * mark, mark])
            .collect()
    }

    /// The mean of the parts is the area, and their variance is DeLong's, up to the corrections for the counts.
    #[test]
    fn parts_have_the_area_for_their_mean_and_the_variance_of_delong() {
        let mut scores = drawn(40, 0.3, 1);
        scores[3][0] = scores[4][0];
        let of = |mark: f64| scores.iter().filter(|item| item[1] == mark).map(|item| item[0]).collect::<Vec<f64>>();
        let (marked, others) = (of(1.0), of(0.0));
        let parts = parts(&scores.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let mean = Mean::of(&parts.iter().map(|part| part[0]).collect::<Vec<_>>()).unwrap();
        assert!((mean.mean - auroc(&marked, &others).unwrap()).abs() < 1e-12);
        let win = |a: f64, b: f64| {
            if a > b {
                1.0
            } else if a == b {
                0.5
            } else {
                0.0
            }
        };
        let spread = |own: &[f64], other: &[f64], turned: bool| {
            let share = |a: &f64| {
                other.iter().map(|&b| if turned { win(b, *a) } else { win(*a, b) }).sum::<f64>() / other.len() as f64
            };
            Mean::of(&own.iter().map(share).collect::<Vec<_>>()).unwrap().standard_deviation.unwrap().powi(2)
        };
        let (m, n) = (marked.len() as f64, others.len() as f64);
        let corrected = |count: f64| (count - 1.0) / count * (m + n) / (m + n - 1.0);
        let delong =
            corrected(m) * spread(&marked, &others, false) / m + corrected(n) * spread(&others, &marked, true) / n;
        assert!((mean.standard_error().unwrap().powi(2) - delong).abs() < 1e-12, "{delong}");
    }

    #[test]
    fn its_interval_is_newcombes_unless_items_come_in_clusters() {
        let (scores, names) = (drawn(60, 0.4, 2), (0..60).map(|i| i.to_string()).collect::<Vec<_>>());
        let keys: Vec<String> = (0..60).map(|i| (i / 4).to_string()).collect();
        let plain = with(|how| AREA.estimate(&items(&names, &scores, |_| None), how)).unwrap();
        let clustered = with(|how| AREA.estimate(&items(&names, &scores, |i| Some(&keys[i])), how)).unwrap();
        let expected = auroc_interval(plain.value, [20, 40], 0.95);
        assert_eq!((plain.value, plain.interval), (clustered.value, expected));
        assert_eq!(clustered.interval.map(|Interval { method, .. }| method), Some(Method::ClusteredT));
        assert_eq!(with(|how| AREA.estimate(&items(&names, &vec![vec![0.5, 1.0]; 60], |_| None), how)), None);
    }

    #[test]
    fn what_tells_better_is_found_better_and_the_same_is_the_same() {
        let names: Vec<String> = (0..120).map(|i| i.to_string()).collect();
        let pair = |before: &[Vec<f64>], after: &[Vec<f64>]| {
            before.iter().zip(after).map(|(a, b)| [a.as_slice(), b].concat()).collect::<Vec<_>>()
        };
        let (weak, strong) = (drawn(120, 0.1, 3), drawn(120, 0.8, 4));
        let keys: Vec<String> = (0..120).map(|i| (i / 3).to_string()).collect();
        let found = |scores: Vec<Vec<f64>>, clustered: bool| {
            let cluster = |i: usize| clustered.then(|| keys[i].as_str());
            with(|how| AREA.compare(&items(&names, &scores, cluster), how)).unwrap()
        };
        for clustered in [false, true] {
            let better = found(pair(&weak, &strong), clustered);
            let interval = better.interval.unwrap();
            assert!(better.difference > 0.25 && better.p_value.unwrap() < 0.01 && interval.low > 0.1, "{better:?}");
            assert!(interval.contains(better.difference), "{better:?}");
        }
        let same = found(pair(&weak, &weak), false);
        assert_eq!((same.difference, same.p_value), (0.0, Some(1.0)));
    }
}
