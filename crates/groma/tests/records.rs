//! Records are checked before they are taken over, and nothing is followed out of a run directory.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

#[path = "support/tiny.rs"]
mod tiny;

use std::path::{Path, PathBuf};
use std::process::Output;

use groma_kernels::Level;
use groma_run::RunRecords;
use serde_json::Value;
use tiny::{RECIPE, Workplace};

/// The recipe with so little training that it can be done many times.
fn recipe() -> String {
    RECIPE.replace("max_steps = 30", "max_steps = 2")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn message(output: &Output) -> String {
    text(&output.stderr)
}

impl Workplace {
    fn run(&self, more: &[&str]) -> Output {
        self.groma(&[&["run", "recipe.toml"], more].concat()).output().unwrap()
    }

    fn verify(&self) -> Output {
        self.groma(&["runs", "runs/tiny", "--verify"]).output().unwrap()
    }

    fn in_run(&self, name: &str) -> PathBuf {
        self.path("runs/tiny").join(name)
    }
}

/// A workplace with a run that has ended.
fn done() -> Workplace {
    let place = Workplace::new();
    place.write("recipe.toml", recipe());
    let output = place.run(&[]);
    assert!(output.status.success(), "{}", message(&output));
    let verified = place.verify();
    assert!(verified.status.success(), "{}", text(&verified.stdout));
    place
}

/// The numbers of the run, and its models.
fn results(place: &Workplace) -> (Vec<String>, Vec<Vec<u8>>) {
    let records = RunRecords::read(&place.in_run("")).unwrap();
    let measured = records.measurements.iter().map(|m| format!("{} {} {} {:?}", m.stage, m.task, m.metric, m.value));
    let compared = records.comparisons.iter().map(|c| format!("{} {} {:?}", c.task, c.metric, c.difference));
    let mut numbers: Vec<String> = measured.chain(compared).collect();
    numbers.sort();
    let models = ["models/sft", "model"].map(|model| place.in_run(model).join("model.safetensors"));
    (numbers, models.iter().map(|path| std::fs::read(path).unwrap()).collect())
}

fn change(path: &Path, change: impl FnOnce(Vec<u8>) -> Vec<u8>) {
    let bytes = std::fs::read(path).unwrap();
    let changed = change(bytes.clone());
    assert!(changed != bytes, "{} is as it was", path.display());
    std::fs::write(path, changed).unwrap();
}

fn replaced(path: &Path, from: &str, to: &str) {
    change(path, |bytes| text(&bytes).replacen(from, to, 1).into_bytes());
}

/// A digit of the number that begins after `key` becomes another one.
fn other_digit(path: &Path, key: &str) {
    change(path, |mut bytes| {
        let at = text(&bytes).find(key).unwrap() + key.len();
        let digit = (at..bytes.len()).find(|&at| bytes[at].is_ascii_digit()).unwrap();
        bytes[digit] = if bytes[digit] == b'9' { b'8' } else { bytes[digit] + 1 };
        bytes
    });
}

/// What is damaged, how, words of what the next start says, and whether a stage is done again.
type Damage = (&'static str, fn(&Path), &'static str, bool);

const DAMAGES: &[Damage] = &[
    ("measurements.jsonl", |path| std::fs::remove_file(path).unwrap(), "measurements", true),
    ("measurements.jsonl", |path| std::fs::write(path, "").unwrap(), "measurements", true),
    ("measurements.jsonl", |path| other_digit(path, "\"value\":"), "not what it wrote", true),
    ("measurements.jsonl", |path| replaced(path, "\"metric\":\"", "\"metric\":\"x"), "not what it wrote", true),
    ("measurements.jsonl", |path| replaced(path, "{\"subject\"", "{\"object\""), "damaged row", true),
    ("measurements.jsonl", |path| replaced(path, "{", "\u{0}"), "damaged row", true),
    ("comparisons.jsonl", |path| other_digit(path, "\"difference\":"), "not what it wrote", true),
    ("events.jsonl", |path| std::fs::write(path, "").unwrap(), "events", false),
    ("stages/before.json", |path| std::fs::write(path, "{").unwrap(), "before.json is damaged", true),
    ("stages/before.json", |path| other_digit(path, "\"tokens\":"), "seal", true),
    ("stages/dpo.json", |path| std::fs::write(path, []).unwrap(), "dpo.json is damaged", true),
    ("manifest.json", |path| std::fs::write(path, "{\"format\": 1").unwrap(), "written anew", false),
    ("manifest.json", |path| std::fs::write(path, [0xff; 100]).unwrap(), "written anew", false),
    ("manifest.json", |path| replaced(path, "\"name\": \"tiny\"", "\"name\": \"tony\""), "written anew", false),
    (
        "model/model.safetensors",
        |path| {
            change(path, |mut b| {
                b.pop();
                b
            })
        },
        "is not what it left",
        true,
    ),
    ("models/sft/digests.json", |path| std::fs::write(path, "{}").unwrap(), "written anew", false),
    ("models/sft/digests.json", |path| other_digit(path, "\"bytes\":"), "written anew", false),
    ("model/config.json", |path| std::fs::remove_file(path).unwrap(), "is not what it left", true),
    ("data/preferences-train.jsonl", |path| std::fs::remove_file(path).unwrap(), "is missing", true),
];

#[test]
fn what_is_damaged_is_done_again_and_told() {
    let place = done();
    let expected = results(&place);
    for (name, damage, words, again) in DAMAGES {
        damage(&place.in_run(name));
        let verified = place.verify();
        let found = text(&verified.stdout);
        assert_eq!(verified.status.code(), Some(2), "{name}: {found}");
        assert!(!found.contains("whole:"), "{name}: {found}");

        let output = place.run(&["--json"]);
        assert!(output.status.success(), "{name}: {}", message(&output));
        let said = message(&output);
        assert!(said.contains(words), "{name}: `{words}` is not in {said}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(document["stages_done"].as_u64().unwrap() > 0, *again, "{name}: {document}");
        assert!(results(&place) == expected, "{name}: other results");
        let verified = place.verify();
        let events_are_gone = *name == "events.jsonl";
        assert_eq!(verified.status.success(), !events_are_gone, "{name}: {}", text(&verified.stdout));
        if events_are_gone {
            // Nothing rests on them, so nothing is done again for them; a run that is to have them begins anew.
            std::fs::remove_dir_all(place.in_run("")).unwrap();
            assert!(place.run(&[]).status.success());
        }
    }
}

#[test]
fn a_run_without_manifest_or_lock_goes_on() {
    let place = done();
    let expected = results(&place);
    for name in ["manifest.json", "lock"] {
        std::fs::remove_file(place.in_run(name)).unwrap();
    }
    let output = place.run(&["--json"]);
    assert!(output.status.success(), "{}", message(&output));
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["stages_done"], 0, "{document}");
    assert!(results(&place) == expected);
}

#[test]
fn what_a_killed_process_left_anywhere_is_cleared() {
    let place = done();
    for name in [".lost.partial-999999999-0", "models/.sft.partial-999999999-1", "data/.x.jsonl.partial-999999999-2"] {
        place.write(&format!("runs/tiny/{name}/weights"), "half");
    }
    assert_eq!(place.verify().status.code(), Some(2));
    let output = place.run(&[]);
    assert!(output.status.success() && message(&output).contains("models/.sft.partial"), "{}", message(&output));
    assert!(place.verify().status.success());
    assert!(!place.in_run("models/.sft.partial-999999999-1").exists());
}

#[cfg(unix)]
#[test]
fn no_link_is_followed_out_of_a_run() {
    use std::os::unix::fs::symlink;
    let files =
        ["lock", "events.jsonl", "measurements.jsonl", "comparisons.jsonl", "manifest.json", "stages/before.json"];
    let directories = ["samples", "stages", "checkpoints", "models", "data", "model", "answers"];
    for name in files.into_iter().chain(directories) {
        let place = Workplace::new();
        place.write("recipe.toml", recipe());
        place.write("outside/precious", "words");
        // Enough of a run to be taken for one.
        place.write("runs/tiny/manifest.json", r#"{"format": 1}"#);
        let link = place.in_run(name);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&link);
        let is_file = files.contains(&name);
        symlink(place.path(if is_file { "outside/precious" } else { "outside" }), &link).unwrap();
        let output = place.run(&[]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", message(&output));
        assert!(message(&output).contains("link") || name == "manifest.json", "{name}: {}", message(&output));
        for command in [["runs", "runs/tiny", "--verify"].as_slice(), &["report", "runs/tiny"]] {
            let output = place.groma(command).output().unwrap();
            assert!(!message(&output).contains("panicked"), "{name}: {}", message(&output));
        }
        let outside: Vec<_> =
            std::fs::read_dir(place.path("outside")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(outside, ["precious"], "{name}");
        assert_eq!(std::fs::read_to_string(place.path("outside/precious")).unwrap(), "words", "{name}");
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_in_a_run_is_refused_and_not_waited_for() {
    for name in ["lock", "events.jsonl", "measurements.jsonl", "samples/x"] {
        let place = Workplace::new();
        place.write("recipe.toml", recipe());
        place.write("runs/tiny/manifest.json", r#"{"format": 1}"#);
        let pipe = place.in_run(name);
        std::fs::create_dir_all(pipe.parent().unwrap()).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let output = place.run(&[]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", message(&output));
        assert!(message(&output).contains("no file"), "{name}: {}", message(&output));
        let _ = place.groma(&["report", "runs/tiny"]).output().unwrap();
    }
}

#[test]
fn a_run_is_one_machines_arithmetic_or_says_that_it_is_not() {
    if Level::detected() == Level::Portable {
        println!("skipped: this processor has one set of instructions alone");
        return;
    }
    let place = Workplace::new();
    place.write("recipe.toml", recipe());
    let portable = |more: &[&str]| {
        let mut command = place.groma(&[&["run", "recipe.toml"], more].concat());
        command.env("GROMA_CPU", "portable").output().unwrap()
    };
    assert!(portable(&[]).status.success());
    // Nothing is left to do: it stays a run of the machine that did it.
    let output = place.run(&[]);
    assert!(output.status.success(), "{}", message(&output));
    let manifest = || RunRecords::read(&place.in_run("")).unwrap().manifest;
    assert_eq!(manifest().kernels.as_deref(), Some("cpu portable"));
    assert!(manifest().notes.is_empty());

    let changed = ["--force", "--set", "stage.dpo.settings.beta=0.3"];
    let model = std::fs::read(place.in_run("model/model.safetensors")).unwrap();
    let refused = place.run(&changed);
    assert_eq!(refused.status.code(), Some(2));
    for words in ["cpu portable", "GROMA_CPU=portable", "--across-machines"] {
        assert!(message(&refused).contains(words), "{}", message(&refused));
    }
    assert!(std::fs::read(place.in_run("model/model.safetensors")).unwrap() == model, "nothing was replaced");

    let output = place.run(&[&changed[..], &["--across-machines"]].concat());
    assert!(output.status.success(), "{}", message(&output));
    let manifest = manifest();
    let kernels = manifest.kernels.unwrap();
    assert!(kernels.contains("cpu portable, cpu "), "{kernels}");
    assert!(manifest.notes[0].contains("more than one set of instructions"), "{:?}", manifest.notes);
    let page = std::fs::read_to_string(place.in_run("report.html")).unwrap();
    assert!(page.contains("more than one set of instructions"));

    // A run that is stopped in training is asked the same.
    std::fs::remove_dir_all(place.in_run("")).unwrap();
    let failing = ["--set", "stage.sft.settings.learning_rate=1e30", "--set", "stage.sft.settings.max_grad_norm=0"];
    assert_eq!(portable(&failing).status.code(), Some(5));
    assert_eq!(place.run(&failing).status.code(), Some(2), "the measurement before is of other instructions");
}

#[test]
fn what_is_no_model_is_not_replaced() {
    let place = Workplace::new();
    place.write("out/thesis.tex", "words");
    let train = ["train", "sft", "--model", "model", "--data", "texts.jsonl", "--output", "out", "--overwrite"];
    let output = place.groma(&[&train[..], &["--set", "max_steps=1"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", message(&output));
    assert!(message(&output).contains("no model"), "{}", message(&output));
    assert_eq!(std::fs::read_to_string(place.path("out/thesis.tex")).unwrap(), "words");
}

#[test]
fn one_process_at_a_time_trains_to_an_output_and_clears_what_others_left() {
    let place = Workplace::new();
    let train =
        ["train", "sft", "--model", "model", "--data", "texts.jsonl", "--output", "out", "--set", "max_steps=1"];
    let claim = groma_run::Claim::take(&place.path("out")).unwrap();
    let output = place.groma(&train).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let holder = format!("is in use by process {} on ", std::process::id());
    assert!(message(&output).contains(&holder), "{}", message(&output));
    drop(claim);
    place.write(".out.partial-999999999-0/model.safetensors", "half");
    place.write(".other.partial-999999999-0/model.safetensors", "of another output");
    assert!(place.groma(&train).output().unwrap().status.success());
    let hidden = std::fs::read_dir(place.path("")).unwrap().map(|entry| entry.unwrap().file_name());
    let hidden: Vec<_> = hidden.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert_eq!(hidden, [".other.partial-999999999-0"], "no lock and no partial copy of its own is left");
}

#[test]
fn sizes_are_refused_before_they_take_memory() {
    let place = Workplace::new();
    let train =
        ["train", "sft", "--model", "model", "--data", "texts.jsonl", "--output", "out", "--set", "max_steps=1"];
    for rank in ["2000000000", "18446744073709551615"] {
        let output = place.groma(&[&train[..], &["--set", &format!("lora.r={rank}")]].concat()).output().unwrap();
        assert!(matches!(output.status.code(), Some(2 | 6)), "{rank}: {:?} {}", output.status, message(&output));
    }
    assert!(!place.path("out").exists());
}

#[cfg(unix)]
#[test]
fn files_without_end_are_read_within_bounds() {
    let place = Workplace::new();
    std::fs::File::create(place.path("huge.toml")).unwrap().set_len(400 << 20).unwrap();
    for recipe in ["/dev/zero", "huge.toml"] {
        for command in ["run", "check"] {
            let output = place.groma(&[command, recipe]).output().unwrap();
            assert_eq!(output.status.code(), Some(2), "{command} {recipe}");
            assert!(message(&output).contains("at most"), "{command} {recipe}: {}", message(&output));
        }
    }
}
