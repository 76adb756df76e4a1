//! Over-optimisation: what becomes of the gold when a proxy of it is optimised harder and harder.

mod best_of_n;
mod noise;
mod tilt;

use std::collections::BTreeMap;

use groma_align::{Kind, Parameter, Range};
use groma_run::figure::{Lines, Point, Series};
use groma_run::{Check, CheckKind, Drawing, Figure, Group, Measurement, Pillar, Results};
use serde::Deserialize;

use crate::form::{BEST_OF_N, Fitted, POLICY_GRADIENT, distance_of_best};
use crate::{Bench, Error, Experiment};
use best_of_n::{Curve, gold, sampled};
use noise::Noise;
use tilt::Tilted;

pub(crate) static RECORD: Experiment = Experiment {
    id: "over-optimisation",
    title: "gold against proxy, by best of n and by policy gradient",
    paper: "Gao, Schulman and Hilton 2022 (arXiv 2210.10760)",
    doc: "Each thing has a gold value, normal with deviation 1, and a proxy, which is the gold and noise of scale 1. Best of n takes \
          the thing of the largest proxy among n; what that is worth in gold is known by integration. A softmax policy over many \
          things is trained by policy gradient on proxies of heavy tails, with a penalty on the distance from where it began; \
          where that must end is known too (the beginning tilted by the proxy). Gao's forms are fitted to both by least squares \
          over the root d of the divergence: d (α - β d) and d (α - β ln d). Unlike the paper, the proxy is not learned: its \
          error is given, so that the truth is known.",
    hypothesis: "With light tails the gold rises more slowly than the proxy and never falls; with heavy tails it rises and then \
                 falls back towards nothing.",
    control: "A proxy that is the gold; and n = 1, where nothing is chosen.",
    metric: "Mean gold of what is chosen, and the coefficients of the fitted forms.",
    parameters: &[
        Parameter {
            name: "n",
            kind: Kind::Floats,
            default: "[1, 2, 4, 8, 16, 64, 256, 1024]",
            range: Some(Range::closed(1.0, 65536.0)),
            doc: "Among how many the best is chosen.",
        },
        Parameter {
            name: "repetitions",
            kind: Kind::Integer,
            default: "20",
            range: Some(Range::closed(2.0, 1000.0)),
            doc: "Repetitions of each part.",
        },
        Parameter {
            name: "pools",
            kind: Kind::Integer,
            default: "1000",
            range: Some(Range::closed(1.0, 1e6)),
            doc: "Choices that a repetition of best of n is the mean of.",
        },
        Parameter {
            name: "penalties",
            kind: Kind::Floats,
            default: "[4.0, 2.0, 1.0, 0.5, 0.25]",
            range: Some(Range::closed(0.01, 1000.0)),
            doc: "Weights of the distance in the policy gradient's objective; from weak optimisation to hard.",
        },
        Parameter {
            name: "actions",
            kind: Kind::Integer,
            default: "256",
            range: Some(Range::closed(2.0, 65536.0)),
            doc: "Things that the policy chooses among.",
        },
        Parameter {
            name: "steps",
            kind: Kind::Integer,
            default: "300",
            range: Some(Range::closed(1.0, 1e6)),
            doc: "Steps of the policy gradient.",
        },
    ],
    carry_out,
};

/// Values of the parameters above.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    n: Vec<f64>,
    repetitions: u64,
    pools: usize,
    penalties: Vec<f64>,
    actions: usize,
    steps: u64,
}

fn carry_out(bench: &Bench<'_>) -> Result<Results, Error> {
    let settings: Settings = bench.typed()?;
    let mut counts: Vec<usize> = settings.n.iter().map(|n| *n as usize).collect();
    counts.sort_unstable();
    counts.dedup();
    if counts.iter().filter(|n| **n > 1).count() < 2 {
        return Err(bench.unfit("`n` needs two numbers above 1, or nothing can be fitted"));
    }
    let mut results = Results::default();
    let mut series = Vec::new();
    for noise in Noise::ALL {
        bench.cancel.check()?;
        let curves = (0..settings.repetitions).map(|index| {
            let seed = bench.seed.named(noise.name()).index(index);
            sampled(noise, &counts, settings.pools, seed)
        });
        let curves: Vec<Curve> = curves.collect();
        let (measurements, line) = best_of(bench, noise, &counts, &curves);
        results.measurements.extend(measurements);
        series.push(line);
        bench.advance(series.len(), format!("best of n, {}", noise.name()));
    }
    results.figures.push(figure("best of n: gold over the root of the divergence", series));
    policy_gradient(bench, &settings, &mut results)?;
    Ok(results)
}

/// The numbers of one kind of noise, and its line.
fn best_of(bench: &Bench<'_>, noise: Noise, counts: &[usize], curves: &[Curve]) -> (Vec<Measurement>, Series) {
    let subject = if noise == Noise::None { "best of n, proxy is gold" } else { "best of n" };
    let group = if noise == Noise::None { Group::Control } else { Group::Other };
    let truth = gold(noise, counts);
    let mut points = Vec::new();
    let mut measurements = Vec::new();
    for (place, n) in counts.iter().enumerate() {
        let values: Vec<f64> = curves.iter().map(|curve| curve[place]).collect();
        let Some(found) = bench.mean(subject, "gold", &values) else { continue };
        let ends = found.interval.as_ref().map(|interval| (interval.low, interval.high));
        points.push(Point::new(distance_of_best(*n), found.value, ends));
        let group = if *n == 1 { Group::Control } else { group };
        let factors = factors([("noise", noise.name().to_owned()), ("n", n.to_string())]);
        measurements.push(Measurement {
            planted: Some(truth[place]),
            secondary: *n != counts[counts.len() - 1],
            group,
            factors,
            ..found
        });
    }
    let distances: Vec<f64> = counts.iter().map(|n| distance_of_best(*n)).collect();
    let fits: Vec<Fitted> = curves.iter().filter_map(|curve| BEST_OF_N.fit(&distances, curve)).collect();
    let exact = BEST_OF_N.fit(&distances, &truth);
    let named = factors([("noise", noise.name().to_owned())]);
    measurements.extend(coefficients(bench, subject, (&fits, exact), &named));
    (measurements, Series { name: noise.name().to_owned(), points })
}

/// A number of a fit.
type Part = fn(&Fitted) -> f64;

/// The fitted coefficients over repetitions, and what they are where the curve is known.
fn coefficients(
    bench: &Bench<'_>,
    subject: &str,
    (fits, exact): (&[Fitted], Option<Fitted>),
    factors: &BTreeMap<String, String>,
) -> Vec<Measurement> {
    let parts: [(&str, Part); 3] =
        [("alpha", |fit| fit.alpha), ("beta", |fit| fit.beta), ("explained", |fit| fit.explained)];
    let found = parts.iter().filter_map(|(metric, part)| {
        let number = bench.mean(subject, metric, &fits.iter().map(part).collect::<Vec<_>>())?;
        // How well the form fits is no number of the world.
        let planted = exact.as_ref().map(part).filter(|_| *metric != "explained");
        Some(Measurement { planted, factors: factors.clone(), ..number })
    });
    found.collect()
}

/// Policies trained on proxies of heavy tails, beside where they must end.
fn policy_gradient(bench: &Bench<'_>, settings: &Settings, results: &mut Results) -> Result<(), Error> {
    const SUBJECT: &str = "policy gradient";
    let mut penalties = settings.penalties.clone();
    penalties.sort_by(|a, b| b.total_cmp(a));
    let mut runs: Vec<Vec<Tilted>> = Vec::new();
    for index in 0..settings.repetitions {
        let mut run = Vec::new();
        for penalty in &penalties {
            bench.cancel.check()?;
            let seed = bench.seed.named(SUBJECT).index(index);
            let task = tilt::Task { actions: settings.actions, penalty: *penalty, steps: settings.steps };
            run.push(tilt::trained(&task, seed, bench.backend.clone())?);
        }
        bench.advance(Noise::ALL.len() + runs.len() + 1, SUBJECT.to_owned());
        runs.push(run);
    }
    let mut lines = [("policy gradient", Vec::new()), ("where it must end", Vec::new())];
    for (place, penalty) in penalties.iter().enumerate() {
        let of = |part: fn(&Tilted) -> f64| runs.iter().map(|run| part(&run[place])).collect::<Vec<f64>>();
        let factors = factors([("penalty", penalty.to_string())]);
        for (metric, values) in [("gold", of(|run| run.gold)), ("proxy", of(|run| run.proxy)), ("kl", of(|run| run.kl))]
        {
            let secondary = metric != "gold";
            let number = bench.mean(SUBJECT, metric, &values);
            results.measurements.extend(number.map(|number| Measurement {
                secondary,
                factors: factors.clone(),
                ..number
            }));
        }
        let mean = |values: Vec<f64>| values.iter().sum::<f64>() / values.len().max(1) as f64;
        lines[0].1.push(Point::new(mean(of(|run| run.kl.max(0.0).sqrt())), mean(of(|run| run.gold)), None));
        lines[1].1.push(Point::new(mean(of(|run| run.exact_kl.max(0.0).sqrt())), mean(of(|run| run.exact_gold)), None));
    }
    let distances =
        |part: fn(&Tilted) -> f64, run: &[Tilted]| run.iter().map(|t| part(t).max(0.0).sqrt()).collect::<Vec<f64>>();
    let fits: Vec<Fitted> = runs
        .iter()
        .filter_map(|run| {
            POLICY_GRADIENT.fit(&distances(|t| t.kl, run), &run.iter().map(|t| t.gold).collect::<Vec<_>>())
        })
        .collect();
    let named = factors([("noise", Noise::HEAVY.name().to_owned())]);
    results.measurements.extend(coefficients(bench, SUBJECT, (&fits, None), &named));
    let reached = runs.iter().flatten().map(|run| run.reached).fold(1.0, f64::min);
    results.checks.push(Check {
        name: "policy gradient ends at the tilted beginning".into(),
        kind: CheckKind::Identity,
        passed: Some(reached > 0.98),
        expected: "at least 98 % of what the objective can reach, with each penalty".into(),
        found: format!("{:.2} % at least", 100.0 * reached),
        value: Some(reached),
    });
    let lines = lines.into_iter().map(|(name, points)| Series { name: name.to_owned(), points });
    results.figures.push(figure("policy gradient: gold over the root of the divergence", lines.collect()));
    Ok(())
}

fn factors<const N: usize>(pairs: [(&str, String); N]) -> BTreeMap<String, String> {
    pairs.map(|(name, value)| (name.to_owned(), value)).into()
}

fn figure(title: &str, series: Vec<Series>) -> Figure {
    Figure {
        pillar: Pillar::Inner,
        title: title.to_owned(),
        caption: "The further a proxy is pushed, the less of it is gold; with heavy tails the gold is lost again."
            .into(),
        drawing: Drawing::Lines(Lines { x: "√KL".into(), y: "gold".into(), series, ..Lines::default() }),
    }
}
