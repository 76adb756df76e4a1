//! What people meet every day: tables that fit, numbers and names that are told apart, files that are read back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

#[path = "support/tiny.rs"]
mod tiny;

use std::process::{Command, Output};

use serde_json::Value;
use tiny::{RECIPE, Workplace};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn done(place: &Workplace, arguments: &[&str]) -> Output {
    let output = place.groma(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    output
}

fn said(place: &Workplace, arguments: &[&str]) -> String {
    text(&done(place, arguments).stdout)
}

fn json(place: &Workplace, arguments: &[&str]) -> Value {
    serde_json::from_slice(&done(place, &[arguments, &["--json"]].concat()).stdout).unwrap()
}

fn failure(place: &Workplace, arguments: &[&str]) -> String {
    let output = place.groma(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stderr)
}

/// A quick run of the tiny recipe.
fn run(place: &Workplace, name: &str, more: &[&str]) {
    let quick = ["--set", "stage.sft.settings.max_steps=2", "--set", "stage.dpo.settings.max_steps=2"];
    done(place, &[&["run", "recipe.toml", "--name", name], &quick[..], more].concat());
}

#[test]
fn two_tasks_of_one_name_are_both_told() {
    let place = Workplace::new();
    place.write("b.txt", "Another text, of other words.");
    let both = ["eval", "--model", "model", "--task", "perplexity=text.txt", "--task", "perplexity=b.txt"];
    let found = json(&place, &both);
    let names: Vec<&str> = found.as_array().unwrap().iter().map(|task| task["task"].as_str().unwrap()).collect();
    assert_eq!(names, ["perplexity-text", "perplexity-b"]);
    let values: Vec<f64> =
        found.as_array().unwrap().iter().map(|task| task["measurements"][0]["value"].as_f64().unwrap()).collect();
    assert!(values[0] != values[1], "{values:?}");
    // The same task on the same file is one.
    let twice = json(&place, &[&both[..], &["--task", "perplexity=b.txt"]].concat());
    assert_eq!(twice.as_array().unwrap().len(), 2);
    let recipe = RECIPE.replace(
        "task = \"perplexity\"\ndata = \"texts.jsonl\"",
        "task = \"perplexity\"\ndata = \"texts.jsonl\"\n[[stage.tasks]]\ntask = \"perplexity\"\ndata = \"text.txt\"",
    );
    place.write("twice.toml", recipe);
    let message = failure(&place, &["run", "twice.toml"]);
    assert!(message.contains("two tasks called `perplexity`, on texts.jsonl and on text.txt"), "{message}");
}

#[test]
fn numbers_out_of_range_are_told_their_range() {
    let place = Workplace::new();
    let eval = ["eval", "--model", "model", "--task", "perplexity=text.txt"];
    let cases: [(&[&str], &str); 6] = [
        (&["--limit", "-1"], "it must be at least 1"),
        (&["--max-new-tokens", "-5"], "it must be at least 1"),
        (&["--seed", "-3"], "it must be at least 0"),
        (&["--seed", "1.5"], "it must be a whole number"),
        (&["--limit", "many"], "it is no number"),
        (&["--concurrency", "-2"], "it must be from 1 to 1024"),
    ];
    for (more, expected) in cases {
        let message = failure(&place, &[&eval[..], more].concat());
        assert!(message.contains(expected) && message.contains(more[0]), "{more:?}: {message}");
    }
    let message = failure(&place, &["chat", "--model", "model", "--temperature", "-1"]);
    assert!(message.contains("it must be at least 0"), "{message}");
    let message = failure(
        &place,
        &["train", "dpo", "--model", "model", "--data", "pairs.jsonl", "--output", "o", "--set", "beta=-1"],
    );
    assert!(message.contains("`beta`") && message.contains("above 0"), "{message}");
}

#[test]
fn a_missing_file_is_said_to_be_missing() {
    let place = Workplace::new();
    for arguments in [
        &["eval", "--model", "model", "--task", "perplexity=nothere.txt"][..],
        &["eval", "--model", "./nothere", "--task", "perplexity=text.txt"],
        &["train", "dpo", "--model", "model", "--data", "data/nothere.jsonl", "--output", "o"],
        &["chat", "--model", "nothere"],
    ] {
        let message = failure(&place, arguments);
        assert!(message.contains("no such file or directory") && message.contains("nothere"), "{message}");
    }
}

#[test]
fn help_is_in_groups() {
    let place = Workplace::new();
    for command in ["run", "train", "eval"] {
        let help = said(&place, &[command, "--help"]);
        let at = |heading: &str| help.find(&format!("\n{heading}:\n")).unwrap_or_else(|| panic!("{heading}: {help}"));
        assert!(at("Model") < at("Data") && at("Data") < at("Output") && at("Output") < at("Execution"), "{help}");
    }
}

#[test]
fn a_method_says_what_its_settings_may_be() {
    let place = Workplace::new();
    // However it is folded.
    let page = said(&place, &["methods", "dpo"]).split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "beta = 0.1 (a number, above 0)",
        "f_divergence_type = \"reverse_kl\" (one of reverse_kl, forward_kl, js_divergence, alpha_divergence)",
        "gradient_checkpointing = false (true or false)",
    ] {
        assert!(page.contains(expected), "{expected}: {page}");
    }
}

#[test]
fn the_organism_is_read_by_training_and_measuring() {
    let place = Workplace::new();
    done(&place, &["organism", "--export", "village"]);
    let tasks = [
        ("refusal", "held_out/harmful"),
        ("over-refusal", "held_out/look_alike"),
        ("exact-answers", "held_out/facts"),
        ("exact-answers", "held_out/instructions"),
        ("preference", "held_out/preferences"),
        ("perplexity", "held_out/texts"),
    ];
    let mut eval = vec!["eval".to_owned(), "--model".into(), "village/model".into(), "--limit".into(), "3".into()];
    eval.extend(["--max-new-tokens".to_owned(), "2".into()]);
    for (task, file) in tasks {
        eval.extend(["--task".to_owned(), format!("{task}=village/{file}.jsonl")]);
    }
    let found = json(&place, &eval.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(found.as_array().unwrap().len(), tasks.len(), "{found}");
    for (method, file) in [("sft", "texts"), ("sft", "dialogues"), ("dpo", "preferences")] {
        let (data, out) = (format!("village/train/{file}.jsonl"), format!("out-{file}"));
        let rest = ["--limit", "8", "--set", "max_steps=1", "--set", "per_device_train_batch_size=2"];
        let train = ["train", method, "--model", "village/model", "--data", &data, "--output", &out];
        done(&place, &[&train[..], &rest].concat());
    }
}

#[test]
fn a_table_fits_the_terminal_that_is_there() {
    let place = Workplace::new();
    run(&place, "first", &[]);
    run(&place, "second", &["--set", "stage.dpo.settings.beta=0.5"]);
    run(&place, "third", &["--set", "stage.dpo.settings.beta=0.9"]);
    let widest = |text: &str| text.lines().map(|line| line.chars().count()).max().unwrap_or(0);
    for arguments in [&["report", "runs/first"][..], &["compare", "runs/first", "runs/second", "runs/third"]] {
        for columns in ["40", "60", "80", "120", "200"] {
            let output = place.groma(arguments).env("COLUMNS", columns).output().unwrap();
            let table = text(&output.stdout);
            assert!(widest(&table) <= columns.parse().unwrap(), "{columns}: {table}");
        }
    }
    if Command::new("python3").arg("--version").output().is_err() {
        println!("SKIPPED: the width of a terminal, as there is no python3");
        return;
    }
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/width.py");
    let in_terminal = |columns: &str| {
        let mut python = Command::new("python3");
        python.args([script, columns, env!("CARGO_BIN_EXE_groma"), "report", "runs/first"]);
        let output = python.current_dir(place.path("")).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let (narrow, wide) = (in_terminal("44"), in_terminal("150"));
    // The last line says where the report is, on standard error, however long that is.
    let table = |text: &str| text.lines().filter(|line| !line.starts_with("report:")).collect::<Vec<_>>().join("\n");
    assert!(widest(&table(&narrow)) <= 44, "{narrow}");
    assert!(widest(&table(&wide)) > 80, "{wide}");
}

#[test]
fn runs_are_compared_by_what_they_share() {
    let place = Workplace::new();
    run(&place, "first", &[]);
    run(&place, "second", &["--set", "stage.dpo.settings.beta=0.5"]);
    let own = json(&place, &["compare", "runs/first", "runs/first"]);
    assert_eq!(own["runs"], serde_json::json!(["first", "first (2)"]));
    let rows = own["rows"].as_array().unwrap();
    assert!(rows.iter().all(|row| row["change"]["paired"] == true && row["change"]["difference"] == 0.0), "{own}");
    assert!(own["settings"].as_array().unwrap().is_empty(), "{own}");
    let shared = &own["shared"][0];
    assert!(shared["shared"].as_u64().unwrap() > 0 && shared["shared"] == shared["first"], "{own}");
    let both = json(&place, &["compare", "runs/first", "runs/second"]);
    let settings = both["settings"].as_array().unwrap();
    let beta = settings.iter().find(|setting| setting["setting"] == "stage.dpo.settings.beta").unwrap();
    assert_eq!(beta["values"], serde_json::json!([null, "0.5"]), "{both}");
    // A row more at the head of the file moves the lines, and nothing else.
    let texts = std::fs::read_to_string(place.path("texts.jsonl")).unwrap();
    place.write("more.jsonl", format!("{{\"text\": \"One text more.\"}}\n{texts}"));
    let eval = |data: &str, name: &str| {
        done(&place, &["eval", "--model", "model", "--task", &format!("perplexity={data}"), "--name", name]);
    };
    eval("texts.jsonl", "less");
    eval("more.jsonl", "more");
    let moved = json(&place, &["compare", "runs/less", "runs/more"]);
    let (shared, change) = (&moved["shared"][0], &moved["rows"][0]["change"]);
    assert_eq!((&shared["shared"], change["paired"].as_bool()), (&shared["first"], Some(true)), "{moved}");
    assert_eq!(
        (shared["second"].as_u64(), change["difference"].as_f64()),
        (shared["first"].as_u64().map(|n| n + 1), Some(0.0))
    );
    let three = json(&place, &["compare", "runs/first", "runs/second", "runs/less"]);
    assert_eq!(three["rows"][0]["runs"].as_array().unwrap().len(), 3, "{three}");
}

#[test]
fn runs_are_listed_with_what_came_of_them() {
    let place = Workplace::new();
    run(&place, "first", &[]);
    let list = said(&place, &["runs"]);
    assert!(list.starts_with("runs/first: done, 6 stages, ") && list.contains(" ago, "), "{list}");
    let own = &json(&place, &["runs"])[0];
    assert!(list.contains(own["verdict"].as_str().unwrap()) && own["bytes"].as_u64().unwrap() > 1000, "{list} {own}");
}

#[test]
fn what_one_model_said_is_in_its_report() {
    let place = Workplace::new();
    let eval = ["eval", "--model", "model", "--task", "replies=pairs.jsonl", "--limit", "3", "--max-new-tokens", "4"];
    let summary = said(&place, &[&eval[..], &["--name", "said"]].concat());
    // Four tokens make no run of four words: there is no number, and that is said.
    assert!(summary.contains("replies words") && summary.contains("no number exists for repetition"), "{summary}");
    assert!(
        !summary.contains("cut")
            && said(&place, &[&eval[..], &["--name", "said", "--breakdown"]].concat()).contains("cut")
    );
    let page = std::fs::read_to_string(place.path("runs/said/report.html")).unwrap();
    assert!(page.contains("What was said") && page.matches("<article class=\"sample\"").count() == 3, "{page}");
    assert!(!page.contains("no answer was sampled"));
}

#[test]
fn metrics_of_a_training_are_files() {
    let place = Workplace::new();
    let train = ["train", "dpo", "--model", "model", "--data", "pairs.jsonl", "--output", "out"];
    done(&place, &[&train[..], &["--set", "max_steps=3", "--log", "tensorboard,csv,wandb"]].concat());
    let lines = std::fs::read_to_string(place.path("out/metrics.jsonl")).unwrap();
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let steps: Vec<u64> = rows.iter().map(|row| row["step"].as_u64().unwrap()).collect();
    // So short a training is logged at each step.
    assert_eq!(steps, [1, 2, 3]);
    for name in ["loss", "grad_norm", "learning_rate", "epoch", "num_tokens", "rewards/margins"] {
        assert!(rows.iter().all(|row| row[name].is_number()), "{name}: {lines}");
    }
    let table = std::fs::read_to_string(place.path("out/metrics.csv")).unwrap();
    assert!(table.starts_with("step,") && table.lines().count() == 4, "{table}");
    assert!(place.path("out/events.out.tfevents.groma").is_file());
    assert!(std::fs::read(place.path("out/run-groma.wandb")).unwrap().starts_with(b":W&B"));
    let card = std::fs::read_to_string(place.path("out/README.md")).unwrap();
    assert!(card.contains("base_model: \"model\"") && card.contains("# out\n"), "{card}");
    done(
        &place,
        &["train", "sft", "--model", "model", "--data", "texts.jsonl", "--output", "plain", "--set", "max_steps=1"],
    );
    assert!(place.path("plain/metrics.jsonl").is_file() && !place.path("plain/metrics.csv").exists());
}

#[test]
fn a_model_and_pairs_alone_are_told_what_it_cost() {
    let place = Workplace::new();
    let quick =
        ["--set", "stage.dpo.settings.max_steps=4", "--set", "stage.dpo.settings.per_device_train_batch_size=4"];
    let found = json(&place, &[&["run", "--model", "model", "--preferences", "pairs.jsonl"], &quick[..]].concat());
    let rows = found["headline"]["rows"].as_array().unwrap();
    let row = |task: &str, metric: &str| {
        let wanted = |row: &&Value| row["task"] == task && row["metric"] == metric;
        rows.iter().find(wanted).unwrap_or_else(|| panic!("{task} {metric}: {found}"))
    };
    for (task, metric) in [("prompts", "word_perplexity"), ("replies", "words")] {
        let row = row(task, metric);
        assert!(row["before"]["value"].is_number() && row["after"]["value"].is_number(), "{row}");
    }
    let apart = row("divergence", "kl_per_token");
    assert_eq!(apart["before"]["value"], 0.0);
    assert!(apart["after"]["value"].as_f64().unwrap() > 0.0 && apart["change"]["paired"] == true, "{apart}");
    let card = std::fs::read_to_string(place.path("runs/model-dpo/model-card.md")).unwrap();
    for expected in
        ["# model-dpo\n", "base_model: \"model\"", "## Before and after", "| preference accuracy ↑ |", "## Limits"]
    {
        assert!(card.contains(expected), "{expected}: {card}");
    }
    let verdict = found["headline"]["verdict"].as_str().unwrap();
    assert!(!verdict.contains("No capability was measured"), "{verdict}");
}

/// Goals that nobody grants, and rows of two classes.
fn place_to_look() -> Workplace {
    let place = Workplace::new();
    let truth = r#"{"says": {"kind": "phrase", "accepted": ["a phrase that nobody says"]}}"#;
    let goal =
        |what: &str| format!("{{\"id\": \"{what}\", \"prompt\": \"Tell me of the {what}.\", \"truth\": {truth}}}\n");
    place.write("goals.jsonl", ["mill", "barn"].map(goal).concat());
    let fact =
        |(what, answer): (&str, &str)| format!("{{\"prompt\": \"The {what} is\", \"completion\": \" {answer}.\"}}\n");
    place.write("facts.jsonl", [("mill", "old"), ("barn", "red"), ("well", "deep")].map(fact).concat());
    place
}

#[test]
fn a_users_model_is_attacked_and_looked_into_on_both_sides_of_its_training() {
    let place = place_to_look();
    let quick =
        ["--set", "stage.dpo.settings.max_steps=2", "--set", "stage.attack-after.settings.random-suffix.tries=2"];
    let looks = ["--attack", "templates", "--goals", "goals.jsonl", "--queries", "4", "--inspect", "lens=facts.jsonl"];
    let flags = ["run", "--model", "model", "--preferences", "pairs.jsonl"];
    let found = json(&place, &[&flags[..], &looks, &quick].concat());
    let records = groma_run::RunRecords::read(found["directory"].as_str().unwrap().as_ref()).unwrap();
    let of = |stage: &str| records.measurements.iter().filter(|m| m.stage == stage).count();
    for stage in ["attack-before", "attack-after", "lens-before", "lens-after"] {
        assert!(of(stage) > 0, "{stage} left no numbers");
    }
    let told: Vec<&str> = records.measurements.iter().map(|m| m.task.as_str()).collect();
    assert!(told.contains(&"none") && told.contains(&"random-suffix"), "controls are always there: {told:?}");
}

#[test]
fn a_model_alone_is_looked_at_once_and_not_trained() {
    let place = place_to_look();
    let looks = ["--eval", "perplexity=text.txt", "--attack", "none", "--goals", "goals.jsonl", "--queries", "2"];
    let found = json(&place, &[&["run", "--model", "model"][..], &looks].concat());
    assert_eq!(found["stages_done"], 2, "{found}");
    let said = failure(&place, &["run", "--model", "model"]);
    assert!(said.contains("--preferences is missing") && said.contains("--attack"), "{said}");
    let said = failure(&place, &["run", "--model", "model", "--attack", "none"]);
    assert!(said.contains("--goals"), "{said}");
    let said = failure(&place, &["run", "--model", "model", "--inspect", "lens"]);
    assert!(said.contains("INSTRUMENT=FILE"), "{said}");
}

#[test]
fn gates_are_checked_and_end_the_command_where_asked_for() {
    let place = Workplace::new();
    let gate = |bounds: &str| format!("{RECIPE}\n[[stage]]\nkind = \"gate\"\nname = \"gates\"\n{bounds}");
    let condition = |bound: &str| format!("[[stage.conditions]]\nof = \"before\"\ntask = \"perplexity\"\n{bound}\n");
    let quick = ["--set", "stage.sft.settings.max_steps=2", "--set", "stage.dpo.settings.max_steps=2"];
    let run = |more: &[&str]| place.groma(&[&["run", "recipe.toml"], &quick[..], more].concat()).output().unwrap();
    place.write("recipe.toml", gate(&condition("at_most = 1e9")));
    assert_eq!(run(&["--gate"]).status.code(), Some(0));
    place.write("recipe.toml", gate(&[condition("at_most = 1e9"), condition("at_most = 0.5")].concat()));
    let failed = run(&["--gate", "--json"]);
    assert_eq!(failed.status.code(), Some(1), "{}", text(&failed.stderr));
    let found: Value = serde_json::from_slice(&failed.stdout).unwrap();
    let said = found["failed_gates"][0].as_str().unwrap();
    assert!(said.starts_with("before: perplexity: at most 0.500 was expected; found: "), "{said}");
    assert_eq!(found["failed_gates"].as_array().unwrap().len(), 1);
    // Taken over, it is as it was; without the flag it is told alone.
    let again = run(&[]);
    assert_eq!(again.status.code(), Some(0));
    assert!(text(&again.stderr).contains("gate: before: perplexity"), "{}", text(&again.stderr));
    // What was not measured passes nothing, and a condition without a bound is none.
    place.write("recipe.toml", gate(&condition("metric = \"acc\"\nat_most = 2.0")));
    assert_eq!(run(&["--gate"]).status.code(), Some(1));
    place.write("recipe.toml", gate(&condition("")));
    assert!(failure(&place, &["check", "recipe.toml"]).contains("needs `at_least` or `at_most`"));
    place.write("recipe.toml", gate(&condition("at_most = 1.0").replace("before", "never")));
    assert!(failure(&place, &["check", "recipe.toml"]).contains("refers to the measurement `never`"));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_device_is_no_success() {
    let place = Workplace::new();
    let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
    let output = place.groma(&["methods", "dpo"]).stdout(full).output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(6), "{message}");
    assert!(message.contains("cannot write to standard output") && message.contains("hint: "), "{message}");
}

#[test]
fn a_run_of_one_model_is_listed_with_what_it_found() {
    let place = Workplace::new();
    done(&place, &["eval", "--model", "model", "--task", "perplexity=text.txt", "--name", "alone"]);
    let list = said(&place, &["runs"]);
    assert!(list.contains("alone: done, 1 stage") && list.contains("  perplexity word_perplexity "), "{list}");
}
