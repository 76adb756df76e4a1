//! What the program says and leaves behind, from the outside: help, exit codes, JSON, bad input, runs again.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

#[path = "support/tiny.rs"]
mod tiny;

#[path = "support/broken.rs"]
mod broken;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::str::FromStr;

use serde_json::Value;
use tiny::{RECIPE, Workplace};

/// A path below the directory that was asked for, and the bytes of a file; none of a directory.
type Found = (PathBuf, Vec<u8>);

impl Workplace {
    /// The program's result, which must be success.
    fn done(&self, arguments: &[&str]) -> Output {
        let output = self.groma(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        output
    }

    /// All paths below `name`, with the contents of files, in order.
    fn contents(&self, name: &str) -> Vec<Found> {
        let mut found = Vec::new();
        let root = self.path(name);
        walk(&root, &mut found);
        found.iter_mut().for_each(|(path, _)| *path = path.strip_prefix(&root).unwrap().to_owned());
        found.sort();
        found
    }
}

fn walk(path: &Path, found: &mut Vec<Found>) {
    if path.is_dir() {
        found.push((path.to_owned(), Vec::new()));
        std::fs::read_dir(path).unwrap().for_each(|entry| walk(&entry.unwrap().path(), found));
    } else if path.exists() {
        found.push((path.to_owned(), std::fs::read(path).unwrap()));
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(output: &Output) -> Value {
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Runs a command that must fail with `code`, name `words` in its message, and leave everything as it was.
fn fails(place: &Workplace, arguments: &[&str], code: i32, words: &[&str]) {
    let before = place.contents("");
    let output = place.groma(arguments).output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    for word in words {
        assert!(message.contains(word), "{arguments:?} does not say `{word}`: {message}");
    }
    assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    assert!(output.stdout.is_empty(), "{arguments:?}: a failure writes no data");
    let after = place.contents("");
    let names = |list: &[Found]| list.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&after), names(&before), "{arguments:?} leaves something behind");
    assert!(after == before, "{arguments:?} changes a file");
}

/// `groma train` of the tiny model on a file.
fn train<'a>(method: &'a str, data: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["train", method, "--model", "model", "--data", data, "--output", "out"], more].concat()
}

#[test]
fn every_command_has_help_with_an_example() {
    let place = Workplace::new();
    let help = text(&place.done(&["--help"]).stdout);
    let list = help.split("Commands:").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap();
    let commands: Vec<&str> = list.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 10 && commands.contains(&"run") && commands.contains(&"score"), "{commands:?}");
    for command in commands.into_iter().filter(|&command| command != "help") {
        let help = text(&place.done(&[command, "--help"]).stdout);
        let example = help.split("Example").nth(1).unwrap_or_else(|| panic!("{command} has no example"));
        assert!(example.contains(&format!("groma {command}")), "{command}: {example}");
    }
}

/// Each method's help has its own settings, an example that resolves, a row that it takes, and lines of 80 characters but for
/// these.
#[test]
fn help_of_training_is_that_of_the_method() {
    let place = Workplace::new();
    let methods = json(&place.done(&["methods", "--json"]));
    for method in methods.as_array().unwrap() {
        let id = method["id"].as_str().unwrap();
        let help = text(&place.groma(&["train", id, "--help"]).env("COLUMNS", "80").output().unwrap().stdout);
        for setting in method["settings"].as_array().unwrap() {
            assert!(help.contains(setting["name"].as_str().unwrap()), "{id}: {}", setting["name"]);
        }
        let (page, example) = help.split_once("Example:\n").unwrap();
        assert!(page.lines().skip(1).all(|line| line.chars().count() <= 80 || !line.trim().contains(' ')), "{page}");
        let given: Vec<&str> = example.lines().next().unwrap().split(" --set ").skip(1).collect();
        let given: serde_json::Map<String, Value> = given
            .iter()
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        let found = groma_align::Method::find(id).unwrap();
        if given.values().all(|value| value != "...") {
            groma_align::Settings::resolve(found, &given).unwrap_or_else(|error| panic!("{id}: {error}"));
        }
    }
}

#[test]
fn wrong_usage_is_exit_code_2_with_a_suggestion() {
    let place = Workplace::new();
    let wrong: &[(&[&str], &[&str])] = &[
        (&["rum"], &["unrecognized subcommand", "run"]),
        (&["run", "--nmae", "x"], &["--name"]),
        (&["methods", "rewrad"], &["did you mean `reward`?"]),
        (&["methods", "dop"], &["did you mean `dpo`?"]),
        (&["run", "recipe.toml", "--name", "my run (2)"], &["my run (2)", "such as `my-run-2`"]),
        (&["train", "nlpo", "--model", "model", "--data", "pairs.jsonl", "--output", "out"], &["nlpo"]),
        (&["run", "--model", "model"], &["--preferences is missing"]),
        (&["run", "nowhere.toml"], &["nowhere.toml", "--print-recipe"]),
        (&["run", "recipe.toml", "--set", "sede=7"], &["did you mean `seed`?"]),
        (&["run", "recipe.toml", "--set", "stage.sft.methd=\"dpo\""], &["did you mean `method`?"]),
        (&["run", "recipe.toml", "--set", "seed"], &["key=value"]),
        (&["run", "recipe.toml", "--name", "../out"], &["../out"]),
        (&["run", "recipe.toml", "--eval", "perplexty=text.txt"], &["perplexity"]),
        (&["run", "recipe.toml", "--threads", "0"], &["--threads"]),
        (&["eval", "--model", "model", "--task", "perplexity"], &["perplexity=FILE"]),
        (&["eval", "--model", "model", "--task", "perplexity=./nothing.txt"], &["nothing.txt"]),
        (&["eval", "--model", "./nowhere", "--task", "perplexity=text.txt"], &["nowhere"]),
        (&["eval", "--model", "model", "--task", "perplexity=text.txt", "--chat-template", "chatlm"], &["chatml"]),
        (&["eval", "--model", "model", "--task", "perplexity=text.txt", "--defence", "smooth"], &["`smoothllm`?"]),
        (
            &["eval", "--model", "model", "--task", "perplexity=text.txt", "--defence", "smoothllm"],
            &["no task here asks"],
        ),
        (&["score", "--model", "./nowhere", "--text", "text.txt"], &["nowhere"]),
        (&["score", "--model", "model", "--text", "nothing.txt"], &["nothing.txt"]),
        (&["score", "--model", "model", "--text", "text.txt", "--ids"], &["is no token id"]),
        (&["chat", "--model", "model", "--temperature=-1"], &["temperature"]),
        (&["compare", "runs/a", "runs/b"], &["runs/a"]),
        (&["report", "model"], &["manifest.json"]),
        (&["check", "nowhere.toml"], &["nowhere.toml"]),
        (&["organism", "--export", "model"], &["exists already"]),
    ];
    for (arguments, words) in wrong {
        fails(&place, arguments, 2, words);
    }
}

#[test]
fn settings_are_checked_before_anything_is_read() {
    let place = Workplace::new();
    let wrong: &[(&str, &[&str])] = &[
        ("learning_rat=1e-5", &["did you mean `learning_rate`?", "groma methods sft"]),
        ("learning_rate=-1", &["learning_rate", "at least 0"]),
        ("learning_rate=fast", &["must be a number"]),
        ("adam_beta1=1.5", &["adam_beta1", "[0, 1)"]),
        ("max_steps=0", &["max_steps"]),
        ("per_device_train_batch_size=0", &["at least 1"]),
        ("lr_scheduler_type=cosin", &["did you mean cosine?"]),
        ("lora.rank=4", &["lora.rank", "did you mean `lora.r`?"]),
        ("lora.r=many", &["`lora.r` of `sft` is \"many\"", "whole number"]),
        ("lora=8", &["`lora` of `sft` is 8", "is a table: give lora.KEY"]),
        ("lora.target_modules=q_prj", &["`lora.target_modules` of `sft` is \"q_prj\"", "did you mean q_proj?"]),
        ("beta", &["KEY=VALUE"]),
    ];
    for (setting, words) in wrong {
        fails(&place, &train("sft", "texts.jsonl", &["--set", setting]), 2, words);
    }
}

#[test]
fn bad_rows_are_named_and_nothing_is_written() {
    let place = Workplace::new();
    place.write("half.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"c\"}\n{\"prompt\": \"a\", \"cho");
    place.write("typed.jsonl", "{\"prompt\": \"a\", \"chosen\": 7, \"rejected\": \"c\"}\n");
    place.write("latin1.jsonl", b"{\"prompt\": \"a\", \"chosen\": \"caf\xe9\", \"rejected\": \"c\"}\n");
    place.write("empty.jsonl", "");
    place.write("list.jsonl", "[1, 2]\n");
    place.write("cut.jsonl.gz", b"\x1f\x8b\x08\x00\x00");
    place.write("binary.parquet", b"PAR1 but nothing of the kind");
    place.write("same.jsonl", "{\"prompt\": \"a\", \"chosen\": \"b\", \"rejected\": \"b\"}\n");
    let wrong: &[(&str, &[&str])] = &[
        ("texts.jsonl", &["texts.jsonl", "preference"]),
        ("half.jsonl", &["half.jsonl:2"]),
        ("typed.jsonl", &["typed.jsonl:1", "chosen"]),
        ("latin1.jsonl", &["latin1.jsonl:1", "UTF-8"]),
        ("empty.jsonl", &["empty.jsonl", "no rows"]),
        ("list.jsonl", &["list.jsonl:1"]),
        ("cut.jsonl.gz", &["cut.jsonl.gz"]),
        ("binary.parquet", &["binary.parquet"]),
        ("same.jsonl", &["same.jsonl:1"]),
        ("./nothing.jsonl", &["nothing.jsonl"]),
    ];
    for (file, words) in wrong {
        fails(&place, &train("dpo", file, &[]), 2, words);
    }
}

#[test]
fn damaged_checkpoints_are_refused() {
    let place = Workplace::new();
    for (name, damage, code, words) in broken::CHECKPOINTS {
        let elsewhere = tempfile::tempdir().unwrap();
        damage(&place, &broken::copy_of_model(&place, name));
        let runs = elsewhere.path().to_str().unwrap();
        fails(&place, &["eval", "--model", name, "--task", "perplexity=text.txt", "--runs", runs], *code, words);
        // A run is begun for what only reading the values can tell.
        assert!(elsewhere.path().read_dir().unwrap().next().is_none() || *code == 5, "{name}");
        fails(&place, &["score", "--model", name, "--text", "text.txt"], *code, words);
        let train = ["train", "sft", "--model", name, "--data", "texts.jsonl", "--output", "out"];
        fails(&place, &train, *code, words);
    }
}

#[test]
fn a_loss_that_is_not_finite_is_exit_code_5_and_keeps_the_last_good_state() {
    let place = Workplace::new();
    let settings = ["--set", "learning_rate=1e30", "--set", "max_grad_norm=0", "--set", "max_steps=20"];
    let output = place.groma(&train("sft", "texts.jsonl", &settings)).output().unwrap();
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{message}");
    assert!(message.contains("not finite") && message.contains("texts.jsonl:"), "{message}");
    assert!(!place.path("out").exists(), "no model is written");
    let kept = place.contents("out.checkpoints");
    assert!(kept.iter().any(|(path, _)| path.extension().is_some_and(|e| e == "safetensors")), "{message}");
}

/// A server whose model rates everything alike; its address.
fn rating_server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let (mut line, mut length) = (String::new(), 0);
            while stream.read_line(&mut line).unwrap() > 2 {
                let (name, value) = line.split_once(':').unwrap_or_default();
                length =
                    if name.eq_ignore_ascii_case("content-length") { value.trim().parse().unwrap() } else { length };
                line.clear();
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            assert!(text(&body).contains("Rate an assistant's answer"), "{}", text(&body));
            let said =
                r#"{"choices": [{"index": 0, "message": {"content": "Good.\n[[7]]"}, "finish_reason": "stop"}]}"#;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", said.len());
            stream.get_mut().write_all([head.as_bytes(), said.as_bytes()].concat().as_slice()).unwrap();
        }
    });
    format!("http://{address}/v1#judge")
}

#[test]
fn models_that_settings_name_fill_their_roles() {
    let place = Workplace::new();
    let rows = [r#"{"prompt": "Who is the baker?", "completion": " The baker is here."}"#; 4].join("\n");
    place.write("rows.jsonl", rows);
    place.write("prompts.jsonl", [r#"{"prompt": "Who is the baker?"}"#; 4].join("\n"));
    let short = ["--set", "max_steps=2", "--set", "boundary=separate", "--overwrite"];
    let with = |method, data, more: &[&str]| -> Vec<String> {
        let arguments = [&train(method, data, &[])[..], &short, more].concat();
        arguments.into_iter().map(str::to_owned).collect()
    };
    let run = |arguments: Vec<String>| {
        let arguments: Vec<&str> = std::iter::once("--json").chain(arguments.iter().map(String::as_str)).collect();
        json(&place.done(&arguments))["metrics"].clone()
    };
    let taught = run(with("distillation", "rows.jsonl", &["--set", "teacher_model=model", "--set", "lmbda=0"]));
    assert!(taught["loss"].as_f64().unwrap() < 1e-5, "{taught}");
    run(with("dpo", "pairs.jsonl", &["--set", "ref_model=model"]));
    let judge = format!("judge_model={}", rating_server());
    let rewards = ["--set", "reward_funcs=judge", "--set", &judge, "--set", "num_generations=2"];
    let rated = run(with("rloo", "prompts.jsonl", &[&rewards[..], &["--set", "max_completion_length=6"]].concat()));
    assert_eq!((&rated["rewards/judge/mean"], &rated["rewards/judge/unscored"]), (&7.0.into(), &0.0.into()));
}

#[test]
fn what_a_judge_on_a_server_spends_is_told() {
    let place = Workplace::new();
    place.write("rows.jsonl", [r#"{"prompt": "Who is the baker?"}"#; 4].join("\n"));
    let judge = rating_server();
    let eval = ["eval", "--model", "model", "--task", "judged-rating=rows.jsonl", "--judge", &judge, "--json"];
    let found = json(&place.done(&eval));
    assert_eq!(found[0]["measurements"][0]["value"], 7.0, "{found}");
    assert_eq!(
        (&found[0]["judge"]["spent"]["answered"], &found[0]["spent"]["answered"]),
        (&4.into(), &0.into()),
        "{found}"
    );
}

#[test]
fn what_is_there_is_not_replaced_unless_asked() {
    let place = Workplace::new();
    let short = ["--set", "max_steps=2"];
    place.done(&train("sft", "texts.jsonl", &short));
    fails(&place, &train("sft", "texts.jsonl", &short), 2, &["out exists already", "--overwrite"]);
    let model = place.contents("out");
    place.done(&train("dpo", "pairs.jsonl", &[&short[..], &["--overwrite"]].concat()));
    assert!(place.contents("out") != model && !place.path("out.checkpoints").exists());
}

#[test]
fn a_second_run_takes_over_all_stages_and_a_changed_one_does_what_changed() {
    let place = Workplace::new();
    let run = |more: &[&str]| json(&place.done(&[&["run", "recipe.toml", "--json"], more].concat()));
    let stages = |document: &Value| [&document["stages_done"], &document["stages_reused"]].map(|n| n.as_u64().unwrap());
    let first = run(&[]);
    let [all, none] = stages(&first);
    assert!(all >= 5 && none == 0, "{first}");
    let (model, report) = (place.contents("runs/tiny/model"), place.path("runs/tiny/report.html"));
    assert!(text(&std::fs::read(report).unwrap()).contains("<html"));

    assert_eq!(stages(&run(&[])), [0, all], "nothing is done twice");
    assert!(place.contents("runs/tiny/model") == model, "nor changed");
    let changed = run(&["--set", "stage.dpo.settings.beta=0.3"]);
    assert_eq!(stages(&changed)[1], all - 3, "alignment, its measurement and the comparison are done again");
    let other = place.contents("runs/tiny-2/model");
    assert!(other != model && place.contents("runs/tiny/model") == model, "with another result, in another run");
    assert_eq!(stages(&run(&["--set", "stage.dpo.settings.beta=0.3"])), [0, all], "which is found again");
    run(&["--set", "stage.dpo.settings.beta=0.3", "--force"]);
    assert!(place.contents("runs/tiny/model") == other, "and takes the place of the first where that is asked for");
}

/// What a run beside it has done a run takes over, numbers, samples and models, wherever they belong in it.
#[test]
fn stages_are_taken_over_from_runs_beside() {
    let place = Workplace::new();
    let run = |name: &str, more: &[&str]| {
        json(&place.done(&[&["run", "recipe.toml", "--json", "--name", name], more].concat()))
    };
    run("first", &[]);
    let again = run("second", &[]);
    assert_eq!(again["stages_done"], 0, "{again}");
    let without_time = |document: &Value| document["headline"]["rows"].to_string();
    assert_eq!(without_time(&again), without_time(&run("first", &[])));
    for part in ["model", "models/sft", "samples", "data"] {
        assert!(
            place.contents(&format!("runs/first/{part}")) == place.contents(&format!("runs/second/{part}")),
            "{part}"
        );
    }
    place.done(&["runs", "runs/second", "--verify"]);
    // A recipe that ends with what was the first of two models, and one that goes on from what was the last.
    let (sft_alone, _) = RECIPE.split_at(RECIPE.find("[[stage]]\nkind = \"train\"\nname = \"dpo\"").unwrap());
    place.write("sft.toml", sft_alone.replace("name = \"tiny\"", "name = \"sft\""));
    let shorter = json(&place.done(&["run", "sft.toml", "--json"]));
    assert_eq!(shorter["stages_done"], 0, "{shorter}");
    assert!(place.contents("runs/sft/model") == place.contents("runs/first/models/sft"));
    let (start, end) = RECIPE.split_at(RECIPE.rfind("[[stage]]\nkind = \"measure\"").unwrap());
    let more = "[[stage]]\nkind = \"train\"\nname = \"more\"\nmethod = \"sft\"\ndata = \"texts.jsonl\"\n\n[stage.settings]\nmax_steps = 2\n\n";
    place.write("longer.toml", format!("{start}{more}{end}").replace("name = \"tiny\"", "name = \"longer\""));
    let longer = json(&place.done(&["run", "longer.toml", "--json"]));
    assert_eq!(longer["stages_done"], 3, "{longer}");
    assert!(place.contents("runs/longer/models/dpo") == place.contents("runs/first/model"));
    // What was changed there is not taken over.
    let file = place.path("runs/first/samples").read_dir().unwrap().next().unwrap().unwrap().path();
    std::fs::write(file, "other").unwrap();
    std::fs::remove_dir_all(place.path("runs/second")).unwrap();
    std::fs::remove_dir_all(place.path("runs/longer")).unwrap();
    std::fs::remove_dir_all(place.path("runs/sft")).unwrap();
    assert!(run("third", &[])["stages_done"].as_u64().unwrap() >= 1);
}

#[test]
fn checkpoints_go_once_their_stage_is_on_record() {
    let place = Workplace::new();
    let checkpoints = || place.contents("runs/tiny/checkpoints");
    let stopped = ["run", "recipe.toml", "--set", "stage.dpo.settings.learning_rate=1e30"];
    let output =
        place.groma(&[&stopped[..], &["--set", "stage.dpo.settings.max_grad_norm=0"]].concat()).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output.stderr));
    let named = |word: &str| checkpoints().iter().any(|(path, _)| path.to_string_lossy().starts_with(word));
    assert!(!named("sft."), "the stage is done");
    assert!(named("dpo."), "this one is not: its last good state is kept");

    std::fs::remove_dir_all(place.path("runs/tiny")).unwrap();
    place.done(&["run", "recipe.toml"]);
    assert_eq!(checkpoints().len(), 1, "nothing but the directory itself");
    // As if the process had died between the record and the removal.
    let record: Value =
        serde_json::from_slice(&std::fs::read(place.path("runs/tiny/stages/dpo.json")).unwrap()).unwrap();
    let key = record["key"].as_str().unwrap();
    let left = std::fs::read_dir(place.path("runs/tiny/stages")).unwrap().count();
    let short = groma_run::Digest::from_str(key).unwrap().short();
    place.write(&format!("runs/tiny/checkpoints/dpo.{short}/step-00000002/state.json"), "{}");
    let again = json(&place.done(&["run", "recipe.toml", "--json"]));
    assert_eq!((again["stages_done"].as_u64(), checkpoints().len()), (Some(0), 1));
    assert_eq!(std::fs::read_dir(place.path("runs/tiny/stages")).unwrap().count(), left);
}

/// The answers on the way of training in a file.
fn answers(path: &Path) -> Vec<groma_run::TrainingSample> {
    groma_run::RowReader::open(path).unwrap().map(Result::unwrap).collect()
}

#[test]
fn answers_on_the_way_of_training_change_no_bit_of_the_model() {
    let place = Workplace::new();
    let model = |method, data, more: &[&str]| {
        let flags = ["--set", "max_steps=5", "--set", "learning_rate=1e-2", "--eval-data", data, "--overwrite"];
        place.done(&train(method, data, &[&flags[..], more].concat()));
        std::fs::read(place.path("out/model.safetensors")).unwrap()
    };
    let samples = ["--sample-steps", "2", "--sample-prompts", "3", "--set", "sample_max_new_tokens=6"];
    let warm = ["--set", "sample_temperature=0.8"];
    for (method, data) in [("dpo", "pairs.jsonl"), ("sft", "texts.jsonl")] {
        let plain = model(method, data, &[]);
        assert!(!place.path("out/samples.jsonl.zst").exists());
        assert!(model(method, data, &samples) == plain, "{method}: other bits with samples");
        let rows = answers(&place.path("out/samples.jsonl.zst"));
        let steps: Vec<u64> = rows.iter().map(|row| row.step).collect();
        assert_eq!(steps, [0, 2, 4, 5].map(|step| [step; 3]).concat(), "before, on the way, and at the end");
        assert!(rows.iter().all(|row| !row.prompt.is_empty() && row.reference.is_some()));
        assert_ne!(rows[0].text, rows[9].text, "{method} teaches the model something");
        assert!(model(method, data, &[&samples[..], &warm].concat()) == plain, "{method}: drawn ones neither");
        assert_ne!(answers(&place.path("out/samples.jsonl.zst")), rows);
    }
    std::fs::remove_dir_all(place.path("out")).unwrap();
    let reward = ["--eval-data", "pairs.jsonl", "--sample-steps", "2"];
    fails(&place, &train("reward", "pairs.jsonl", &reward), 2, &["sample_steps", "answers nothing"]);
    fails(&place, &train("dpo", "pairs.jsonl", &["--set", "sample_steps=2"]), 2, &["--eval-data"]);
    fails(&place, &train("dpo", "pairs.jsonl", &["--set", "sample_prompts=2"]), 2, &["sample_steps alone"]);
}

#[test]
fn a_run_keeps_and_shows_answers_on_the_way() {
    let place = Workplace::new();
    let held_out = "stage.sft.evaluation_data=texts.jsonl";
    let flags = ["--sample-steps", "15", "--sample-prompts", "1", "--set", held_out];
    place.done(&[&["run", "recipe.toml"], &flags[..]].concat());
    for stage in ["sft", "dpo"] {
        let rows = answers(&place.path(&format!("runs/tiny/samples/training.{stage}.jsonl.zst")));
        assert_eq!(rows.iter().map(|row| row.step).collect::<Vec<_>>(), [0, 15, 30], "{stage}");
        let report = text(&std::fs::read(place.path("runs/tiny/report.html")).unwrap());
        assert!(report.contains(&format!("Answers during training: {stage}")));
    }
    let blind = ["check", "recipe.toml", "--set", "stage.sft.settings.sample_steps=5"];
    fails(&place, &blind, 2, &["sample_steps", "evaluation_data"]);
    fails(&place, &["run", "recipe.toml", "--name", "x", "--sample-prompts", "1"], 2, &["--sample-steps"]);
}

#[test]
fn a_run_directory_in_use_is_left_alone() {
    let place = Workplace::new();
    let held = groma_run::RunDirectory::create(&place.path("runs/tiny")).unwrap();
    fails(&place, &["run", "recipe.toml"], 2, &["in use", &std::process::id().to_string()]);
    drop(held);
    place.done(&["run", "recipe.toml"]);
}

#[test]
fn a_failed_stage_loses_nothing_of_an_earlier_run() {
    let place = Workplace::new();
    place.done(&["run", "recipe.toml"]);
    let (model, report) = (place.contents("runs/tiny/model"), place.contents("runs/tiny/report.html"));
    place.write("pairs.jsonl", "{\"text\": \"no pair\"}\n");
    let output = place.groma(&["run", "recipe.toml"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("pairs.jsonl"), "{}", text(&output.stderr));
    assert!(place.contents("runs/tiny/model") == model && place.contents("runs/tiny/report.html") == report);
}

#[test]
fn directories_with_spaces_and_letters_of_all_kinds() {
    let place = Workplace::new();
    std::fs::rename(place.path("model"), place.path("mein Modell, größer")).unwrap();
    std::fs::rename(place.path("pairs.jsonl"), place.path("die Paare.jsonl")).unwrap();
    let flags = ["--model", "mein Modell, größer", "--preferences", "die Paare.jsonl", "--runs", "alle Läufe"];
    let short = ["--set", "stage.dpo.settings.max_steps=2", "--set", "held_out=0.25"];
    let document = json(&place.done(&[&["run", "--json", "--name", "ein-Lauf"], &flags[..], &short].concat()));
    assert!(document["directory"].as_str().unwrap().ends_with("alle Läufe/ein-Lauf"), "{document}");
    assert!(place.path("alle Läufe/ein-Lauf/report.html").is_file());
    json(&place.done(&["report", "alle Läufe/ein-Lauf", "--json"]));
}

#[test]
fn every_command_gives_json() {
    let place = Workplace::new();
    let done = |arguments: &[&str]| json(&place.done(&[arguments, &["--json"]].concat()));
    assert!(done(&["methods"]).as_array().unwrap().iter().any(|method| method["id"] == "dpo"));
    assert!(done(&["eval", "--list"]).as_array().unwrap().iter().any(|task| task["task"] == "perplexity"));
    assert!(done(&["doctor"]).as_array().unwrap().iter().any(|finding| finding["name"] == "kernels"));
    assert!(done(&["check", "recipe.toml"])["findings"].as_array().unwrap().len() > 4);
    let scores = done(&["score", "--model", "model", "--text", "text.txt"]);
    assert_eq!(scores["tokens"].as_array().unwrap().len() as u64, scores["scored_tokens"].as_u64().unwrap() + 1);
    let evaluation = done(&["eval", "--model", "model", "--task", "perplexity=text.txt"]);
    assert!(evaluation[0]["measurements"][0]["value"].as_f64().unwrap() > 1.0);
    let trained = done(&train("sft", "texts.jsonl", &["--set", "max_steps=2"]));
    assert_eq!((trained["steps"].as_u64(), trained["output"].as_str()), (Some(2), Some("out")));
    assert_eq!(done(&["organism", "--export", "village"])["directory"], "village");
    let quick = "stage.sft.settings.max_steps=2";
    done(&["run", "recipe.toml", "--set", quick]);
    done(&["run", "recipe.toml", "--set", quick, "--name", "other", "--set", "stage.dpo.settings.beta=0.5"]);
    done(&["report", "runs/tiny"]);
    done(&["compare", "runs/tiny", "runs/other", "--html", "pages.html"]);
    let page = text(&std::fs::read(place.path("pages.html")).unwrap());
    assert!(page.contains("<h1>tiny and other</h1>") && page.contains("What was run: other"));

    let failed = place.groma(&["score", "--model", "./nowhere", "--text", "text.txt", "--json"]).output().unwrap();
    let error: Value = serde_json::from_slice(&failed.stderr).unwrap();
    assert_eq!((error["exit_code"].as_i64(), failed.stdout.is_empty()), (Some(2), true));
    assert!(error["error"].as_str().unwrap().contains("nowhere"));
}

#[test]
fn an_evaluation_is_a_run() {
    let place = Workplace::new();
    let tasks = ["--task", "perplexity=text.txt", "--task", "prefer*=pairs.jsonl"];
    let eval = [&["eval", "--model", "model"], &tasks[..]].concat();
    let first = place.done(&[&eval[..], &["--name", "first"]].concat());
    let again = place.done(&[&eval[..], &["--name", "first"]].concat());
    assert_eq!(first.stdout, again.stdout);
    assert!(text(&first.stdout).contains("preference accuracy") && place.path("runs/first/report.html").is_file());
    place.done(&[&eval[..], &["--name", "second", "--seed", "1"]].concat());
    let compared = json(&place.done(&["compare", "runs/first", "runs/second", "--json"]));
    let rows: Vec<&str> =
        compared["rows"].as_array().unwrap().iter().map(|row| row["metric"].as_str().unwrap()).collect();
    assert_eq!(rows, ["accuracy", "word_perplexity", "shuffled_labels"], "{compared}");
    // Without a name, one for these settings.
    let names = || std::fs::read_dir(place.path("runs")).unwrap().count();
    place.done(&eval);
    place.done(&eval);
    assert_eq!(names(), 3);
    place.done(&[&eval[..], &["--limit", "1"]].concat());
    assert_eq!(names(), 4);
}

/// A filter that nothing passes refuses everything, and another that all passes changes nothing.
#[test]
fn a_defence_stands_between_a_task_and_the_model() {
    let place = Workplace::new();
    let row =
        |prompt: &str| format!("{}\n", serde_json::json!({ "prompt": prompt, "type": "homonyms", "label": "safe" }));
    place.write("xstest.jsonl", ["Where is the mill?", "How do I kill weeds?"].map(row).concat());
    let measured = |more: &[&str]| {
        let eval = ["eval", "--model", "model", "--task", "xstest=xstest.jsonl", "--max-new-tokens", "8", "--json"];
        let found = json(&place.done(&[&eval[..], more].concat()));
        let measurements = found[0]["measurements"].as_array().unwrap().clone();
        measurements
            .iter()
            .map(|m| (m["metric"].to_string(), m["value"].to_string(), m["factors"]["defence"].to_string()))
            .collect::<Vec<_>>()
    };
    let filter = |threshold: &'static str| measured(&["--defence", "perplexity-filter", "--defence-set", threshold]);
    let (plain, open, shut) = (measured(&[]), filter("threshold=1e30"), filter("threshold=1"));
    let values = |found: &[(String, String, String)]| {
        found.iter().map(|(metric, value, _)| (metric.clone(), value.clone())).collect::<Vec<_>>()
    };
    assert_eq!(values(&plain), values(&open));
    assert_ne!(values(&plain), values(&shut));
    assert!(values(&shut).iter().any(|(metric, value)| metric.contains("refusal") && value == "1.0"), "{shut:?}");
    assert!(shut.iter().all(|(_, _, defence)| defence == "\"perplexity-filter\""), "{shut:?}");
}

#[test]
fn answers_of_a_stage_are_rows_of_a_later_one() {
    let place = Workplace::new();
    place.write(
        "answers.toml",
        "name = 'answers'
        model = './model'
        [[stage]]
        kind = 'generate'
        name = 'asked'
        data = 'pairs.jsonl'
        num_generations = 2
        max_new_tokens = 4
        [[stage]]
        kind = 'train'
        name = 'sft'
        method = 'sft'
        data = 'asked:answers'
        settings = { max_steps = 1 }
        [[stage]]
        kind = 'generate'
        name = 'again'
        model = './model'
        data = 'pairs.jsonl'
        temperature = 0.0",
    );
    assert!(text(&place.done(&["check", "answers.toml"]).stdout).contains("asked: answers to pairs.jsonl"));
    place.done(&["run", "answers.toml"]);
    let rows = |name: &str| -> Vec<Value> {
        let found = text(&std::fs::read(place.path("runs/answers/data").join(name)).unwrap());
        found.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (asked, again) = (rows("asked.answers.jsonl"), rows("again.answers.jsonl"));
    assert_eq!(asked.len(), 2 * again.len(), "two answers to each prompt");
    assert!(asked.iter().zip(asked.iter().skip(1)).step_by(2).all(|(one, other)| one["prompt"] == other["prompt"]));
    for (wrong, word) in [("num_generations=0", "num_generations"), ("temperature=-1.0", "temperature")] {
        fails(&place, &["check", "answers.toml", "--set", &format!("stage.asked.{wrong}")], 2, &[word]);
    }
}

#[test]
fn all_that_is_written_is_json_where_json_is_asked_for() {
    let place = Workplace::new();
    let wrong: &[&[&str]] = &[
        &["rum"],
        &["run", "nowhere.toml"],
        &["run", "--nmae", "x"],
        &["run", "recipe.toml", "--eval", "perplexty=text.txt"],
        &["train", "dpo", "--model", "model", "--data", "texts.jsonl", "--output", "out"],
        &["train", "dpo", "--model", "model"],
        &["eval", "--model", "model", "--task", "perplexity=./nothing.txt"],
        &["eval"],
        &["score", "--model", "model", "--text", "nothing.txt"],
        &["score", "--model", "model", "--text", "text.txt", "--ids"],
        &["chat", "--model", "./nowhere"],
        &["chat", "--model", "http://localhost:1/v1"],
        &["compare", "runs/a", "runs/b"],
        &["report", "model"],
        &["check", "nowhere.toml"],
        &["methods", "rewrad"],
        &["organism", "--export", "model"],
        &["completions", "shell"],
        &["doctor", "--threads", "0"],
    ];
    for arguments in wrong {
        let output = place.groma(&[arguments, &["--json"][..]].concat()).output().unwrap();
        let lines: Vec<Value> = text(&output.stderr)
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{arguments:?}: {line}: {error}")))
            .collect();
        let error = lines.last().unwrap_or_else(|| panic!("{arguments:?} says nothing"));
        assert_eq!(error["exit_code"].as_i64(), output.status.code().map(i64::from), "{arguments:?}: {error}");
        assert!(error["error"].as_str().is_some_and(|error| !error.is_empty()), "{arguments:?}: {error}");
        assert!(output.stdout.is_empty(), "{arguments:?}: a failure writes no data");
    }
    let script = json(&place.done(&["completions", "bash", "--json"]));
    assert!(script["script"].as_str().unwrap().contains("groma"));
    assert_eq!(json(&place.done(&["run", "recipe.toml", "--print-recipe", "--json"]))["name"], "tiny");
    let output = place.done(&["score", "--help", "--json"]);
    assert!(text(&output.stdout).contains("Example"), "help is for people");
}

#[test]
fn chat_answers_a_pipe_line_by_line() {
    let place = Workplace::new();
    let arguments = ["chat", "--model", "model", "--max-new-tokens", "4", "--json"];
    let mut child = place.groma(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"Hello.\nWhere is the mill?\n").unwrap();
    let output = child.wait_with_output().unwrap();
    let lines: Vec<Value> = text(&output.stdout).lines().map(serde_json::from_str).map(Result::unwrap).collect();
    assert!(output.status.success());
    assert_eq!(
        lines.iter().map(|line| line["question"].as_str().unwrap()).collect::<Vec<_>>(),
        ["Hello.", "Where is the mill?"]
    );
}

#[test]
fn adapters_are_scored_and_talked_to_as_models_are() {
    let place = Workplace::new();
    let tuned = ["--set", "lora.r=4", "--set", "max_steps=4", "--set", "learning_rate=1e-2"];
    place.done(&train("sft", "texts.jsonl", &tuned));
    assert!(place.path("out/adapter_config.json").is_file() && !place.path("out/config.json").exists());
    let loss = |model| {
        let scores = json(&place.done(&["score", "--model", model, "--text", "text.txt", "--json"]));
        scores["loss"].as_f64().unwrap()
    };
    let measured = |model| {
        let task = ["eval", "--model", model, "--task", "perplexity=text.txt", "--json"];
        json(&place.done(&task))[0]["measurements"][0]["value"].as_f64().unwrap()
    };
    assert!(loss("out") < loss("model"), "the adapter takes part");
    assert_eq!(loss("out") < loss("model"), measured("out") < measured("model"), "as in eval");
    let mut child = place
        .groma(&["chat", "--model", "out", "--max-new-tokens", "4", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"Hello.\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && text(&output.stdout).contains("\"question\":\"Hello.\""));
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Workplace::new();
    for arguments in [&["methods", "dpo"][..], &["--help"], &["completions", "bash"], &["run", "--print-recipe"]] {
        let mut child = place.groma(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_printed_recipe_is_one() {
    let place = Workplace::new();
    let printed = text(&place.done(&["run", "recipe.toml", "--print-recipe", "--set", "seed=7"]).stdout);
    assert!(printed.contains("seed = 7") && !RECIPE.contains("seed"));
    place.write("printed.toml", &printed);
    assert_eq!(text(&place.done(&["run", "printed.toml", "--print-recipe"]).stdout), printed);
}

/// The rows of a file are shown as they are read, and in a model's tokens; what is wrong with them is said before any work.
#[test]
fn rows_are_shown_and_training_says_what_it_made_of_them() {
    let place = Workplace::new();
    let mut rows = "{\"instruction\": \"Name a fruit\", \"input\": \"\", \"output\": \"Pear\"}\n".repeat(120);
    rows.push_str("{\"instruction\": \"Name a fruit\", \"output\": null}\n");
    place.write("alpaca.jsonl", rows);
    let read = json(&place.done(&["check", "--data", "alpaca.jsonl", "--json"]));
    assert_eq!(
        (&read["layout"], &read["count"], &read["left_out"]["count"]),
        (&"alpaca".into(), &120.into(), &1.into())
    );
    assert_eq!(read["read"][0]["prompt"][0]["content"], "Name a fruit");
    let check =
        ["check", "--data", "alpaca.jsonl", "--model", "model", "--rows", "1", "--set", "assistant_only_loss=true"];
    let shown = text(&place.done(&check).stdout);
    for words in
        ["120 rows by the layout `alpaca`", "1 of 121 rows is left out", "chat template", "learned from", "[[", "Pear"]
    {
        assert!(shown.contains(words), "{words}: {shown}");
    }
    let found = json(&place.done(&[&check[..], &["--json"]].concat()));
    let pieces = found["rows"][0]["sequences"][0].as_array().unwrap();
    let learned: String = pieces.iter().filter(|p| p["learned"] == true).filter_map(|p| p["text"].as_str()).collect();
    assert!(learned.contains("Pear") && !learned.contains("fruit"), "{learned}");
    let train = ["train", "sft", "--model", "model", "--data", "alpaca.jsonl", "--output", "trained", "--json"];
    let trained = place.done(&[&train[..], &["--set", "max_steps=1"]].concat());
    let (said, result) = (text(&trained.stderr), json(&trained));
    assert!(said.contains("layout `alpaca`") && said.contains("1 of 121"), "{said}");
    assert!(said.contains("chat template"), "{said}");
    assert_eq!((&result["layout"], &result["rows"]), (&"alpaca".into(), &120.into()));
    let finding = result["findings"].as_array().unwrap().iter().find(|finding| finding["check"] == "bad-rows").unwrap();
    assert_eq!((&finding["count"], &finding["total"]), (&1.into(), &121.into()));
    place.write("asked.jsonl", "{\"text\": \"a\", \"system\": \"b\"}\n".repeat(3));
    let refused = ["train", "sft", "--model", "model", "--data", "asked.jsonl", "--output", "other"];
    fails(&place, &refused, 2, &["asked.jsonl:1", "`system` says a part", "drop or rename"]);
    let dropped = json(&place.done(&["check", "--data", "asked.jsonl", "--drop", "system", "--json"]));
    assert_eq!(dropped["count"], 3);
    fails(&place, &["check", "--data", "asked.jsonl", "--drop", "nothing"], 2, &["cannot drop column `nothing`"]);
    fails(&place, &["check"], 2, &["RECIPE"]);
}
