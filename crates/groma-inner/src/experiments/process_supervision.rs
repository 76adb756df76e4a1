//! Labels of steps against labels of outcomes: which finds the error, and which is better chosen by.

mod chains;

use groma_align::{Apprentice, Kind, Parameter, Range};
use groma_model::View;
use groma_model::rewards::{StepReward, Stepped, step_rewards};
use groma_organism::Shape;
use groma_run::figure::{Lines, Point, Series};
use groma_run::{Check, CheckKind, Drawing, Figure, Group, Measurement, Pillar, Results, Seed, Unit};
use groma_stats::best_of;
use serde::Deserialize;
use serde_json::json;

use crate::{Bench, Error, Experiment};
use chains::{LONGEST, Problem, STEPS, Solution, VOCABULARY, majority};

pub(crate) static RECORD: Experiment = Experiment {
    id: "process-supervision",
    title: "labels of steps against labels of outcomes",
    paper: "Lightman et al. 2023 (arXiv 2305.20050); Uesato et al. 2022 (arXiv 2211.14275)",
    doc: "Small transformers learn to reward solutions of sums in five steps, each of which may go wrong and is then gone on from. \
          One hears of every step whether it is right (process), one of the last step whether the answer is (outcome), one of \
          every step a label that belongs to another. Then solutions with one wrong step show which of them finds it; and of many \
          solutions to a new problem the best by the product of the steps' probabilities, by the outcome's, or the most frequent \
          answer, is held against the truth, for each n as the mean over subsets. Unlike the papers, labels are exact and nothing \
          is large; a step is wrong by itself alone, and steps behind it may be right.",
    hypothesis: "The model of steps finds the wrong step, the model of outcomes does not; and choosing by the former is best.",
    control: "A model of shuffled labels, which finds the wrong step by chance and chooses no better than the first.",
    metric: "Share of solutions whose wrong step has the lowest reward; share of right answers at each n.",
    parameters: &[
        Parameter {
            name: "seeds",
            kind: Kind::Integer,
            default: "5",
            range: Some(Range::closed(2.0, 100.0)),
            doc: "Repetitions, each with models of its own.",
        },
        Parameter {
            name: "rows",
            kind: Kind::Integer,
            default: "4096",
            range: Some(Range::closed(64.0, 1e6)),
            doc: "Solutions that the models learn from.",
        },
        Parameter {
            name: "steps",
            kind: Kind::Integer,
            default: "300",
            range: Some(Range::closed(10.0, 1e5)),
            doc: "Training steps, of 64 solutions each.",
        },
        Parameter {
            name: "error_rate",
            kind: Kind::Float,
            default: "0.25",
            range: Some(Range::closed(0.01, 0.9)),
            doc: "How likely a step of a solution goes wrong.",
        },
        Parameter {
            name: "samples",
            kind: Kind::Integer,
            default: "32",
            range: Some(Range::closed(2.0, 1024.0)),
            doc: "Solutions of each new problem; n goes up to that many.",
        },
    ],
    carry_out,
};

/// Values of the parameters above.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    seeds: u64,
    rows: usize,
    steps: u64,
    error_rate: f64,
    samples: usize,
}

/// New problems, and solutions with one wrong step.
const ASKED: u64 = 200;
/// Subsets that votes are counted in.
const DRAWS: u64 = 64;
const BATCH: usize = 64;

const PROCESS: &str = "labels of steps";
const OUTCOME: &str = "labels of outcomes";
const SHUFFLED: &str = "shuffled labels of steps";
const MAJORITY: &str = "majority";

/// What one repetition found, by model.
struct Found {
    /// Share of solutions whose wrong step has the lowest reward.
    finds: [f64; 3],
    /// Share of right answers, by n: of the three models, and by votes.
    right: Vec<[f64; 4]>,
}

fn carry_out(bench: &Bench<'_>) -> Result<Results, Error> {
    let settings: Settings = bench.typed()?;
    let mut found = Vec::new();
    for index in 0..settings.seeds {
        found.push(repetition(bench, &settings, bench.seed.index(index))?);
        bench.advance(found.len(), "three models".into());
    }
    let mut results = Results::default();
    for (place, name) in [PROCESS, OUTCOME, SHUFFLED].into_iter().enumerate() {
        let shares: Vec<f64> = found.iter().map(|one| one.finds[place]).collect();
        let group = if name == SHUFFLED { Group::Control } else { Group::Alignment };
        let number = bench.share(name, "finds_wrong_step", &shares);
        let chance = Some(1.0 / STEPS as f64);
        results.measurements.extend(number.map(|number| Measurement { group, chance, ..number }));
    }
    let control = results.measurements.last().and_then(shuffled_control);
    results.checks.extend(control);
    let (measurements, figure) = chosen(bench, &settings, &found);
    results.measurements.extend(measurements);
    results.figures.push(figure);
    Ok(results)
}

/// Powers of two up to that many.
fn counts(samples: usize) -> Vec<usize> {
    std::iter::successors(Some(1), |n| Some(2 * n)).take_while(|&n| n <= samples).collect()
}

fn repetition(bench: &Bench<'_>, settings: &Settings, seed: Seed) -> Result<Found, Error> {
    let drawn = |part: &str, index: u64| {
        let seed = seed.named(part).index(index);
        Problem::drawn(seed.named("problem")).solved(settings.error_rate, seed.named("solution"))
    };
    let rows: Vec<Solution> = (0..settings.rows as u64).map(|index| drawn("rows", index)).collect();
    let labels: Vec<[bool; STEPS]> = rows.iter().map(Solution::labels).collect();
    let outcomes: Vec<[bool; STEPS]> = rows.iter().map(|row| [row.is_right(); STEPS]).collect();
    let mut others = labels.clone();
    others.rotate_left(1);
    let learn = |labels: &[[bool; STEPS]], last| taught(bench, settings, (&rows, labels), last, seed);
    let models = [learn(&labels, false)?, learn(&outcomes, true)?, learn(&others, false)?];
    let finds = models.each_ref().map(|model| finds(bench, model, seed.named("one wrong step")));
    let [process, outcome, shuffled] = finds;
    let mut right = vec![[0.0; 4]; counts(settings.samples).len()];
    for index in 0..ASKED {
        let asked = seed.named("asked").index(index);
        let problem = Problem::drawn(asked.named("problem"));
        let solve = |sample| problem.solved(settings.error_rate, asked.named("solution").index(sample));
        let solutions: Vec<Solution> = (0..settings.samples as u64).map(solve).collect();
        let truth: Vec<f64> = solutions.iter().map(|solution| f64::from(u8::from(solution.is_right()))).collect();
        for (place, (model, way)) in
            models.iter().zip([StepReward::Product, StepReward::Last, StepReward::Product]).enumerate()
        {
            let steps = steps_of(bench, model, &solutions)?;
            let scores: Vec<f64> = steps.iter().map(|steps| f64::from(way.of(steps))).collect();
            for (by_n, n) in right.iter_mut().zip(counts(settings.samples)) {
                by_n[place] += best_of(n, &scores, &truth).unwrap_or(0.0) / ASKED as f64;
            }
        }
        for (by_n, n) in right.iter_mut().zip(counts(settings.samples)) {
            by_n[3] += majority(n, &solutions, DRAWS, asked.named("votes")) / ASKED as f64;
        }
    }
    Ok(Found { finds: [process?, outcome?, shuffled?], right })
}

/// A reward model of solutions with labels of their steps, all or the last of which it hears.
fn taught(
    bench: &Bench<'_>,
    settings: &Settings,
    (rows, labels): (&[Solution], &[[bool; STEPS]]),
    last: bool,
    seed: Seed,
) -> Result<Apprentice, Error> {
    let shape = Shape {
        hidden_size: 32,
        layers: 2,
        heads: 4,
        kv_heads: 4,
        intermediate_size: 64,
        max_positions: LONGEST,
        initial_deviation: 0.15,
    };
    let config = shape.config_json(VOCABULARY).as_object().cloned().unwrap_or_default();
    let mut model = Apprentice::new(config, shape.initial_deviation, seed.named("weights"), bench.backend.clone())?;
    let given = json!({
        "max_steps": settings.steps, "per_device_train_batch_size": BATCH, "lr_scheduler_type": "cosine",
        "learning_rate": 5e-3, "warmup_steps": settings.steps.min(10), "adam_beta2": 0.98, "seed": seed.bits() >> 32,
        "train_on_last_step_only": last,
    });
    let given = given.as_object().cloned().unwrap_or_default();
    let row = |(index, (row, labels)): (usize, (&Solution, &[bool; STEPS]))| groma_align::Group {
        place: format!("solution {index}"),
        ..row.row(*labels)
    };
    model.learn("process_reward", &given, rows.iter().zip(labels).enumerate().map(row).collect(), bench.cancel)?;
    Ok(model)
}

/// How probable a model finds it that each step is right.
fn steps_of(bench: &Bench<'_>, model: &Apprentice, solutions: &[Solution]) -> Result<Vec<Vec<f32>>, Error> {
    let tokens: Vec<Vec<u32>> = solutions.iter().map(Solution::tokens).collect();
    let ends = Solution::ends();
    let stepped: Vec<Stepped<'_>> = tokens.iter().map(|ids| Stepped { ids, ends: &ends }).collect();
    let found = step_rewards(model.transformer(), &stepped, View::plain(), &mut |_| !bench.cancel.is_requested());
    bench.cancel.check()?;
    Ok(found?)
}

/// Of solutions with one wrong step, the share in which that has the lowest reward.
fn finds(bench: &Bench<'_>, model: &Apprentice, seed: Seed) -> Result<f64, Error> {
    let place = |index: u64| index as usize % STEPS;
    let drawn = |index: u64| {
        let seed = seed.index(index);
        Problem::drawn(seed.named("problem")).wrong_at(place(index), seed.named("error"))
    };
    let steps = steps_of(bench, model, &(0..ASKED).map(drawn).collect::<Vec<_>>())?;
    let lowest = |steps: &Vec<f32>| (0..STEPS).min_by(|&a, &b| steps[a].total_cmp(&steps[b]));
    let found = (0..ASKED).zip(&steps).filter(|(index, steps)| lowest(steps) == Some(place(*index))).count();
    Ok(found as f64 / ASKED as f64)
}

/// The share of right answers by n, of each way of choosing.
fn chosen(bench: &Bench<'_>, settings: &Settings, found: &[Found]) -> (Vec<Measurement>, Figure) {
    let (mut measurements, mut series) = (Vec::new(), Vec::new());
    for (place, name) in [PROCESS, OUTCOME, SHUFFLED, MAJORITY].into_iter().enumerate() {
        let mut points = Vec::new();
        for (at, n) in counts(settings.samples).into_iter().enumerate() {
            let shares: Vec<f64> = found.iter().map(|one| one.right[at][place]).collect();
            let Some(number) = bench.share(name, "best_of_n_right", &shares) else { continue };
            points.push(Point::new(n as f64, number.value, number.interval.as_ref().map(|i| (i.low, i.high))));
            let group = if name == SHUFFLED { Group::Control } else { Group::Alignment };
            let factors = [("n".to_owned(), n.to_string())].into();
            measurements.push(Measurement { group, factors, unit: Unit::Share, ..number });
        }
        series.push(Series { name: name.to_owned(), points });
    }
    let figure = Figure {
        pillar: Pillar::Inner,
        title: "right answers among the best of n".into(),
        caption: "By the product of the steps' probabilities, by that of the outcome, and by votes; means over subsets of the solutions \
                  that were drawn, intervals over repetitions."
            .into(),
        drawing: Drawing::Lines(Lines { x: "n".into(), y: "share of right answers".into(), series, ..Lines::default() }),
    };
    (measurements, figure)
}

/// Shuffled labels say nothing of where an error is.
fn shuffled_control(number: &Measurement) -> Option<Check> {
    let (chance, interval) = (number.chance?, number.interval.as_ref()?);
    Some(Check {
        name: "a model of shuffled labels finds the wrong step by chance".into(),
        kind: CheckKind::NullControl,
        passed: Some(interval.low <= chance && chance <= interval.high),
        expected: format!("a share of {chance} within the interval"),
        found: format!("{:.3}", number.value),
        value: Some(number.value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_kernels::Cpu;
    use groma_run::{Cancel, Silent};
    use std::sync::Arc;

    #[test]
    fn labels_of_steps_find_the_error_and_choose_best() {
        let settings = RECORD.settings(json!({ "seeds": 2 }).as_object().unwrap()).unwrap();
        let bench = Bench {
            experiment: &RECORD,
            settings,
            seed: Seed::new(5),
            backend: Arc::new(Cpu::new()),
            progress: &Silent,
            cancel: &Cancel::default(),
        };
        let results = carry_out(&bench).unwrap();
        results.measurements.iter().for_each(|m| println!("{} {} {:?} {:.3}", m.subject, m.metric, m.factors, m.value));
        let of = |subject: &str, metric: &str, n: Option<&str>| {
            let fits = |m: &&Measurement| {
                m.subject == subject
                    && m.metric == metric
                    && n.is_none_or(|n| m.factors.get("n").is_some_and(|found| found == n))
            };
            results.measurements.iter().find(fits).unwrap().value
        };
        let finds = |subject: &str| of(subject, "finds_wrong_step", None);
        assert!(finds(PROCESS) > 0.85 && finds(OUTCOME) < 0.5, "{} {}", finds(PROCESS), finds(OUTCOME));
        assert!((finds(SHUFFLED) - 0.2).abs() < 0.2, "{}", finds(SHUFFLED));
        let right = |subject: &str, n: &str| of(subject, "best_of_n_right", Some(n));
        // Of one nothing is chosen, so that all ways but the votes, which are drawn, are one.
        assert!((right(PROCESS, "1") - right(OUTCOME, "1")).abs() < 1e-9);
        // A model that is not perfect is deceived by the best of many: where that begins is what the curve shows.
        assert!(right(PROCESS, "8") > right(OUTCOME, "8") + 0.2 && right(PROCESS, "8") > right(MAJORITY, "8") + 0.1);
    }
}
