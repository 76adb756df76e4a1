//! Do 95 % intervals hold the truth in 93 - 97 % of simulated evaluations?

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use groma_run::Seed;
use groma_stats::{
    BinaryPairs, Bootstrap, Interval, Observation, ReaderError, Resampling, Statistic, clustered_interval,
    formulas::{CORRECTED_SHARE, DIFFERENCE},
    jeffreys, mean_interval, normal_quantile, wilson,
};
use rand_core::Rng;

const EVALUATIONS: u64 = 2000;
const LEVEL: f64 = 0.95;

fn uniform(random: &mut impl Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

fn normal(random: &mut impl Rng) -> f64 {
    normal_quantile(uniform(random).max(1e-300))
}

fn successes(random: &mut impl Rng, n: usize, probability: f64) -> usize {
    (0..n).filter(|_| uniform(random) < probability).count()
}

/// Asserts the share of simulated evaluations whose interval holds `truth`.
fn covers(name: &str, truth: f64, simulate: impl Fn(Seed) -> Option<Interval>) {
    let seed = Seed::new(7).named(name);
    let hits = (0..EVALUATIONS).filter(|number| simulate(seed.index(*number)).unwrap().contains(truth)).count();
    let share = hits as f64 / EVALUATIONS as f64;
    println!("{name}: {share:.4}");
    assert!((0.93..=0.97).contains(&share), "{name} covers {share}");
}

fn bootstrap(seed: Seed) -> Bootstrap<impl Fn(u64) -> groma_run::Random> {
    Bootstrap { resamples: 1000, level: LEVEL, draw: move |index| seed.named("resample").index(index).rng() }
}

#[test]
fn proportions() {
    covers("wilson, 30 % of 200", 0.3, |seed| wilson(successes(&mut seed.rng(), 200, 0.3), 200, LEVEL));
    covers("jeffreys, 30 % of 200", 0.3, |seed| jeffreys(successes(&mut seed.rng(), 200, 0.3), 200, LEVEL));
    covers("wilson, 4 % of 250", 0.04, |seed| wilson(successes(&mut seed.rng(), 250, 0.04), 250, LEVEL));
}

#[test]
fn means() {
    covers("t, 40 normal items", 1.0, |seed| {
        let mut random = seed.rng();
        mean_interval(&(0..40).map(|_| 1.0 + normal(&mut random)).collect::<Vec<_>>(), LEVEL)
    });
    covers("t, 150 skewed items", 1.0, |seed| {
        let mut random = seed.rng();
        mean_interval(&(0..150).map(|_| -uniform(&mut random).max(1e-300).ln()).collect::<Vec<_>>(), LEVEL)
    });
}

/// One share less another, of the same items and of peoples that each have a share of their own.
#[test]
fn differences_of_shares() {
    let statistic = Statistic { formula: &DIFFERENCE, across: None };
    let interval = |seed: Seed, items: &[Observation]| {
        let draw = |_: &str, index: Option<u64>| seed.named("resample").index(index.unwrap_or(0)).rng();
        statistic.estimate(items, &Resampling { level: LEVEL, resamples: 100, draw: &draw }).unwrap().interval
    };
    for (name, shares) in [("90 % less 10 %", [0.9, 0.1]), ("5 % less 5 %", [0.05, 0.05])] {
        covers(&format!("newcombe, {name} of 180 requests asked twice"), shares[0] - shares[1], |seed| {
            let mut random = seed.rng();
            let mut made = Vec::new();
            for request in 0..180 {
                let common = uniform(&mut random);
                for (side, share) in shares.into_iter().enumerate() {
                    let roll = if uniform(&mut random) < 0.3 { common } else { uniform(&mut random) };
                    let mut scores = vec![0.0; 4];
                    (scores[2 * side], scores[2 * side + 1]) = (f64::from(u8::from(roll < share)), 1.0);
                    made.push((format!("{request}/{side}"), format!("{request}"), scores));
                }
            }
            interval(seed, &observations(&made))
        });
    }
    covers("newcombe, 20 peoples on either side, 40 questions each", 0.3, |seed| {
        let mut random = seed.rng();
        let mut made = Vec::new();
        for people in 0..40 {
            let side = people % 2;
            let share = [0.65, 0.35][side] + 0.1 * normal(&mut random);
            for question in 0..40 {
                let mut scores = vec![0.0; 4];
                (scores[2 * side], scores[2 * side + 1]) = (f64::from(u8::from(uniform(&mut random) < share)), 1.0);
                made.push((format!("{people}/{question}"), format!("{people}"), scores));
            }
        }
        interval(seed, &observations(&made))
    });
}

fn observations(made: &[(String, String, Vec<f64>)]) -> Vec<Observation<'_>> {
    let mut all = Vec::new();
    for (id, cluster, scores) in made {
        all.push(Observation { id, cluster: Some(cluster), group: None, scores: scores.clone() });
    }
    all
}

/// 30 clusters of 8 items that share half of their variance.
#[test]
fn clusters() {
    covers("clustered t, 30 clusters of 8", 0.0, |seed| {
        let mut random = seed.rng();
        let (mut values, mut keys) = (Vec::new(), Vec::new());
        for cluster in 0..30 {
            let common = normal(&mut random);
            for _ in 0..8 {
                values.push(common + normal(&mut random));
                keys.push(cluster);
            }
        }
        clustered_interval(&values, &keys, LEVEL)
    });
}

#[test]
fn bootstraps() {
    covers("percentile bootstrap of a mean, 120 items", 1.0, |seed| {
        let mut random = seed.rng();
        let rows: Vec<[f64; 2]> = (0..120).map(|_| [1.0 + normal(&mut random), 1.0]).collect();
        bootstrap(seed).percentile(&rows, |sums| sums[0] / sums[1])
    });
    covers("bias-corrected bootstrap of a mean, 120 skewed items", 1.0, |seed| {
        let mut random = seed.rng();
        let rows: Vec<[f64; 2]> = (0..120).map(|_| [-uniform(&mut random).max(1e-300).ln(), 1.0]).collect();
        bootstrap(seed).bias_corrected(&rows, |sums| sums[0] / sums[1])
    });
    // Documents of 20 to 200 words at 2 nats a word, one common deviation a document: perplexity e^2.
    covers("bootstrap of a perplexity, 150 documents", 2f64.exp(), |seed| {
        let mut random = seed.rng();
        let rows: Vec<[f64; 2]> = (0..150)
            .map(|_| {
                let words = (20.0 + 180.0 * uniform(&mut random)).round();
                [words * (2.0 + 0.4 * normal(&mut random)), words]
            })
            .collect();
        bootstrap(seed).percentile(&rows, |sums| (sums[0] / sums[1]).exp())
    });
}

#[test]
fn paired_differences() {
    covers("agresti-min, 8 % gained and 3 % lost of 300", 0.05, |seed| {
        let mut random = seed.rng();
        let pairs = (0..300).map(|_| match uniform(&mut random) {
            u if u < 0.08 => (false, true),
            u if u < 0.11 => (true, false),
            u => (u < 0.6, u < 0.6),
        });
        BinaryPairs::of(pairs.collect::<Vec<_>>()).agresti_min(LEVEL)
    });
    // Before and after share the item's own difficulty, which the pairing takes out.
    covers("paired bootstrap of bits per byte, 150 documents", 0.1, |seed| {
        let mut random = seed.rng();
        let rows: Vec<[f64; 3]> = (0..150)
            .map(|_| {
                let bytes = (100.0 + 900.0 * uniform(&mut random)).round();
                let difficulty = 1.0 + 0.3 * normal(&mut random);
                let after = difficulty + 0.1 + 0.05 * normal(&mut random);
                [bytes * difficulty, bytes * after, bytes]
            })
            .collect();
        bootstrap(seed).percentile(&rows, |sums| (sums[1] - sums[0]) / sums[2])
    });
}

/// A sensitivity of 0.9, measured on 100 items, and a specificity of 0.93, measured on 150: as they were found.
fn found_error(random: &mut impl Rng) -> ReaderError {
    let (hits, passes) = (successes(random, 100, 0.9), successes(random, 150, 0.93));
    ReaderError::new((hits as f64 / 100.0, 100.0), (passes as f64 / 150.0, 150.0))
}

/// Whether an instrument of that error finds what is there, or is not.
fn reads(random: &mut impl Rng, is: bool) -> bool {
    uniform(random) < if is { 0.9 } else { 0.07 }
}

#[test]
fn corrected_shares() {
    for truth in [0.15, 0.4, 0.75] {
        covers(&format!("lang-reiczigel, {truth} of 250"), truth, |seed| {
            let mut random = seed.rng();
            let error = found_error(&mut random);
            let read = (0..250).filter(|_| {
                let is = uniform(&mut random) < truth;
                reads(&mut random, is)
            });
            error.interval(read.count() as f64 / 250.0, 250.0, LEVEL)
        });
    }
}

/// 30 % have the property before, 10 % more get it, 5 % lose it; one instrument reads both sides.
#[test]
fn differences_of_corrected_shares() {
    let statistic = Statistic { formula: &CORRECTED_SHARE, across: None };
    covers("corrected difference, 10 % gained and 5 % lost of 300", 0.05, |seed| {
        let mut random = seed.rng();
        let error = found_error(&mut random);
        let of = |read: bool| {
            let read = f64::from(u8::from(read));
            vec![read, error.sensitivity, error.sensitivity_n, error.specificity, error.specificity_n]
        };
        let scores: Vec<Vec<f64>> = (0..300)
            .map(|_| {
                let (before, after) = match uniform(&mut random) {
                    u if u < 0.1 => (false, true),
                    u if u < 0.15 => (true, false),
                    u => (u < 0.4, u < 0.4),
                };
                [of(reads(&mut random, before)), of(reads(&mut random, after))].concat()
            })
            .collect();
        let ids: Vec<String> = (0..300).map(|id| id.to_string()).collect();
        let pairs: Vec<Observation> =
            ids.iter().zip(scores).map(|(id, scores)| Observation { id, cluster: None, group: None, scores }).collect();
        let draw = |purpose: &str, _| seed.named(purpose).rng();
        statistic.compare(&pairs, &Resampling { level: LEVEL, resamples: 10, draw: &draw })?.interval
    });
}
