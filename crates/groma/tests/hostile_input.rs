//! Input that is made to take long, to take much, or to be run into: what the program does with it, from the outside.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

#[path = "support/tiny.rs"]
mod tiny;

#[path = "support/broken.rs"]
mod broken;

use std::io::Write;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tiny::{RECIPE, Workplace};

fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Runs a command that must fail with exit code 2 and say `words`.
fn refused(place: &Workplace, arguments: &[&str], words: &str) {
    let output = place.groma(arguments).output().unwrap();
    let said = message(&output);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    assert!(said.contains(words) && !said.contains("panicked"), "{arguments:?}: no `{words}` in {said}");
}

fn change_json(place: &Workplace, name: &str, change: impl FnOnce(&mut Value)) {
    let mut document = serde_json::from_slice(&std::fs::read(place.path(name)).unwrap()).unwrap();
    change(&mut document);
    place.write(name, document.to_string());
}

#[test]
fn expressions_of_a_tokenizer_have_a_budget() {
    let place = Workplace::new();
    broken::copy_of_model(&place, "slow");
    change_json(&place, "slow/tokenizer.json", |tokenizer| {
        let pattern = json!({"Regex": "(a+)+(?!a)b|\\s+"});
        tokenizer["pre_tokenizer"] =
            json!({"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": false});
    });
    place.write("text.txt", "a".repeat(20_000));
    refused(&place, &["score", "--model", "slow", "--text", "text.txt"], "backtracks too often");
    place.write("rows.jsonl", json!({"text": "a".repeat(20_000)}).to_string());
    let train = ["train", "sft", "--model", "slow", "--data", "rows.jsonl", "--output", "out"];
    refused(&place, &train, "backtracks too often");
}

#[test]
fn a_question_without_end_is_refused() {
    let place = Workplace::new();
    let mut chat = place.groma(&["chat", "--model", "model"]);
    let mut chat = chat.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = chat.stdin.take().unwrap();
    // It may go away before it has read all of it.
    let _ = (0..64).try_for_each(|_| stdin.write_all(&[b'a'; 1 << 17]));
    drop(stdin);
    let output = chat.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", message(&output));
    assert!(message(&output).contains("longer than"), "{}", message(&output));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_what_reads() {
    for signal in ["-INT", "-TERM"] {
        let place = Workplace::new();
        assert!(Command::new("mkfifo").arg(place.path("rows.jsonl")).status().unwrap().success());
        let train = ["train", "sft", "--model", "model", "--data", "rows.jsonl", "--output", "out"];
        let mut command = place.groma(&train);
        let mut reader = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        // It waits for rows that do not come, from the moment that it has opened the pipe.
        let _rows = std::fs::OpenOptions::new().write(true).open(place.path("rows.jsonl")).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(Command::new("kill").arg(signal).arg(reader.id().to_string()).status().unwrap().success());
        assert_eq!(reader.wait().unwrap().code(), Some(130), "{signal}");
    }
}

#[test]
fn check_sees_what_a_run_would_meet() {
    let place = Workplace::new();
    for (name, damage, code, words) in broken::CHECKPOINTS {
        // What the values of weights are is not read.
        if *code == 5 {
            continue;
        }
        broken::copy_of_model(&place, name);
        damage(&place, name);
        place.write("recipe.toml", RECIPE.replace("model = \"model\"", &format!("model = \"./{name}\"")));
        for word in *words {
            refused(&place, &["check", "recipe.toml"], word);
        }
    }
    let check = |change: &dyn Fn(&Workplace)| {
        broken::copy_of_model(&place, "changed");
        change(&place);
        place.write("recipe.toml", RECIPE.replace("model = \"model\"", "model = \"./changed\""));
        place.groma(&["check", "recipe.toml"]).output().unwrap()
    };
    let template = |text: &'static str| move |place: &Workplace| place.write("changed/chat_template.jinja", text);
    let output = check(&template("{% for message in %}"));
    assert_eq!(output.status.code(), Some(2), "{}", message(&output));
    let output = check(&template("{{ raise_exception('no') }}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("cannot show a plain question"), "{said} {}", message(&output));
    let output = check(&|place| {
        std::fs::remove_file(place.path("changed/chat_template.jinja")).unwrap();
        change_json(place, "changed/config.json", |config| config["auto_map"] = json!({"AutoModel": "x.Y"}));
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && said.contains("auto_map of config.json is ignored"),
        "{said} {}",
        message(&output)
    );
}

#[test]
fn check_names_every_key_that_is_not_known_with_its_line() {
    let place = Workplace::new();
    let recipe = RECIPE.replace("max_steps = 30", "max_stepz = 30\nsave_stepz = 1").replace("held_out", "held_oot");
    place.write("recipe.toml", &recipe);
    refused(&place, &["check", "recipe.toml"], "line 5, `held_oot`");
    place.write("recipe.toml", recipe.replace("held_oot", "held_out"));
    let output = place.groma(&["check", "recipe.toml"]).output().unwrap();
    let said = message(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    for words in [
        "`stage.1.settings.max_stepz`",
        "`stage.1.settings.save_stepz`",
        "`stage.2.settings.max_stepz`",
        "did you mean",
    ] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    let line = recipe.lines().position(|line| line.starts_with("save_stepz")).unwrap() + 1;
    assert!(said.contains(&format!("line {line}, `stage.1.settings.save_stepz`")), "{said}");
}

#[test]
fn what_is_echoed_is_harmless_to_a_terminal() {
    let place = Workplace::new();
    let evil = "a\u{9b}31m\u{202e}b.toml";
    refused(&place, &["run", evil], "cannot read");
    let output = place.groma(&["run", evil]).output().unwrap();
    assert!(!message(&output).contains(['\u{9b}', '\u{202e}']), "{:?}", message(&output));
    place.write(evil, RECIPE.replace("max_steps = 30", "max_steps = 1"));
    let output = place.groma(&["check", evil]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &message(&output);
    assert!(!said.contains(['\u{9b}', '\u{202e}']), "{said:?}");
}
