//! A constitution: a model criticises and revises its own answers by principles, and a judge prefers by them.

mod feedback;
mod principles;
mod revision;

use groma_align::{Kind, Parameter, Range};
use groma_data::{Content, Shape};
use groma_run::{Group, Measurement, Unit};
use groma_stats::{LEVEL, mean_interval, wilson};
use serde::Deserialize;
use serde_json::json;

use crate::protocol::between;
use crate::{Error, Outcome, Protocol, Role, Table};
use feedback::{Judged, Reading, Wording};
use revision::Revised;

pub(crate) static RECORD: Protocol = Protocol {
    id: "constitution",
    title: "critique, revision and preference by principles",
    paper: "Bai et al. 2022 (arXiv 2212.08073)",
    doc: "A model answers each prompt. Then, round by round, a principle is drawn, the model criticises its answer by it, and \
          rewrites the answer. A judge is asked by a principle which is better, the first answer or the last, in both orders; \
          what he says in one order and in the other is averaged, so that a judge who goes by the place says nothing. Leaves \
          `revisions` (rows for `sft`) and `preferences` (rows for `dpo`, ties left out). Differs from the paper: principles and \
          wording are groma's own, no worked examples are shown, chains of thought are not clamped, and no reward model is \
          trained here. A model must be able to criticise; that of the built-in village is too small.",
    roles: &[
        Role { name: "model", doc: "answers, criticises and revises" },
        Role { name: "judge", doc: "prefers one of two answers" },
    ],
    data: &[Shape::PromptOnly, Shape::PromptCompletion, Shape::Preference],
    poses: false,
    parameters: &[
        Parameter {
            name: "principles",
            kind: Kind::Words,
            default: "null",
            range: None,
            doc: "What answers are held against, a text each; groma's own eight where null.",
        },
        Parameter {
            name: "rounds",
            kind: Kind::Integer,
            default: "1",
            range: Some(Range::closed(1.0, 16.0)),
            doc: "Critiques with their revisions, each by a principle of its own.",
        },
        Parameter {
            name: "reading",
            kind: Kind::Choice(&["verdict", "likelihood"]),
            default: "\"verdict\"",
            range: None,
            doc: "How the judge's preference is read: from the verdict that he writes, or from how likely either letter is.",
        },
        Parameter {
            name: "max_new_tokens",
            kind: Kind::Integer,
            default: "256",
            range: Some(Range::closed(1.0, 1e5)),
            doc: "Longest answer, critique, revision and verdict, in tokens.",
        },
    ],
    rows: &["revisions", "preferences"],
    carry_out,
};

/// Values of the parameters above.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    principles: Option<groma_align::OneOrMany<String>>,
    rounds: usize,
    reading: Reading,
    max_new_tokens: usize,
}

fn carry_out(table: &Table<'_>) -> Result<Outcome, Error> {
    let settings: Settings = table.typed()?;
    let (model, judge) = (table.seat("model")?, table.seat("judge")?);
    let principles = principles::chosen(settings.principles.as_ref().map(groma_align::OneOrMany::as_slice));
    let mut revised = revision::answered(table, model, settings.max_new_tokens);
    for round in 0..settings.rounds {
        table.control.cancel.check()?;
        let drawn = |row| principles::drawn(&principles, table.seed, row, round);
        revision::revise(table, model, (round, settings.max_new_tokens), &drawn, &mut revised);
    }
    table.control.cancel.check()?;
    let drawn = |row| principles::drawn(&principles, table.seed, row, settings.rounds);
    let wording = Wording { reading: settings.reading, max_new_tokens: settings.max_new_tokens };
    let judged = feedback::judged(table, judge, wording, &drawn, &mut revised);
    Ok(outcome(table, revised, &judged))
}

fn outcome(table: &Table<'_>, revised: Vec<Revised<'_>>, judged: &[Option<Judged>]) -> Outcome {
    let mut outcome =
        Outcome { unanswered: revised.iter().filter(|one| one.is_open).count() as u64, ..Outcome::default() };
    for (one, judged) in revised.iter().zip(judged) {
        let Some((first, last)) = one.ends() else { continue };
        let prompt = one.row.question();
        let row = json!({ "prompt": prompt, "completion": prompt.answered(last) });
        outcome.rows.entry("revisions").or_default().push(row);
        let Some(judged) = judged.filter(|judged| judged.soft() != 0.5) else { continue };
        let answers = if judged.soft() > 0.5 { [last, first] } else { [first, last] };
        let [chosen, rejected]: [Content; 2] = answers.map(|answer| prompt.answered(answer));
        let row = json!({ "prompt": prompt, "chosen": chosen, "rejected": rejected });
        outcome.rows.entry("preferences").or_default().push(row);
    }
    outcome.results.measurements = measurements(table, revised.len(), judged);
    outcome.transcripts = revised.into_iter().map(|one| one.transcript).collect();
    outcome
}

fn measurements(table: &Table<'_>, rows: usize, judged: &[Option<Judged>]) -> Vec<Measurement> {
    let judged: Vec<Judged> = judged.iter().flatten().copied().collect();
    let failed = (rows - judged.len()) as u64;
    let share = |metric: &str, value: f64| {
        let number = table.measurement(table.subject, metric, value, judged.len());
        Measurement { unit: Unit::Share, failed, ..number }
    };
    let missing = table.measurement(table.subject, "no_preference", failed as f64 / rows.max(1) as f64, rows);
    let missing = Measurement { unit: Unit::Share, secondary: true, ..missing };
    if judged.is_empty() {
        return vec![missing];
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let soft: Vec<f64> = judged.iter().map(Judged::soft).collect();
    let firsts: Vec<f64> = judged.iter().map(Judged::first_position).collect();
    let agreeing = judged.iter().filter(|judged| judged.agrees()).count();
    let preferred = between(share("revision_preferred", mean(&soft)), mean_interval(&soft, LEVEL));
    let agreement =
        between(share("order_agreement", agreeing as f64 / judged.len() as f64), wilson(agreeing, judged.len(), LEVEL));
    let place = between(share("first_position", mean(&firsts)), mean_interval(&firsts, LEVEL));
    vec![
        Measurement { chance: Some(0.5), higher_is_better: Some(true), group: Group::Alignment, ..preferred },
        Measurement { higher_is_better: Some(true), ..agreement },
        Measurement { chance: Some(0.5), group: Group::Control, ..place },
        missing,
    ]
}

#[cfg(test)]
mod tests;
