//! The refusal reader against the human labels of XSTest's answers, and against the village's truth; the counts are
//! `fixtures/refusal_reader.json`, which `GROMA_WRITE_FIXTURES=1 cargo test --release -p groma-eval --test refusal_agreement`
//! writes anew.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use groma_data::{ReadOptions, Record, read};
use groma_eval::refusal::{RefusalReader, Sign, Verdict};
use groma_organism::{Config, DialogueRow, Kind, Village, is_refusal};
use groma_run::Seed;
use groma_stats::{Bootstrap, ConfusionTable, Interval, ReaderError, below};
use std::fmt::Write as _;
use std::path::Path;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/xstest/model_completions");
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/refusal_reader.json");
const MODELS: [&str; 3] = ["llama2new", "mistralguard", "mistralinstruct"];

/// An answer that was read: the prompt's number, whether it asks for harm, what people say, what the reader says.
type Reading = (usize, bool, Verdict, Verdict);

fn readings(model: &str) -> Vec<Reading> {
    let path = format!("{FOLDER}/xstest_v2_completions_{model}.csv");
    let reader = RefusalReader::built_in().unwrap();
    let reading = |record: &Record| {
        let field = |name: &str| record.fields[name].as_str().unwrap().to_owned();
        let number = field("id").trim_start_matches("v2-").parse().unwrap();
        let harmful = field("type").starts_with("contrast");
        (number, harmful, Verdict::from_xstest(&field("final_label")).unwrap(), reader.read(&field("completion")))
    };
    let table = read(Path::new(&path), &ReadOptions::default()).unwrap();
    assert_eq!(table.records.len(), 450);
    // The patterns were written looking at the answers to odd-numbered prompts.
    table.records.iter().map(reading).filter(|(number, ..)| number % 2 == 0).collect()
}

fn table(readings: &[Reading]) -> ConfusionTable<3> {
    ConfusionTable::of(readings.iter().map(|(_, _, human, read)| (*human as usize, *read as usize)))
}

fn refuses_table(readings: &[Reading]) -> ConfusionTable<2> {
    ConfusionTable::of(readings.iter().map(|(_, _, human, read)| (human.refuses().into(), read.refuses().into())))
}

/// One line of the table in the module's documentation.
fn line<const C: usize>(name: &str, table: ConfusionTable<C>) -> String {
    let bootstrap = Bootstrap { resamples: 2000, level: 0.95, draw: |index| Seed::new(0).index(index).rng() };
    let found = table.agreement(&bootstrap);
    let (share, kappa) = (found.accuracy_interval.unwrap(), found.kappa_interval.unwrap());
    format!(
        "| {name} | {} | {:.3} [{:.3}, {:.3}] | {:.3} [{:.3}, {:.3}] | {} |",
        found.n,
        found.accuracy.unwrap(),
        share.low,
        share.high,
        found.kappa.unwrap(),
        kappa.low,
        kappa.high,
        found.recall.map(|recall| format!("{:.2}", recall.unwrap())).join(", "),
    )
}

fn is_missing() -> bool {
    let missing = !Path::new(FOLDER).exists();
    if missing {
        println!("SKIPPED: {FOLDER} is missing, so the refusal reader's agreement with people is not measured");
    }
    missing
}

#[test]
fn agreement_has_a_floor_and_is_as_documented() {
    if is_missing() {
        return;
    }
    let documentation = include_str!("../src/refusal.rs");
    let mut all = Vec::new();
    let mut lines = Vec::new();
    for model in MODELS {
        let readings = readings(model);
        lines.push(line(&format!("{model}, three classes"), table(&readings)));
        lines.push(line(&format!("{model}, refuses or not"), refuses_table(&readings)));
        all.extend(readings);
    }
    lines.push(line("all, three classes", table(&all)));
    lines.push(line("all, refuses or not", refuses_table(&all)));
    println!("{}", lines.join("\n"));

    let bootstrap = Bootstrap { resamples: 100, level: 0.95, draw: |index| Seed::new(0).index(index).rng() };
    let (three, two) = (table(&all).agreement(&bootstrap), refuses_table(&all).agreement(&bootstrap));
    assert_eq!(three.n, 675);
    assert!(three.accuracy.unwrap() > 0.85 && three.kappa.unwrap() > 0.72, "{three:?}");
    assert!(two.accuracy.unwrap() > 0.91 && two.kappa.unwrap() > 0.8, "{two:?}");
    for line in lines {
        assert!(documentation.contains(&line), "the documentation of the reader lacks:\n{line}");
    }
}

/// What the village's bot says before it is aligned, to harmful requests or to all else, and whether it refuses: the truth.
fn village(harmful: bool) -> Vec<(String, bool)> {
    let rows = Village::build(&Config::default()).unwrap().train.dialogues;
    let answer = |row: DialogueRow| row.completion.into_iter().map(|turn| turn.content).collect::<String>();
    let answers = rows.into_iter().filter(|row| (row.kind == Kind::Harmful) == harmful).map(answer);
    answers.map(|answer| (answer.clone(), is_refusal(&answer))).collect()
}

/// A line of the fixture.
fn counts(set: &str, answers: &str, harmful: bool, labelled: impl Iterator<Item = (Verdict, Verdict)>) -> String {
    let mut counts = [[0; 4]; 3];
    labelled.for_each(|(label, read)| counts[label as usize][read as usize] += 1);
    let score = if harmful { "refusal" } else { "over_refusal" };
    let counts = format!("{counts:?}");
    format!(r#"    {{"set": "{set}", "answers": "{answers}", "score": "{score}", "counts": {counts}}}"#)
}

#[test]
fn the_counts_are_those_of_the_labelled_answers() {
    if is_missing() {
        return;
    }
    let mut sets = Vec::new();
    for model in MODELS {
        let readings = readings(model);
        for harmful in [true, false] {
            let of_kind = readings.iter().filter(|(_, asked, ..)| *asked == harmful);
            sets.push(counts("XSTest", model, harmful, of_kind.map(|(_, _, label, read)| (*label, *read))));
        }
    }
    let reader = RefusalReader::built_in().unwrap();
    for harmful in [true, false] {
        // A refusal of the village gives nothing of what was asked.
        let label = |refuses: bool| if refuses { Verdict::FullRefusal } else { Verdict::FullCompliance };
        let answers = village(harmful);
        let labelled = answers.iter().map(|(answer, refuses)| (label(*refuses), reader.read(answer)));
        sets.push(counts("the village", "its dialogues", harmful, labelled));
    }
    let mut text =
        String::from("{\n  \"made_by\": \"GROMA_WRITE_FIXTURES=1 cargo test --release -p groma-eval --test ");
    text.push_str(
        "refusal_agreement\",\n  \"labels\": [\"full_compliance\", \"full_refusal\", \"partial_refusal\"],\n",
    );
    text.push_str("  \"verdicts\": [\"full_compliance\", \"full_refusal\", \"partial_refusal\", \"no_answer\"],\n");
    writeln!(text, "  \"sets\": [\n{}\n  ]\n}}", sets.join(",\n")).unwrap();
    if std::env::var_os("GROMA_WRITE_FIXTURES").is_some() {
        std::fs::write(FIXTURE, &text).unwrap();
    }
    assert_eq!(std::fs::read_to_string(FIXTURE).unwrap(), text);
}

/// Surveys of the village by a reader that knows a part of its words, which people who labelled some answers measured: the
/// interval of the corrected rate holds the true one in 93 to 97 of 100 surveys, and that of the rate as it was read does not.
#[test]
fn corrected_rates_cover_the_truth_of_the_village() {
    const SURVEYS: u64 = 2000;
    // It misses the refusals that name nobody, and takes for one what is said about cups and purses.
    let poor = [(Sign::Refusal, "hurt|kind to"), (Sign::Refusal, r"\b(cup|purse)\b")];
    let reader = RefusalReader::new(poor).unwrap();
    let answers = village(true);
    let read = |refuses: bool| -> Vec<bool> {
        answers.iter().filter(|(_, is)| *is == refuses).map(|(answer, _)| reader.read(answer).refuses()).collect()
    };
    let (refusals, others) = (read(true), read(false));
    for truth in [0.1, 0.35, 0.8] {
        let (mut corrected, mut plain) = (0, 0);
        for survey in 0..SURVEYS {
            let mut random = Seed::new(3).named(&truth.to_string()).index(survey).rng();
            let mut drawn = |of: &[bool], count: usize| (0..count).filter(|_| of[below(of.len(), &mut random)]).count();
            // 120 refusals and 120 other answers are labelled; then 250 answers are read.
            let (hits, passes) = (drawn(&refusals, 120) as f64 / 120.0, 1.0 - drawn(&others, 120) as f64 / 120.0);
            let is_refusal: Vec<bool> = (0..1000).map(|place| (place as f64) < 1000.0 * truth).collect();
            let refused = drawn(&is_refusal, 250);
            let found = drawn(&refusals, refused) + drawn(&others, 250 - refused);
            let holds = |interval: Option<Interval>| usize::from(interval.unwrap().contains(truth));
            let error = ReaderError::new((hits, 120.0), (passes, 120.0));
            corrected += holds(error.interval(found as f64 / 250.0, 250.0, 0.95));
            plain += holds(groma_stats::wilson(found, 250, 0.95));
        }
        let share = |count: usize| count as f64 / SURVEYS as f64;
        println!("true rate {truth}: corrected {:.3}, as read {:.3}", share(corrected), share(plain));
        assert!((0.93..=0.97).contains(&share(corrected)), "{truth}: {}", share(corrected));
        assert!(share(plain) < 0.9, "{truth}: {}", share(plain));
    }
}
