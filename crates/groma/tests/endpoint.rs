//! `groma eval` of a model behind a server, from the outside: what local weights give, through what the server does wrong; no
//! item lost, none scored because it failed, and no key in anything that is written.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may fail and say so")]
#![allow(dead_code, reason = "parts of the server are for other tests")]

#[path = "../../groma-eval/tests/endpoint/misbehaviour.rs"]
mod misbehaviour;
#[path = "../../groma-eval/tests/endpoint/server.rs"]
mod server;
#[path = "support/tiny.rs"]
mod tiny;

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use groma_kernels::Cpu;
use groma_model::{LocalModel, TemplateChoice};
use serde_json::{Value, json};

use misbehaviour::{FOREVER, ITEM, Misbehaviour, ONCE};
use server::{Server, Wire, honest};
use tiny::Workplace;

const KEY: &str = "sk-test-0123456789abcdef";
/// Questions of each task.
const ROWS: usize = 6;

/// A workplace with rows of two tasks, and a server of its model.
struct Place {
    place: Workplace,
    model: Arc<LocalModel>,
}

impl Place {
    fn new() -> Self {
        let place = Workplace::new();
        let row = |number: usize| {
            let prompt = format!("Question {number}: who lives near the mill, Zoë or Tom?");
            let said = json!({"prompt": &prompt, "type": "homonyms", "label": "safe"});
            (said, json!({"query": &prompt, "choices": ["Tom", "the blue well", "Zoë"], "gold": number % 3}))
        };
        let (said, chosen): (Vec<Value>, Vec<Value>) = (0..ROWS).map(row).unzip();
        let lines = |rows: &[Value]| rows.iter().map(|row| format!("{row}\n")).collect::<String>();
        place.write("xstest.jsonl", lines(&said));
        place.write("arc-easy.jsonl", lines(&chosen));
        let model = LocalModel::open(&place.path("model"), &TemplateChoice::default(), Arc::new(Cpu::new())).unwrap();
        Place { place, model: Arc::new(model) }
    }

    fn server(&self, misbehaviour: Option<Misbehaviour>) -> Server {
        let model = Arc::clone(&self.model);
        misbehaviour::server(misbehaviour, move |request| honest(&model, request))
    }

    /// `groma eval` of a model on a task, with what it prints.
    fn eval(&self, model: &str, task: &str, more: &[&str]) -> (Output, Value) {
        let task = format!("{task}={task}.jsonl");
        let flags = ["eval", "--model", model, "--task", &task, "--max-new-tokens", "8", "--json", "--items"];
        let mut command = self.place.groma(&[&flags[..], more].concat());
        let output = command.env("OPENAI_API_KEY", KEY).output().unwrap();
        let printed = [output.stdout.clone(), output.stderr.clone()].concat();
        assert!(!holds_key(&printed), "{}", String::from_utf8_lossy(&printed));
        let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output, document)
    }
}

fn holds_key(bytes: &[u8]) -> bool {
    bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes())
}

/// Looks into all files below a directory.
fn assert_no_key(directory: &Path) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => assert_no_key(&path),
            false => assert!(!holds_key(&std::fs::read(&path).unwrap()), "{}", path.display()),
        }
    }
}

/// An event of a stream.
fn event(event: &Value) -> Vec<u8> {
    format!("data: {event}\n\n").into_bytes()
}

fn piece(text: &str, finish: Option<&str>) -> Vec<u8> {
    event(&json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": finish}]}))
}

/// A server whose replies come in pieces; a long story never comes to its end.
fn storyteller() -> Server {
    Server::start(|request| {
        let head =
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n: hello\n\n".to_vec();
        let now = |bytes| (bytes, Duration::ZERO);
        let asked = request.body["messages"]
            .as_array()
            .and_then(|turns| turns.last())
            .map_or("", |turn| turn["content"].as_str().unwrap_or_default());
        assert!(request.body["stream"] == true, "{}", request.body);
        if asked.contains("long") {
            return Wire(vec![now(head), (piece("Once upon ", None), Duration::from_secs(60))]);
        }
        let usage = event(&json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}));
        Wire(
            [head, piece("The ", None), piece("end.", Some("stop")), usage, b"data: [DONE]\n\n".to_vec()]
                .map(now)
                .into(),
        )
    })
}

#[test]
fn chat_asks_a_server_for_pieces_and_takes_what_comes() {
    let place = Place::new();
    let pieces = storyteller();
    let whole = place.server(None);
    let chat = |origin: &str, question: &str| {
        let model = format!("{origin}/v1#tiny");
        let flags = ["chat", "--model", &model, "--max-new-tokens", "6", "--temperature", "0", "--json"];
        let mut command = place.place.groma(&flags);
        command.env("OPENAI_API_KEY", KEY).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(question.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(!holds_key(&output.stderr) && !holds_key(&output.stdout));
        output
    };
    let output = chat(&pieces.origin, "A short one.\nAgain?\n");
    let lines: Vec<Value> =
        String::from_utf8(output.stdout).unwrap().lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines[1], json!({"question": "Again?", "answer": "The end."}));
    assert_eq!(pieces.requests.lock().unwrap()[1].body["messages"][1]["content"], "The end.");
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains("answered 2 requests, failed 0; 10 tokens in, 4 out"), "{notes}");

    let output = chat(&whole.origin, "Hello.\n");
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(answer["answer"].is_string() && output.status.success(), "{answer}");
    let refusing = place.server(Some(misbehaviour::LOCKED));
    let output = chat(&refusing.origin, "Hello.\n");
    assert_eq!((output.status.code(), output.stdout.len()), (Some(4), 0));
}

/// `support/terminal.py` types as a person does.
#[test]
fn chat_in_a_terminal() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("SKIPPED: chat in a terminal, as there is no python3");
        return;
    }
    let place = Place::new();
    let server = storyteller();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/terminal.py");
    let mut python = Command::new("python3");
    python
        .args([script, env!("CARGO_BIN_EXE_groma")])
        .arg(place.place.path(""))
        .arg(format!("{}/v1#tiny", server.origin));
    let output = python.env_remove("OPENAI_API_KEY").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// The value, number and failures of each measurement.
fn numbers(document: &Value) -> Vec<[Value; 4]> {
    let rows = document[0]["measurements"].as_array().unwrap_or_else(|| panic!("{document}"));
    rows.iter().map(|row| ["metric", "value", "n", "failed"].map(|name| row[name].clone())).collect()
}

fn items(document: &Value) -> &[Value] {
    document[0]["items"].as_array().unwrap()
}

fn named<'a>(all: &'a [Misbehaviour], names: &'a [&str]) -> impl Iterator<Item = &'a Misbehaviour> {
    names.iter().map(|name| all.iter().find(|misbehaviour| misbehaviour.name == *name).unwrap())
}

#[test]
fn what_goes_wrong_once_changes_no_number() {
    let place = Place::new();
    let local = ["xstest", "arc-easy"].map(|task| (task, place.eval("model", task, &[]).1));
    let names = [
        "429 with milliseconds",
        "429 without a time",
        "500 with a page",
        "an error in a good answer",
        "cut stream",
        "broken chunks",
        "hung up",
        "garbage",
        "bytes that are no text",
        "no choices",
        "broken off",
        "NaN",
        "a log-probability too few",
    ];
    for misbehaviour in named(ONCE, &names) {
        let (task, local) = &local[usize::from(misbehaviour.scores)];
        let server = place.server(Some(*misbehaviour));
        let model = format!("{}/v1#tiny", server.origin);
        let (output, found) = place.eval(&model, task, &["--cache", "kept", "--record", "asked.jsonl"]);
        assert!(output.status.success(), "{}: {}", misbehaviour.name, String::from_utf8_lossy(&output.stderr));
        assert_eq!((numbers(&found), items(&found)), (numbers(local), items(local)), "{}", misbehaviour.name);
        let keys = server.requests.lock().unwrap();
        assert!(keys.iter().all(|request| request.authorization.as_deref() == Some(&format!("Bearer {KEY}"))));
    }
    assert_no_key(&place.place.path(""));
}

#[test]
fn what_stays_wrong_is_counted_and_not_scored() {
    let place = Place::new();
    let local = ["xstest", "arc-easy"].map(|task| (task, place.eval("model", task, &[]).1));
    let names = [
        "400",
        "401 in between",
        "500 for ever",
        "a redirect to https",
        "withheld",
        "the key in a status line",
        "no log-probabilities",
    ];
    for misbehaviour in named(FOREVER, &names) {
        let (task, local) = &local[usize::from(misbehaviour.scores)];
        let server = place.server(Some(*misbehaviour));
        let model = format!("{}/v1#tiny", server.origin);
        let flags = ["--max-retries", "1", "--concurrency", "1", "--cache", "kept", "--record", "asked.jsonl"];
        let (output, found) = place.eval(&model, task, &flags);
        let name = misbehaviour.name;
        // What a server will not answer is failed for good; what it could not is asked again by the next run.
        let code = if name == "500 for ever" { 3 } else { 0 };
        assert_eq!(output.status.code(), Some(code), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        for (number, (local, remote)) in items(local).iter().zip(items(&found)).enumerate() {
            if number == ITEM {
                assert!(remote["error"].is_string(), "{name}: {remote}");
                assert!(remote["scores"].as_object().is_none_or(|scores| scores.is_empty()), "{name}: {remote}");
            } else {
                assert_eq!(local, remote, "{name}");
            }
        }
        let first = &found[0]["measurements"][0];
        assert_eq!((items(&found).len(), &first["n"], &first["failed"]), (ROWS, &json!(ROWS - 1), &json!(1)), "{name}");
    }
    assert_no_key(&place.place.path(""));
}

#[test]
fn a_spent_budget_is_a_count_and_the_rest_is_asked_later() {
    let place = Place::new();
    let server = place.server(None);
    let model = format!("{}/v1#tiny", server.origin);
    let flags = ["--name", "paid", "--record", "asked.jsonl", "--price-in", "1", "--price-out", "2.5"];
    let (output, found) = place.eval(&model, "xstest", &[&flags[..], &["--budget-requests", "4"]].concat());
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!((output.status.code(), server.count()), (Some(3), 4), "{message}");
    let usage = &found[0]["spent"]["usage"];
    let cost = usage["prompt_tokens"].as_f64().unwrap() + 2.5 * usage["completion_tokens"].as_f64().unwrap();
    assert!((found[0]["money"].as_f64().unwrap() - cost / 1e6).abs() < 1e-12, "{found}");
    let first = &found[0]["measurements"][0];
    assert_eq!((&first["n"], &first["failed"]), (&json!(4), &json!(2)));
    assert_eq!(found[0]["failures"], json!({"the budget of 4 requests is spent": 2}));

    let (output, found) = place.eval(&model, "xstest", &flags);
    assert_eq!((output.status.code(), server.count()), (Some(0), ROWS));
    assert_eq!(numbers(&found), numbers(&place.eval("model", "xstest", &[]).1));
    let recorded = groma_data::read(&place.place.path("asked.jsonl"), &groma_data::ReadOptions::default()).unwrap();
    assert_eq!(recorded.records.len(), ROWS);
    for record in &recorded.records {
        assert_eq!(record.fields["model"], json!(model), "what answered");
        assert!(record.fields["usage"]["prompt_tokens"].as_u64().unwrap() > 3, "{:?}", record.fields);
        assert!(record.fields["seconds"].as_f64().unwrap() > 0.0 && record.fields["settings"]["max_new_tokens"] == 8);
        assert!(record.fields["answer"]["choices"][0]["text"].is_string());
    }

    // Beside the runs above, what they answered would be taken over.
    let (output, _) = place.eval(&model, "xstest", &["--budget-tokens", "0", "--runs", "elsewhere"]);
    let error: Value = serde_json::from_str(String::from_utf8_lossy(&output.stderr).lines().last().unwrap()).unwrap();
    assert_eq!((output.status.code(), error["exit_code"].as_i64()), (Some(4), Some(4)));
    assert!(error["error"].as_str().unwrap().contains("the budget of 0 tokens is spent"), "{error}");
    let (output, _) = place.eval(&model, "xstest", &["--budget-money", "1", "--runs", "elsewhere"]);
    assert_eq!(output.status.code(), Some(2), "money needs prices");
}
