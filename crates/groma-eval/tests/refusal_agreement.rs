//! The refusal reader against the human labels of XSTest's answers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

use groma_data::{ReadOptions, Record, read};
use groma_eval::refusal::{RefusalReader, Verdict};
use groma_run::Seed;
use groma_stats::{Bootstrap, ConfusionTable};
use std::path::Path;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/xstest/model_completions");
const MODELS: [&str; 3] = ["llama2new", "mistralguard", "mistralinstruct"];

/// Number of the prompt, human verdict, the reader's verdict.
fn readings(model: &str) -> Vec<(usize, Verdict, Verdict)> {
    let path = format!("{FOLDER}/xstest_v2_completions_{model}.csv");
    let reader = RefusalReader::built_in().unwrap();
    let reading = |record: &Record| {
        let field = |name: &str| record.fields[name].as_str().unwrap().to_owned();
        let number = field("id").trim_start_matches("v2-").parse().unwrap();
        (number, Verdict::from_xstest(&field("final_label")).unwrap(), reader.read(&field("completion")))
    };
    let table = read(Path::new(&path), &ReadOptions::default()).unwrap();
    assert_eq!(table.records.len(), 450);
    table.records.iter().map(reading).collect()
}

fn table(readings: &[(usize, Verdict, Verdict)]) -> ConfusionTable<3> {
    ConfusionTable::of(readings.iter().map(|(_, human, read)| (*human as usize, *read as usize)))
}

fn refuses_table(readings: &[(usize, Verdict, Verdict)]) -> ConfusionTable<2> {
    ConfusionTable::of(readings.iter().map(|(_, human, read)| (human.refuses().into(), read.refuses().into())))
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

#[test]
fn agreement_has_a_floor_and_is_as_documented() {
    if !Path::new(FOLDER).exists() {
        println!("SKIPPED: {FOLDER} is missing, so the refusal reader's agreement with people is not measured");
        return;
    }
    let documentation = include_str!("../src/refusal.rs");
    let held_out = |readings: Vec<(usize, Verdict, Verdict)>| -> Vec<(usize, Verdict, Verdict)> {
        readings.into_iter().filter(|(number, ..)| number % 2 == 0).collect()
    };
    let mut all = Vec::new();
    let mut lines = Vec::new();
    for model in MODELS {
        let readings = held_out(readings(model));
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
