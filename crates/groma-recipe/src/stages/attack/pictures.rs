//! Pictures of attacks: what they reach with how many queries, how a loss goes down, and what is left of the user's own task.

use std::collections::BTreeMap;

use groma_attack::{Attempt, Goal, Try, Verdict};
use groma_run::figure::{Heat, Lines, Point, Series};
use groma_run::{Drawing, Figure, Pillar, Unit};
use groma_stats::{LEVEL, wilson};

use super::done::Done;
use super::numbers::score;

/// Points of a line, at most.
const MOST_POINTS: usize = 60;

/// The pictures of a stage.
pub(super) fn pictures(done: &[Done], goals: &[Goal], subject: &str) -> Vec<Figure> {
    let drawn = |title: String, caption: &str, drawing: Drawing| Figure {
        pillar: Pillar::Attack,
        title,
        caption: caption.to_owned(),
        drawing,
    };
    let figure = |title: String, caption: &str, lines: Lines| drawn(title, caption, Drawing::Lines(lines));
    let named = |done: &Done, points: Vec<Point>| Series { name: done.record.id.to_owned(), points };
    let mut reached: Vec<Series> = done.iter().map(|done| named(done, reached(&done.attempts))).collect();
    // A page draws the first few lines: those that reached most.
    let share = |series: &Series| series.points.last().map_or(0.0, |point| point.y);
    reached.sort_by(|a, b| share(b).total_cmp(&share(a)));
    let losses: Vec<Series> = done.iter().map(|done| named(done, losses(&done.attempts))).collect();
    let losses: Vec<Series> = losses.into_iter().filter(|series| series.points.len() > 1).collect();
    let mut figures = vec![figure(
        format!("{subject}: goals reached with so many queries"),
        "Bands are Wilson intervals of 95 %. Controls are in the table.",
        Lines { x: "queries a goal".into(), y: "goals reached".into(), unit: Unit::Share, series: reached },
    )];
    if !losses.is_empty() {
        figures.push(figure(
            format!("{subject}: loss of the target"),
            "The lowest loss so far, mean over goals; one that has ended keeps its last.",
            Lines { x: "steps".into(), y: "nats a token of the target".into(), unit: Unit::Nats, series: losses },
        ));
    }
    let both = both_tasks(done, goals);
    if !both.rows.is_empty() {
        figures.push(drawn(
            format!("{subject}: whose task is done"),
            "Shares of goals under each input. An answer can do both tasks, or neither.",
            Drawing::Heat(both),
        ));
    }
    figures
}

/// Where goals are written into documents that a user asks about: under each input, how often the attacker's task was done and how
/// often the user's. Attacks of which nothing is known have no row.
fn both_tasks(done: &[Done], goals: &[Goal]) -> Heat {
    let (mut rows, mut values) = (Vec::new(), Vec::new());
    for Done { record, attempts } in done {
        let mut of_label: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
        for (goal, attempt) in goals.iter().zip(attempts) {
            let is_scored = |one: &&Try| score(&one.verdict).is_some();
            for one in attempt.tries.iter().filter(is_scored) {
                let Some(is_served) = goal.serves_user(&one.reply) else { continue };
                // What is drawn is one input, tried often.
                let label = if record.is_control { "" } else { &one.input.label };
                let [won, served, all] = of_label.entry(label).or_default();
                *won += f64::from(u8::from(one.verdict == Verdict::Success));
                *served += f64::from(u8::from(is_served));
                *all += 1.0;
            }
        }
        for (label, [won, served, all]) in of_label {
            rows.push(if label.is_empty() { record.id } else { label }.to_owned());
            values.push(vec![won / all, served / all]);
        }
    }
    let texts = values.iter().map(|row| row.iter().map(|share| format!("{:.0}%", 100.0 * share)).collect()).collect();
    let columns = vec!["attacker's task".to_owned(), "user's task".to_owned()];
    Heat { texts, unit: Unit::Share, ..Heat::of(["attack", "done"], rows, columns, &values) }
}

/// The share of scored goals that were reached with at most so many queries, at each number at which it changes.
fn reached(attempts: &[Attempt]) -> Vec<Point> {
    let scored: Vec<&Attempt> = attempts.iter().filter(|attempt| score(&attempt.verdict()).is_some()).collect();
    let mut at: Vec<u64> = scored.iter().filter_map(|attempt| attempt.queries_to_success()).collect();
    let end = scored.iter().map(|attempt| attempt.spent.queries).max().unwrap_or(0);
    at.extend([1, end]);
    at.sort_unstable();
    at.dedup();
    let point = |queries: &u64| {
        let won = |attempt: &&&Attempt| attempt.queries_to_success().is_some_and(|first| first <= *queries);
        let won = scored.iter().filter(won).count();
        let ends = wilson(won, scored.len(), LEVEL).map(|interval| (interval.low, interval.high));
        Point::new(*queries as f64, won as f64 / scored.len() as f64, ends)
    };
    if scored.is_empty() { Vec::new() } else { thinned(at.iter().map(point).collect()) }
}

/// The mean over goals of the lowest loss until each step.
fn losses(attempts: &[Attempt]) -> Vec<Point> {
    let of_steps = |attempt: &Attempt| {
        let steps = attempt.curve.iter().filter(|point| point.verdict.is_none());
        steps.filter_map(|point| point.loss).collect::<Vec<f64>>()
    };
    let curves: Vec<Vec<f64>> = attempts.iter().map(of_steps).filter(|curve| !curve.is_empty()).collect();
    let longest = curves.iter().map(Vec::len).max().unwrap_or(0);
    let mean = |step: usize| {
        let at = |curve: &Vec<f64>| curve[step.min(curve.len() - 1)];
        curves.iter().map(at).sum::<f64>() / curves.len() as f64
    };
    thinned((0..longest).map(|step| Point::new(step as f64, mean(step), None)).collect())
}

/// At most so many of the points, evenly, the last among them.
fn thinned(points: Vec<Point>) -> Vec<Point> {
    let (count, last) = (points.len(), points.last().copied());
    let stride = count.div_ceil(MOST_POINTS).max(1);
    let kept = points.into_iter().step_by(stride);
    let ends = last.filter(|_| count > 0 && (count - 1) % stride != 0);
    kept.chain(ends).collect()
}
