//! A server of rewards: what it says is learned, and what it does not say, or not so that it can be read, is never made up.

use crate::support::{beside, fingerprint, model, prepared, spec, voice, weights};
use groma_align::{Error, History, METHODS, Method, Observer, Session, Settings, setup, train};
use groma_kernels::Cpu;
use groma_model::{Head, Spec, Transformer};
use groma_run::Digest;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// What a server does with a request: its number, and the completions.
type Answer = fn(usize, &[&str]) -> String;

/// Starts a server; its URL.
fn server(answer: Answer) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/get_reward", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let number = AtomicUsize::new(0);
        for stream in listener.incoming().flatten() {
            let _ = serve(&stream, |completions| answer(number.fetch_add(1, Ordering::Relaxed), completions));
        }
    });
    url
}

fn serve(mut stream: &TcpStream, answer: impl FnOnce(&[&str]) -> String) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut length) = (String::new(), 0);
    reader.read_line(&mut line)?;
    assert_eq!(line, "POST /get_reward HTTP/1.1\r\n");
    while line.trim() != "" {
        line.clear();
        reader.read_line(&mut line)?;
        let header = line.to_ascii_lowercase();
        length = header.strip_prefix("content-length:").map_or(length, |value| value.trim().parse().unwrap());
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let asked: Value = serde_json::from_slice(&body).unwrap();
    let texts = |name: &str| asked[name].as_array().unwrap().iter().map(|text| text.as_str().unwrap()).collect();
    let (completions, prompts, queries): (Vec<_>, Vec<_>, Vec<_>) =
        (texts("completions"), texts("prompts"), texts("query"));
    assert!(queries.iter().zip(prompts.iter().zip(&completions)).all(|(query, (a, b))| *query == [*a, *b].concat()));
    assert!(asked["labels"].as_array().unwrap().iter().all(Value::is_null));
    assert_eq!(asked["rows"][0]["prompt"], prompts[0]);
    stream.write_all(answer(&completions).as_bytes())
}

fn http(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn rewards(values: impl IntoIterator<Item = Value>) -> String {
    http("200 OK", &json!({ "rewards": values.into_iter().collect::<Value>() }).to_string())
}

/// 1 for a completion with an `a`.
fn honest(completions: &[&str]) -> String {
    rewards(completions.iter().map(|text| f64::from(u8::from(text.contains('a'))).into()))
}

/// More rewards than completions, however many of these are in a request.
fn one_too_many(_: usize, completions: &[&str]) -> String {
    rewards(completions.iter().map(|_| json!(1.0)).chain([json!(1.0)]))
}

/// Settings of a method that samples eight completions at once.
fn resolved(method: &str, given: &Value) -> Settings {
    let method = Method::find(method).unwrap();
    let mut all = json!({"boundary": "diverge", "max_steps": 2, "learning_rate": 1e-2, "logging_steps": 1,
        "max_completion_length": 8});
    if method.all_parameters().any(|parameter| parameter.name == "num_generations") {
        all["num_generations"] = json!(4);
    }
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    Settings::resolve(method, all.as_object().unwrap()).unwrap()
}

fn go(method: &str, given: &Value) -> Result<(History, Digest), Error> {
    let settings = resolved(method, given);
    let (rows, mut history) = (prepared(&settings), History::default());
    let mut model = setup(model(2), &settings).unwrap();
    let observers: Vec<&mut dyn Observer> = vec![&mut history];
    train(&mut model, Session { voice: Some(voice()), observers, ..Session::new(&settings, &rows) })?;
    Ok((history, fingerprint(&model)))
}

fn served(method: &str, url: &str, given: Value) -> Result<(History, Digest), Error> {
    let mut all = json!({"reward_funcs": ["endpoint"], "reward_url": url, "reward_url_retries": 0});
    all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
    go(method, &all)
}

#[test]
fn a_server_says_what_a_rule_says_and_what_is_learned_is_the_same_to_the_bit() {
    let (ruled, by_rule) = go("rloo", &json!({"reward_funcs": ["regex"], "regex_pattern": "a"})).unwrap();
    for batch in [32, 3] {
        let url = server(|_, completions| honest(completions));
        let (history, by_server) = served("rloo", &url, json!({"reward_url_batch": batch})).unwrap();
        assert_eq!(by_server, by_rule);
        let mean = |history: &History, rule: &str| history.logged[1].1[&format!("rewards/{rule}/mean")];
        assert_eq!(mean(&history, "endpoint"), mean(&ruled, "regex"));
        assert_eq!(history.logged[1].1["rewards/endpoint/unscored"], 0.0);
    }
}

#[test]
fn what_cannot_be_used_is_unscored_and_never_zero() {
    let misbehaviours: [Answer; 9] = [
        one_too_many,
        |_, _| http("200 OK", r#"{"rewards": [NaN, NaN, NaN, NaN, NaN, NaN, NaN, NaN]}"#),
        |_, all| rewards(all.iter().map(|text| json!(text))),
        |_, all| rewards(all.iter().map(|_| json!([1.0]))),
        |_, _| http("200 OK", &"x".repeat(9 << 20)),
        |_, _| http("302 Found\r\nLocation: http://192.0.2.1/", ""),
        |_, _| http("500 Oh", "no"),
        |_, _| "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{".to_owned(),
        |_, all| {
            std::thread::sleep(Duration::from_millis(600));
            honest(all)
        },
    ];
    for (which, misbehaviour) in misbehaviours.into_iter().enumerate() {
        let error = served("rloo", &server(misbehaviour), json!({"reward_url_timeout": 0.3})).unwrap_err().to_string();
        assert!(error.contains("rated nothing"), "{which}: {error}");
    }
    // Once it has answered, what it does not answer is counted, and the run goes on.
    let url = server(|number, all| {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        if ASKED.fetch_add(all.len(), Ordering::Relaxed) < 8 { honest(all) } else { one_too_many(number, all) }
    });
    let (history, _) = served("rloo", &url, json!({"max_steps": 3})).unwrap();
    let unscored: Vec<f64> = history.logged.iter().map(|(_, metrics)| metrics["rewards/endpoint/unscored"]).collect();
    assert_eq!(unscored, [0.0, 8.0, 8.0]);
    assert!(
        history.logged[1..].iter().all(|(_, metrics)| !metrics.contains_key("reward")),
        "a mean of nothing is none"
    );
}

#[test]
fn a_request_that_failed_is_repeated() {
    let url = server(|number, all| if number == 0 { http("200 OK", "[]") } else { honest(all) });
    let (history, digest) = served("rloo", &url, json!({"reward_url_retries": 1})).unwrap();
    assert_eq!(history.logged[0].1["rewards/endpoint/unscored"], 0.0);
    assert_eq!(digest, served("rloo", &server(|_, all| honest(all)), json!({})).unwrap().1);
}

/// Of completions without a reward nothing is learned, by any method; and they are left out of the others' mean.
#[test]
fn what_is_not_known_teaches_nothing() {
    for method in METHODS.iter().filter(|method| method.samples()) {
        let nothing = server(|_, all| rewards(all.iter().map(|_| Value::Null)));
        let (history, after) = served(method.id, &nothing, json!({})).unwrap();
        assert_eq!(history.logged[0].1["rewards/endpoint/unscored"], 8.0, "{}", method.id);
        assert!(history.logged.iter().all(|(_, metrics)| metrics.values().all(|value| value.is_finite())));
        let settings = resolved(method.id, &json!({"reward_funcs": ["length"], "length_target": 2}));
        assert_eq!(after, fingerprint(&setup(model(2), &settings).unwrap()), "{}", method.id);
    }
    let some = |_: usize, all: &[&str]| {
        static ASKED: AtomicUsize = AtomicUsize::new(0);
        let every_other = |_| ASKED.fetch_add(1, Ordering::Relaxed).is_multiple_of(2);
        rewards(all.iter().map(|text| if every_other(text) { json!(3.0) } else { Value::Null }))
    };
    let (history, _) = served("rloo", &server(some), json!({})).unwrap();
    let first = &history.logged[0].1;
    assert_eq!((first["rewards/endpoint/unscored"], first["rewards/endpoint/mean"], first["reward"]), (4.0, 3.0, 3.0));
}

/// A reward model whose scores are no numbers has scored nothing.
#[test]
fn what_is_no_number_is_counted_and_left_out() {
    let spec = Spec { outputs: vec![Head::SCORE], ..spec() };
    let mut broken = weights(&spec, 3);
    broken.get_mut("score.weight").unwrap().values.fill(f32::NAN);
    let broken = Transformer::new(spec, &broken, Arc::new(Cpu::new())).unwrap();
    let settings = resolved("rloo", &json!({"reward_model": "broken"}));
    let (rows, mut history) = (prepared(&settings), History::default());
    let mut policy = setup(model(2), &settings).unwrap();
    let before = fingerprint(&policy);
    let session = Session {
        seats: beside(&settings, &broken),
        voice: Some(voice()),
        observers: vec![&mut history],
        ..Session::new(&settings, &rows)
    };
    train(&mut policy, session).unwrap();
    let first = &history.logged[0].1;
    assert_eq!((first["rewards/broken/unscored"], first.get("rewards/broken/mean")), (8.0, None));
    assert_eq!(fingerprint(&policy), before);
}
