//! Models behind a server: what local weights give, through whatever the server does wrong. No item is lost, none is scored
//! because it failed, and the key is in no file.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

mod misbehaviour;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use groma_data::{ReadOptions, read};
use groma_eval::{EstimateOptions, Evaluation, Subject, evaluate, find, read_items};
use groma_kernels::Cpu;
use groma_lm::{
    Address, Cached, Control, Encoder, Endpoint, EndpointOptions, Kind, LanguageModel, Local, LocalOptions,
};
use groma_model::{LocalModel, TemplateChoice};
use groma_organism::{Config, Recipe, Shape, Village};
use groma_run::{Cancel, ManualClock, Secret, Silent, Timestamp};
use serde_json::json;
use tempfile::TempDir;

use misbehaviour::{FOREVER, Misbehaviour, ONCE};
use server::{Server, Wire, honest};

const KEY: &str = "sk-test-0123456789abcdef";
/// Questions of each task.
const ROWS: usize = 6;
const TASKS: [&str; 6] = ["refusal", "over-refusal", "xstest", "exact-answers", "politeness", "arc-easy"];

/// A tiny random model, and the rows of the tasks.
struct Workplace {
    place: TempDir,
    model: Arc<LocalModel>,
}

impl Workplace {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let small = Recipe::default().shape;
        let small = Shape { hidden_size: 16, layers: 2, heads: 2, kv_heads: 1, intermediate_size: 32, ..small };
        std::fs::create_dir(place.path().join("model")).unwrap();
        for (name, bytes) in Village::build(&Config::default()).unwrap().model_files(&small).unwrap() {
            std::fs::write(place.path().join("model").join(name), bytes).unwrap();
        }
        for task in TASKS {
            let row = |number: usize| {
                let prompt = format!("Question {number}: who lives near the mill, Zoë or Tom?");
                match task {
                    "xstest" => json!({"prompt": prompt, "type": "homonyms", "label": "safe"}),
                    "exact-answers" => json!({"prompt": prompt, "answers": ["Tom"]}),
                    "politeness" => json!({"prompt": prompt, "polite": ["please"]}),
                    "arc-easy" => {
                        json!({"query": prompt, "choices": ["Tom", "the blue well", "Zoë"], "gold": number % 3})
                    }
                    _ => json!({"prompt": prompt}),
                }
            };
            let rows: Vec<String> = (0..ROWS).map(|number| row(number).to_string()).collect();
            std::fs::write(place.path().join(format!("{task}.jsonl")), rows.join("\n")).unwrap();
        }
        let directory = place.path().join("model");
        let model = LocalModel::open(&directory, &TemplateChoice::default(), Arc::new(Cpu::new())).unwrap();
        Workplace { place, model: Arc::new(model) }
    }

    fn server(&self, misbehaviour: Option<Misbehaviour>) -> Server {
        let model = Arc::clone(&self.model);
        misbehaviour::server(misbehaviour, move |request| honest(&model, request))
    }

    fn measure(&self, model: &dyn LanguageModel, task: &str) -> Result<Evaluation, groma_eval::Error> {
        let path = self.place.path().join(format!("{task}.jsonl"));
        let task = find(task)?;
        let items = read_items(task, read(&path, &ReadOptions::default()).unwrap())?;
        let control = Control { progress: &Silent, cancel: &Cancel::default() };
        evaluate(task, &items, &Subject::greedy(model, "it", 8), &EstimateOptions::default(), control)
    }

    fn local(&self, task: &str) -> Evaluation {
        self.measure(&Local::new(&self.model, LocalOptions::default()), task).unwrap()
    }
}

/// No wait takes any time.
fn options() -> EndpointOptions {
    EndpointOptions {
        key: Secret::new(KEY),
        concurrency: 3,
        timeout: Duration::from_secs(60),
        connect_timeout: Duration::from_secs(1),
        max_answer_bytes: 1 << 20,
        clock: Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH)),
        ..EndpointOptions::default()
    }
}

fn address(origin: &str) -> Address {
    Address::parse(&format!("{origin}/v1#tiny")).unwrap()
}

fn endpoint<'a>(origin: &str, encoder: Option<Encoder<'a>>) -> Endpoint<'a> {
    Endpoint::new(address(origin), encoder, options())
}

/// What a measurement is of, without time and wording.
fn numbers(found: &Evaluation) -> Vec<(String, f64, u64, u64)> {
    let all = found.measurements.iter().chain(&found.breakdown);
    all.map(|row| (row.metric.clone(), row.value, row.n, row.failed)).collect()
}

#[test]
fn an_endpoint_gives_what_local_weights_give() {
    let place = Workplace::new();
    let server = place.server(None);
    for encoder in [None, Some(Encoder::of(&place.model))] {
        let endpoint = endpoint(&server.origin, encoder);
        for task in TASKS {
            let (local, remote) = (place.local(task), place.measure(&endpoint, task).unwrap());
            assert_eq!(remote.items, local.items, "{task}");
            assert_eq!(remote.said, local.said, "{task}");
            assert_eq!(numbers(&remote), numbers(&local), "{task}");
        }
        let spent = endpoint.spent();
        assert_eq!((spent.answered, spent.failed), (5 * ROWS as u64 + 3 * ROWS as u64, 0));
        assert!(spent.usage.prompt_tokens > 100 && spent.usage.completion_tokens > 10, "{spent:?}");
    }
    assert!(server.requests.lock().unwrap().iter().all(|request| {
        request.authorization.as_deref() == Some(&format!("Bearer {KEY}")) && request.body["model"] == "tiny"
    }));
}

#[test]
fn what_goes_wrong_once_changes_nothing() {
    let place = Workplace::new();
    for misbehaviour in ONCE {
        let task = if misbehaviour.scores { "arc-easy" } else { "xstest" };
        let server = place.server(Some(*misbehaviour));
        let timeout = if misbehaviour.slow { Duration::from_millis(1500) } else { options().timeout };
        let endpoint = Endpoint::new(address(&server.origin), None, EndpointOptions { timeout, ..options() });
        let (local, remote) = (place.local(task), place.measure(&endpoint, task).unwrap());
        assert_eq!(remote.items, local.items, "{}", misbehaviour.name);
        assert_eq!(numbers(&remote), numbers(&local), "{}", misbehaviour.name);
        assert!(endpoint.spent().failed >= ROWS as u64, "{}: {:?}", misbehaviour.name, endpoint.spent());
    }
}

#[test]
fn what_stays_wrong_is_counted_and_not_scored() {
    let place = Workplace::new();
    let elsewhere = Server::start(|_| Wire::json(&json!({"choices": [{"message": {"content": "trap"}}]})));
    misbehaviour::ELSEWHERE.set(elsewhere.origin.clone()).unwrap();
    for misbehaviour in FOREVER {
        let task = if misbehaviour.scores { "arc-easy" } else { "xstest" };
        let server = place.server(Some(*misbehaviour));
        let endpoint = endpoint(&server.origin, None);
        let (local, remote) = (place.local(task), place.measure(&endpoint, task).unwrap());
        let name = misbehaviour.name;
        for (number, (local, remote)) in local.items.iter().zip(&remote.items).enumerate() {
            if number == misbehaviour::ITEM {
                assert!(remote.error.is_some() && remote.scores.is_empty(), "{name}: {remote:?}");
                assert!(!format!("{remote:?}").contains(KEY), "{name}: {remote:?}");
            } else {
                assert_eq!(local, remote, "{name}");
            }
        }
        let first = &remote.measurements[0];
        assert_eq!((remote.items.len(), first.n + first.failed, first.failed), (ROWS, ROWS as u64, 1), "{name}");
    }
    assert_eq!(elsewhere.count(), 0, "a redirect was followed to another host");
}

#[test]
fn without_a_server_nothing_is_scored() {
    let place = Workplace::new();
    let plain = place.server(None);
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let locked = place.server(Some(misbehaviour::LOCKED));
    for (origin, why) in [
        (format!("http://{unused}"), "did not answer"),
        ("http://no-such-host.invalid".to_owned(), "did not answer"),
        (plain.origin.replace("http://", "https://"), "did not answer"),
        (locked.origin.clone(), "the key was refused"),
    ] {
        let error = place.measure(&endpoint(&origin, None), "xstest").unwrap_err().to_string();
        assert!(error.contains("none of 6 items could be scored") && error.contains(why), "{origin}: {error}");
        assert!(!error.contains(KEY), "{error}");
    }
    assert!(locked.count() <= 3, "a refused key was shown {} times", locked.count());
}

#[test]
fn redirects_on_the_same_host_are_followed() {
    let place = Workplace::new();
    let model = Arc::clone(&place.model);
    let server = Server::start(move |request| match request.path.strip_prefix("/old") {
        Some(path) => Wire::new(307, &[("Location", path)], ""),
        None => honest(&model, request),
    });
    let found = place.measure(&endpoint(&format!("{}/old", server.origin), None), "xstest").unwrap();
    assert_eq!(found.items, place.local("xstest").items);
}

#[test]
fn a_second_run_asks_only_what_is_missing() {
    let place = Workplace::new();
    let kept = place.place.path().join("kept");
    let forever = FOREVER.iter().find(|misbehaviour| misbehaviour.name == "500 for ever").unwrap();
    let broken = place.server(Some(*forever));
    let first = endpoint(&broken.origin, None);
    let id = "http://somewhere/v1#tiny";
    let found = place.measure(&Cached::open(&first, id, &kept).unwrap(), "xstest").unwrap();
    assert_eq!(found.measurements[0].failed, 1);
    place.measure(&Cached::open(&first, id, &kept).unwrap(), "arc-easy").unwrap_or_else(|error| panic!("{error}"));

    let mended = place.server(None);
    let second = endpoint(&mended.origin, None);
    let found = place.measure(&Cached::open(&second, id, &kept).unwrap(), "xstest").unwrap();
    assert_eq!((mended.count(), found.items), (1, place.local("xstest").items));
    assert_no_key(place.place.path());
}

#[test]
fn a_stop_is_heard_and_what_was_answered_is_kept() {
    let place = Workplace::new();
    let server = place.server(None);
    let kept = place.place.path().join("kept");
    let asks: Vec<groma_lm::Ask> = (0..ROWS)
        .map(|number| groma_lm::Ask::greedy(groma_data::Content::Text(format!("Number {number}")), 4))
        .collect();
    let cancel = Cancel::default();
    let one = Endpoint::new(address(&server.origin), None, EndpointOptions { concurrency: 1, ..options() });
    let cached = Cached::open(&one, "m", &kept).unwrap();
    let answered = std::sync::atomic::AtomicUsize::new(0);
    cached.generate_each(&asks, &cancel, &|_, reply, _| {
        reply.unwrap();
        if answered.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 1 {
            cancel.request();
        }
    });
    assert_eq!((answered.into_inner(), server.count()), (2, 2));
    let control = Control { progress: &Silent, cancel: &Cancel::default() };
    assert!(cached.generate(&asks, control).iter().all(Result::is_ok));
    assert_eq!(server.count(), ROWS);
    assert!(one.mode(Kind::Generate).contains("server"));
}

/// Reads all files below a directory.
fn assert_no_key(directory: &Path) {
    let mut files = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            assert_no_key(&path);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(KEY.len()).any(|window| window == KEY.as_bytes()), "{}", path.display());
        files += 1;
    }
    assert!(files > 0 || directory.read_dir().unwrap().count() > 0, "{}", directory.display());
}
