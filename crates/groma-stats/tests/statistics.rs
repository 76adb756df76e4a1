//! Statistics of items that come in clusters and groups, of one subject and of two.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

use groma_run::{Random, Seed};
use groma_stats::formulas::{ALL_RIGHT, EXP_RATIO, ICAT, MEAN, RATIO, SHARE};
use groma_stats::{
    Across, DIFFERENCE, Formula, MEAN_OF_GROUPS, Method, Observation, RANGE, Resampling, Statistic, mean_interval,
};

fn with<T>(of: impl FnOnce(&Resampling<Random>) -> T) -> T {
    let draw = |purpose: &str, index| Seed::new(5).draw(purpose, "metric", index);
    of(&Resampling { level: 0.95, resamples: 1000, draw: &draw })
}

fn plain(formula: &'static Formula) -> Statistic {
    Statistic { formula, across: None }
}

fn across(formula: &'static Formula, across: &'static Across) -> Statistic {
    Statistic { formula, across: Some(across) }
}

/// Name, cluster, group and scores.
type Row = (String, Option<String>, Option<String>, Vec<f64>);

/// Items with these scores, of the clusters and groups that their places have.
struct Made {
    rows: Vec<Row>,
}

impl Made {
    fn new(scores: Vec<Vec<f64>>, of: impl Fn(usize) -> (Option<usize>, Option<&'static str>)) -> Self {
        let row = |(place, scores): (usize, Vec<f64>)| {
            let (cluster, group) = of(place);
            (place.to_string(), cluster.map(|c| c.to_string()), group.map(str::to_owned), scores)
        };
        Made { rows: scores.into_iter().enumerate().map(row).collect() }
    }

    fn items(&self) -> Vec<Observation<'_>> {
        self.rows
            .iter()
            .map(|(id, cluster, group, scores)| Observation {
                id,
                cluster: cluster.as_deref(),
                group: group.as_deref(),
                scores: scores.clone(),
            })
            .collect()
    }
}

fn bit(value: bool) -> f64 {
    f64::from(u8::from(value))
}

#[test]
fn a_macro_average_is_the_mean_of_groups_with_their_own_spread() {
    // Groups of 10, 20 and 30 items, with shares 0.5, 0.5 and 1.
    let group = |i: usize| {
        if i < 10 {
            "a"
        } else if i < 30 {
            "b"
        } else {
            "c"
        }
    };
    let scores = (0..60).map(|i| vec![bit(i >= 30 || i % 2 == 0)]).collect();
    let made = Made::new(scores, |i| (None, Some(group(i))));
    let found = with(|how| across(&MEAN, &MEAN_OF_GROUPS).estimate(&made.items(), how)).unwrap();
    assert_eq!((found.value, found.n), (2.0 / 3.0, 3));
    assert_eq!(found.interval, mean_interval(&[0.5, 0.5, 1.0], 0.95));
    // What a macro average runs over and what items depend by are two things.
    let clustered = Made::new((0..60).map(|i| vec![bit(i % 3 == 0)]).collect(), |i| (Some(i / 2), Some(group(i))));
    let found = with(|how| across(&MEAN, &MEAN_OF_GROUPS).estimate(&clustered.items(), how)).unwrap();
    assert_eq!((found.n, found.interval.unwrap().method), (3, Method::StudentT));
}

#[test]
fn groups_that_are_clusters_of_each_other_widen_the_macro_average() {
    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let scores: Vec<Vec<f64>> = (0..80).map(|i| vec![bit((i / 10) % 4 < 2)]).collect();
    let free = Made::new(scores.clone(), |i| (None, Some(NAMES[i / 10])));
    let bound = Made::new(scores, |i| (Some((i / 10) % 4), Some(NAMES[i / 10])));
    let width = |made: &Made| {
        let found = with(|how| across(&SHARE, &MEAN_OF_GROUPS).estimate(&made.items(), how)).unwrap();
        let interval = found.interval.unwrap();
        (found.n, interval.high - interval.low)
    };
    assert!(width(&bound).1 > 1.3 * width(&free).1 && width(&bound).0 == 8);
}

#[test]
fn gaps_between_groups_rest_on_items_and_their_clusters() {
    let group = |i: usize| if i.is_multiple_of(2) { "anti" } else { "pro" };
    let right = |i: usize| if i.is_multiple_of(2) { !i.is_multiple_of(5) } else { i % 10 != 1 };
    let scores: Vec<Vec<f64>> = (0..400).map(|i| vec![bit(right(i))]).collect();
    let made = Made::new(scores.clone(), |i| (None, Some(group(i))));
    let gap = across(&SHARE, &DIFFERENCE);
    let found = with(|how| gap.estimate(&made.items(), how)).unwrap();
    let share = |name: &str| {
        let of: Vec<f64> = made.items().iter().filter(|item| item.group == Some(name)).map(|i| i.scores[0]).collect();
        of.iter().sum::<f64>() / of.len() as f64
    };
    assert!((found.value - (share("pro") - share("anti"))).abs() < 1e-12 && found.n == 400);
    let interval = found.interval.unwrap();
    assert!(interval.method == Method::Bootstrap && interval.contains(found.value));
    // The normal interval of a difference of two proportions of 200 items.
    let error = ["pro", "anti"].iter().map(|g| share(g) * (1.0 - share(g)) / 200.0).sum::<f64>().sqrt();
    assert!((interval.high - interval.low - 2.0 * 1.96 * error).abs() < 0.3 * error, "{interval:?} {error}");
    // Each item asked four times over: four times the items, and the same knowledge.
    let fourfold: Vec<Vec<f64>> = (0..1600).map(|i| scores[i / 4].clone()).collect();
    let wide = |cluster: bool| {
        let made = Made::new(fourfold.clone(), |i| (cluster.then_some(i / 4), Some(group(i / 4))));
        let interval = with(|how| gap.estimate(&made.items(), how)).unwrap().interval.unwrap();
        interval.high - interval.low
    };
    assert!(wide(true) > 1.7 * wide(false) && (wide(true) / (interval.high - interval.low) - 1.0).abs() < 0.1);
    let range = with(|how| across(&SHARE, &RANGE).estimate(&made.items(), how)).unwrap();
    assert_eq!(range.value, found.value.abs());
    // One group has no gap.
    assert_eq!(with(|how| gap.estimate(&made.items()[..1], how)), None);
}

#[test]
fn exact_match_of_groups() {
    const NAMES: [&str; 3] = ["a", "b", "c"];
    let made = Made::new([1, 1, 1, 0, 1, 1].map(|v| vec![f64::from(v)]).to_vec(), |i| (None, Some(NAMES[i / 2])));
    let found = with(|how| across(&ALL_RIGHT, &MEAN_OF_GROUPS).estimate(&made.items(), how)).unwrap();
    assert_eq!((found.value, found.n), (2.0 / 3.0, 3));
}

#[test]
fn functions_of_several_sums_have_intervals_and_differences() {
    let row =
        |i: usize, meaningful: usize, stereotyped: usize| vec![bit(i % 10 < meaningful), bit(i % 7 < stereotyped)];
    let made = Made::new((0..210).map(|i| row(i, 9, 4)).collect(), |_| (None, None));
    let found = with(|how| plain(&ICAT).estimate(&made.items(), how)).unwrap();
    assert!((found.value - 0.9 * (3.0 / 7.0) / 0.5).abs() < 1e-12);
    assert!(found.interval.unwrap().contains(found.value));
    let pairs = Made::new((0..210).map(|i| [row(i, 9, 4), row(i, 9, 6)].concat()).collect(), |_| (None, None));
    let found = with(|how| plain(&ICAT).compare(&pairs.items(), how)).unwrap();
    assert_eq!((found.method, found.p_value, found.n), ("paired bootstrap", None, 210));
    assert!((found.after - 0.9 * (1.0 / 7.0) / 0.5).abs() < 1e-12 && found.interval.unwrap().high < 0.0);
}

#[test]
fn what_does_not_exist_is_absent() {
    let none = Made::new(vec![vec![1.0, 0.0], vec![2.0, 0.0]], |_| (None, None));
    for formula in [&RATIO, &EXP_RATIO] {
        assert_eq!(with(|how| plain(formula).estimate(&none.items(), how)), None);
    }
    assert_eq!(with(|how| plain(&MEAN).estimate(&[], how)), None);
    assert_eq!(with(|how| plain(&MEAN).compare(&[], how)), None);
}

#[test]
fn paired_tests_suit_the_statistic() {
    let rows: Vec<Vec<f64>> = (0..60)
        .map(|i| vec![30.0 + (i % 7) as f64, 10.0, 29.0 + (i % 7) as f64 + 0.1 * (i % 3) as f64, 10.0])
        .collect();
    let made = Made::new(rows.clone(), |_| (None, None));
    let found = with(|how| plain(&EXP_RATIO).compare(&made.items(), how)).unwrap();
    assert!(found.method == "sign-flip permutation" && found.p_value.unwrap() < 0.001 && found.difference < 0.0);
    let lengths = rows.into_iter().enumerate().map(|(i, row)| vec![row[0], 10.0, row[2], 10.0 + i as f64]).collect();
    let found = with(|how| plain(&EXP_RATIO).compare(&Made::new(lengths, |_| (None, None)).items(), how)).unwrap();
    assert_eq!((found.method, found.p_value), ("paired bootstrap", None));
    let shares = Made::new((0..80).map(|i| vec![0.0, bit(i / 20 == 1 || i / 20 == 2)]).collect(), |_| (None, None));
    assert_eq!(with(|how| plain(&SHARE).compare(&shares.items(), how)).unwrap().method, "exact McNemar");
    let clustered = Made::new((0..80).map(|i| vec![0.0, bit(i / 20 == 1)]).collect(), |i| (Some(i / 20), None));
    assert_eq!(with(|how| plain(&SHARE).compare(&clustered.items(), how)).unwrap().method, "clustered t");
}
