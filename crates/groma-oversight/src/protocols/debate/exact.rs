//! Debates whose truth can be computed, held against theory.

use std::collections::BTreeMap;

use groma_run::figure::{Lines, Point, Series};
use groma_run::{Advance, Check, CheckKind, Drawing, Figure, Group, Measurement, Pillar, Unit};
use groma_stats::{Interval, LEVEL, wilson};

use super::claim::Game;
use super::play::{consultations, debates};
use super::settings::Settings;
use crate::protocol::between;
use crate::{Cost, Error, Outcome, Table, Transcript};

/// A judge who knows no more than a coin.
const BLIND: f64 = 0.5;
/// Transcripts that are kept of each game and accuracy.
const KEPT: usize = 4;

/// What was found of one way of asking, at one accuracy of the judge.
struct Found<'a> {
    arm: &'static str,
    game: &'a str,
    accuracy: f64,
    /// How often the truth wins in theory.
    theory: f64,
    transcripts: Vec<Transcript>,
}

pub(super) fn carry_out(table: &Table<'_>, settings: &Settings) -> Result<Outcome, Error> {
    if !settings.size.is_power_of_two() {
        return Err(table.unfit(format!("`size` is a power of two; found {}", settings.size)));
    }
    let games = settings.games.as_slice().iter().map(|name| Game::find(name));
    let games = games.collect::<Result<Vec<_>, String>>().map_err(|problem| table.unfit(problem))?;
    let mut found = Vec::new();
    for game in games {
        for &accuracy in &settings.judge_accuracy {
            table.control.cancel.check()?;
            found.extend(play(table, settings, game, accuracy));
            let note = Some(format!("{}, judge {accuracy}", game.id));
            table.control.progress.advance(&Advance { done: found.len() as u64, note, ..Advance::default() });
        }
    }
    let mut outcome = Outcome::default();
    for arm in &found {
        outcome.results.measurements.extend(measurements(table, arm));
        outcome.results.checks.extend(blind(arm));
        outcome.transcripts.extend(arm.transcripts.iter().take(KEPT).cloned());
    }
    outcome.results.figures.push(figure(&found));
    Ok(outcome)
}

/// Debates and consultations about the same questions.
fn play<'a>(table: &Table<'_>, settings: &Settings, game: &'a Game, accuracy: f64) -> [Found<'a>; 2] {
    let seed = table.seed.named(game.id);
    let (mut debated, mut consulted, mut theory) = (Vec::new(), Vec::new(), 0.0);
    for index in 0..settings.questions {
        let question = (game.pose)(settings.size, &mut seed.named("question").index(index as u64).rng());
        let mut random = seed.named("play").named(&accuracy.to_string()).index(index as u64).rng();
        debated.extend(debates(&question, game.id, accuracy, &mut random));
        let (transcripts, expected) = consultations(&question, game.id, accuracy, &mut random);
        consulted.extend(transcripts);
        theory += expected / settings.questions as f64;
    }
    let of = |arm, theory, transcripts| Found { arm, game: game.id, accuracy, theory, transcripts };
    [of("debate", accuracy, debated), of("consultant", theory, consulted)]
}

/// How often the truth won among some, and its interval.
fn wins<'a>(transcripts: impl Iterator<Item = &'a Transcript>) -> (f64, usize, Option<Interval>) {
    let right: Vec<bool> = transcripts.filter_map(|transcript| transcript.right).collect();
    let won = right.iter().filter(|right| **right).count();
    (won as f64 / right.len().max(1) as f64, right.len(), wilson(won, right.len(), LEVEL))
}

fn measurements(table: &Table<'_>, found: &Found<'_>) -> Vec<Measurement> {
    let factors: BTreeMap<String, String> =
        [("game", found.game.to_owned()), ("judge", format!("{:.2}", found.accuracy))]
            .map(|(name, value)| (name.to_owned(), value))
            .into();
    let number = |metric: &str, value, n, interval| {
        let number = Measurement { factors: factors.clone(), ..table.measurement(found.arm, metric, value, n) };
        between(number, interval)
    };
    let (share, n, interval) = wins(found.transcripts.iter());
    let group = if found.arm == "debate" && found.accuracy != BLIND { Group::Alignment } else { Group::Control };
    let honest = Measurement {
        planted: Some(found.theory),
        chance: Some(0.5),
        higher_is_better: Some(true),
        unit: Unit::Share,
        group,
        ..number("honest_win", share, n, interval)
    };
    // The first of each two is that in which the truth is defended.
    let in_role = |role: &str, offset: usize| {
        let (share, n, interval) = wins(found.transcripts.iter().skip(offset).step_by(2));
        let number = number(&format!("honest_win[{role}]"), share, n, interval);
        Measurement { unit: Unit::Share, secondary: true, group: Group::Other, ..number }
    };
    let mut cost = Cost::default();
    found.transcripts.iter().for_each(|transcript| cost += transcript.cost);
    let statements = cost.statements as f64 / n.max(1) as f64;
    let statements = Measurement { secondary: true, ..number("statements", statements, n, None) };
    vec![honest, in_role("truth is claimed", 0), in_role("a lie is claimed", 1), statements]
}

/// The null control: a judge who knows nothing. It fails by chance once in a thousand times.
fn blind(found: &Found<'_>) -> Option<Check> {
    const LEVEL: f64 = 0.999;
    let (share, n, _) = wins(found.transcripts.iter());
    let won = found.transcripts.iter().filter(|transcript| transcript.right == Some(true)).count();
    let interval = wilson(won, n, LEVEL).filter(|_| found.accuracy == BLIND)?;
    Some(Check {
        name: format!("{} with a blind judge, {}", found.arm, found.game),
        kind: CheckKind::NullControl,
        passed: Some(interval.contains(BLIND)),
        expected: "the truth wins half of the time".into(),
        found: format!("{:.1} % of {n}", 100.0 * share),
        value: Some(share),
    })
}

/// Over the judge's accuracy, how often the truth wins; all games together.
fn figure(found: &[Found<'_>]) -> Figure {
    let mut accuracies: Vec<f64> = found.iter().map(|found| found.accuracy).collect();
    accuracies.sort_by(f64::total_cmp);
    accuracies.dedup();
    let series = ["debate", "consultant"].map(|arm| {
        let point = |accuracy: &f64| {
            let of = found.iter().filter(|found| found.arm == arm && found.accuracy == *accuracy);
            let (share, _, interval) = wins(of.flat_map(|found| &found.transcripts));
            Point::new(*accuracy, share, interval.map(|interval| (interval.low, interval.high)))
        };
        Series { name: arm.to_owned(), points: accuracies.iter().map(point).collect() }
    });
    Figure {
        pillar: Pillar::Oversight,
        title: "how often the truth wins, by how good the judge is at one step".into(),
        caption: "Two debaters bring the judge to the step that matters; of a consultant's argument he checks any one."
            .into(),
        drawing: Drawing::Lines(Lines {
            x: "accuracy of the judge".into(),
            y: "verdicts for the truth".into(),
            unit: Unit::Share,
            series: series.into(),
        }),
    }
}
