use super::*;
use groma_data::{Location, Row};
use groma_lm::{Control, Failure, LanguageModel, Scored, Scripted};
use groma_run::{Cancel, Seed, Silent};
use serde_json::{Map, Value};
use std::sync::Arc;

/// A model that says `grk` as often as the question says, and one time less whenever it revises.
fn mumbling() -> Scripted {
    Scripted::saying(|ask| {
        let asked = ask.prompt.plain();
        let Some(answer) = asked.split("<answer>\n").nth(1).and_then(|rest| rest.split("\n</answer>").next()) else {
            return format!("well {}", "grk ".repeat(asked.len() % 4 + 1));
        };
        match asked.contains("<critique>") {
            true => answer.replacen("grk ", "", 1).replacen("grk", "", 1),
            false => format!("it says grk {} times", answer.matches("grk").count()),
        }
    })
}

/// Prefers the answer with fewer of the word.
fn fewer(shown: &str) -> String {
    let count = |name: &str| {
        let answer = shown.split(&format!("<{name}>\n")).nth(1).and_then(|rest| rest.split("\n</").next());
        answer.map_or(0, |answer| answer.matches("grk").count())
    };
    let verdict = if count("answer_a") < count("answer_b") { "[[A]]" } else { "[[B]]" };
    format!("I counted.\n{verdict}")
}

fn carried_out(judge: &dyn LanguageModel, settings: Value) -> Outcome {
    let rows: Vec<Row> = (0..12)
        .map(|i| Row::of_prompt(Content::Text(format!("question {}", "x".repeat(i))), Location::new("r", i as u64)))
        .collect();
    let model = mumbling();
    let given: Map<String, Value> = settings.as_object().cloned().unwrap();
    let table = Table {
        protocol: &RECORD,
        settings: RECORD.settings(&given).unwrap(),
        seats: [("model", &model as &dyn LanguageModel), ("judge", judge)].into(),
        rows: &rows,
        subject: "s",
        seed: Seed::new(1),
        backend: Arc::new(groma_kernels::Cpu::new()),
        control: Control { progress: &Silent, cancel: &Cancel::default() },
    };
    (RECORD.carry_out)(&table).unwrap()
}

fn of(outcome: &Outcome, metric: &str) -> f64 {
    outcome.results.measurements.iter().find(|m| m.metric == metric).unwrap().value
}

#[test]
fn what_is_criticised_becomes_less_and_the_rows_say_so() {
    let judge = Scripted::saying(|ask| fewer(&ask.prompt.plain()));
    let outcome = carried_out(&judge, json!({ "rounds": 3 }));
    for transcript in &outcome.transcripts {
        let said = transcript.turns.iter().filter(|turn| turn.role != "critique");
        let counts: Vec<usize> = said.map(|turn| turn.says.matches("grk").count()).collect();
        assert!(counts.len() == 4 && counts.is_sorted_by(|a, b| a >= b), "{counts:?}");
        assert_eq!((transcript.cost.statements, transcript.cost.judgements), (7, 2));
    }
    assert_eq!((outcome.rows["revisions"].len(), outcome.rows["preferences"].len()), (12, 12));
    let grks = |row: &Value, key: &str| row[key].as_str().unwrap().matches("grk").count();
    assert!(outcome.rows["preferences"].iter().all(|row| grks(row, "chosen") < grks(row, "rejected")));
    let revisions = outcome.rows["revisions"].iter().zip(&outcome.rows["preferences"]);
    assert!(revisions.into_iter().all(|(revision, pair)| revision["completion"] == pair["chosen"]));
    assert_eq!((of(&outcome, "revision_preferred"), of(&outcome, "order_agreement")), (1.0, 1.0));
}

#[test]
fn a_judge_who_goes_by_the_place_leaves_no_pair() {
    let outcome = carried_out(&Scripted::saying(|_| "[[A]]".into()), json!({}));
    assert_eq!((of(&outcome, "revision_preferred"), of(&outcome, "first_position")), (0.5, 1.0));
    assert!(!outcome.rows.contains_key("preferences") && outcome.rows["revisions"].len() == 12);
}

#[test]
fn likelihoods_are_read_as_soft_labels() {
    let judge = Scripted::new(
        |_| Err(Failure::NothingToScore),
        |wanted| {
            let groma_lm::Continuation::Reply { prompt, reply } = wanted else { return Err(Failure::NothingToScore) };
            let better = fewer(&prompt.plain()).ends_with(reply.plain().trim());
            Ok(Scored { logps: vec![if better { -1.0 } else { -2.0 }], ..Scored::default() })
        },
    );
    let outcome = carried_out(&judge, json!({ "reading": "likelihood" }));
    assert!((of(&outcome, "revision_preferred") - 0.731_058_578_630_004_9).abs() < 1e-6);
}

#[test]
fn a_judge_who_says_nothing_is_no_preference() {
    let outcome = carried_out(&Scripted::saying(|_| "Both are fine.".into()), json!({}));
    assert_eq!((of(&outcome, "no_preference"), outcome.results.measurements.len()), (1.0, 1));
    assert!(outcome.transcripts.iter().all(|transcript| transcript.failure.is_some()));
    // What was revised is revised, whatever the judge makes of it.
    assert!(!outcome.rows.contains_key("preferences") && outcome.rows["revisions"].len() == 12);
}
