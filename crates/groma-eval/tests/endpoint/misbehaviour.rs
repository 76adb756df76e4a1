//! What servers do wrong, each way by a name.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde_json::{Value, json};

use crate::KEY;
use crate::server::{Request, Server, Wire};

/// The item that goes wrong for ever: the last one, which is asked about when others were answered.
pub(crate) const ITEM: usize = 5;
/// The origin of another server.
pub(crate) static ELSEWHERE: OnceLock<String> = OnceLock::new();

/// One way to answer badly, given the good answer.
#[derive(Clone, Copy)]
pub(crate) struct Misbehaviour {
    pub(crate) name: &'static str,
    answer: fn(&Value) -> Wire,
    /// Whether it is about scores rather than replies.
    pub(crate) scores: bool,
    /// Whether it goes wrong each time, for one item, or once for each question.
    forever: bool,
    /// Whether nothing shows but that time goes by.
    pub(crate) slow: bool,
}

const fn once(name: &'static str, answer: fn(&Value) -> Wire) -> Misbehaviour {
    Misbehaviour { name, answer, scores: false, forever: false, slow: false }
}

const fn scores(name: &'static str, answer: fn(&Value) -> Wire) -> Misbehaviour {
    Misbehaviour { scores: true, ..once(name, answer) }
}

const fn slow(name: &'static str, answer: fn(&Value) -> Wire) -> Misbehaviour {
    Misbehaviour { slow: true, ..once(name, answer) }
}

const fn forever(name: &'static str, answer: fn(&Value) -> Wire) -> Misbehaviour {
    Misbehaviour { forever: true, ..once(name, answer) }
}

/// A server that refuses the key, and says which.
pub(crate) const LOCKED: Misbehaviour = once("locked", locked);

fn locked(_: &Value) -> Wire {
    Wire::new(401, &[], format!(r#"{{"error": {{"message": "Incorrect API key provided: {KEY}."}}}}"#))
}

/// Those that a second attempt mends.
pub(crate) const ONCE: &[Misbehaviour] = &[
    once("429 with seconds", |_| Wire::new(429, &[("Retry-After", "7")], "{}")),
    once("429 with a date", |_| Wire::new(429, &[("Retry-After", "Thu, 01 Jan 1970 00:10:00 GMT")], "{}")),
    once("429 with milliseconds", |_| Wire::new(429, &[("retry-after-ms", "20")], r#"{"error": "slow down"}"#)),
    once("429 with nonsense", |_| Wire::new(429, &[("Retry-After", "-1e99")], "")),
    once("429 without a time", |_| {
        Wire::new(429, &[], r#"{"error": {"message": "rate limit", "code": "rate_limit"}}"#)
    }),
    once("500 with a page", |_| Wire::new(500, &[("Content-Type", "text/html")], "<html><b>Oops</b></html>")),
    once("502 in another tongue", |_| Wire::new(502, &[], r#"{"error": {"message": "Überlast \u0000 — 過負荷 🔥"}}"#)),
    once("503 without a word", |_| Wire::new(503, &[], "")),
    once("408", |_| Wire::new(408, &[], r#"{"detail": "timed out"}"#)),
    once("529", |_| Wire::new(529, &[], "overloaded")),
    once("an error in a good answer", |_| Wire::json(&json!({"error": {"message": "backend died"}}))),
    once("a status in a good answer", |_| Wire::json(&json!({"error": {"message": "busy", "code": 429}}))),
    once("cut stream", |good| {
        let body = good.to_string();
        Wire::with_length(200, &[], &body[..body.len() / 2], body.len())
    }),
    once("length too short", |good| Wire::with_length(200, &[], good.to_string(), good.to_string().len() / 2)),
    once("broken chunks", |_| raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{\"choices\"")),
    once("no HTTP", |_| raw("hello, who is there?\r\n\r\n")),
    once("hung up", |_| Wire(Vec::new())),
    once("hung up in the head", |_| raw("HTTP/1.1 200 OK\r\nContent-Le")),
    once("empty body", |_| Wire::new(200, &[], "")),
    once("garbage", |_| Wire::new(200, &[("Content-Type", "application/json")], "\u{1}\u{2}{{{:")),
    once("a page", |_| Wire::new(200, &[("Content-Type", "text/html")], "<!doctype html><p>Sign in</p>")),
    once("half of the JSON", |good| Wire::new(200, &[], &good.to_string()[..20])),
    once("deep nesting", |_| Wire::new(200, &[], "[".repeat(100_000))),
    once("bytes that are no text", |_| {
        Wire::new(200, &[], b"{\"choices\": [{\"message\": {\"content\": \"\xff\xfe\"}}]}")
    }),
    once("half a character", |_| {
        Wire::new(200, &[], r#"{"choices": [{"message": {"content": "\ud800"}, "finish_reason": "stop"}]}"#)
    }),
    once("a key twice", |_| {
        let said = r#"{"message": {"content": "a", "content": "b"}, "finish_reason": "stop"}"#;
        Wire::new(200, &[], format!(r#"{{"choices": [{said}]}}"#))
    }),
    once("no choices", |good| changed(good, |answer| answer["choices"] = json!([]))),
    once("a choice too many", |good| {
        changed(good, |answer| answer["choices"] = json!([answer["choices"][0], answer["choices"][0]]))
    }),
    once("choices missing", |good| changed(good, |answer| _ = answer.as_object_mut().unwrap().remove("choices"))),
    once("a strange number", |good| changed(good, |answer| answer["choices"][0]["index"] = json!(7))),
    once("a null for a text", |good| changed(good, |answer| answer["choices"][0]["message"]["content"] = Value::Null)),
    once("a number for a text", |good| changed(good, |answer| answer["choices"][0]["message"]["content"] = json!(3))),
    once("no message", |good| changed(good, |answer| answer["choices"][0]["message"] = Value::Null)),
    once("broken off", |good| changed(good, |answer| answer["choices"][0]["finish_reason"] = Value::Null)),
    once("aborted", |good| changed(good, |answer| answer["choices"][0]["finish_reason"] = json!("abort"))),
    slow("slow drip", |good| {
        let Wire(parts) = Wire::json(good);
        let drop = |byte: &u8| (vec![*byte], Duration::from_millis(40));
        Wire(parts[0].0.iter().map(drop).collect())
    }),
    slow("silence", |_| Wire(vec![(Vec::new(), Duration::from_millis(2500))])),
    scores("NaN", |good| {
        let text = good.to_string().replacen("\"token_logprobs\":[null,", "\"token_logprobs\":[null,NaN,", 1);
        Wire::new(200, &[], text)
    }),
    scores("a log-probability too few", |good| {
        changed(good, |answer| _ = logprobs(answer)["token_logprobs"].as_array_mut().unwrap().pop())
    }),
    scores("nulls for log-probabilities", |good| {
        changed(good, |answer| {
            let values = logprobs(answer)["token_logprobs"].as_array_mut().unwrap();
            values.iter_mut().for_each(|value| *value = Value::Null);
        })
    }),
    scores("a probability above 1", |good| {
        changed(good, |answer| {
            let values = logprobs(answer)["token_logprobs"].as_array_mut().unwrap();
            values.iter_mut().skip(1).for_each(|value| *value = json!(0.5));
        })
    }),
    scores("a huge number", |good| {
        Wire::new(
            200,
            &[],
            good.to_string().replacen("\"token_logprobs\":[null,", "\"token_logprobs\":[null,-1e999,", 1),
        )
    }),
];

/// Those that no attempt mends.
pub(crate) const FOREVER: &[Misbehaviour] = &[
    forever("400", |_| Wire::new(400, &[], r#"{"error": {"message": "context length exceeded"}}"#)),
    forever("401 in between", locked),
    forever("403 with a page", |_| Wire::new(403, &[], "<html>forbidden</html>")),
    forever("404", |_| Wire::new(404, &[], r#"{"error": {"message": "no such model"}}"#)),
    forever("413", |_| Wire::new(413, &[], "")),
    forever("418", |_| Wire::new(418, &[], "teapot")),
    forever("500 for ever", |_| Wire::new(500, &[], "{}")),
    forever("no money", |_| Wire::new(429, &[], r#"{"error": {"message": "quota", "code": "insufficient_quota"}}"#)),
    forever("a redirect to another host", |_| {
        let elsewhere = format!("{}/v1/chat/completions", ELSEWHERE.get().map_or("http://x", String::as_str));
        Wire::new(307, &[("Location", &elsewhere)], "")
    }),
    forever("a redirect to https", |_| Wire::new(308, &[("Location", "https://127.0.0.1/v1")], "")),
    forever("a redirect without the body", |_| Wire::new(302, &[("Location", "/v1/chat/completions")], "")),
    forever("a redirect to nowhere", |_| Wire::new(307, &[], "")),
    forever("a redirect in a circle", |_| Wire::new(307, &[("Location", "/v1/chat/completions")], "")),
    forever("a huge body", |_| Wire::new(200, &[], vec![b' '; 3 << 20])),
    forever("withheld", |good| changed(good, |answer| answer["choices"][0]["finish_reason"] = json!("content_filter"))),
    forever("never a text", |good| changed(good, |answer| answer["choices"][0]["message"]["content"] = Value::Null)),
    forever("the key in a status line", |_| Wire::new(400, &[], format!("{{\"message\": \"bad {KEY} here\"}}"))),
    Misbehaviour {
        scores: true,
        ..forever("no log-probabilities", |good| changed(good, |answer| answer["choices"][0]["logprobs"] = Value::Null))
    },
    Misbehaviour {
        scores: true,
        ..forever("no likeliest tokens", |good| changed(good, |answer| logprobs(answer)["top_logprobs"] = Value::Null))
    },
];

fn raw(bytes: &str) -> Wire {
    Wire(vec![(bytes.as_bytes().to_vec(), Duration::ZERO)])
}

fn changed(good: &Value, change: impl FnOnce(&mut Value)) -> Wire {
    let mut answer = good.clone();
    change(&mut answer);
    Wire::json(&answer)
}

fn logprobs(answer: &mut Value) -> &mut Value {
    &mut answer["choices"][0]["logprobs"]
}

/// An honest server, but for one thing.
pub(crate) fn server(
    misbehaviour: Option<Misbehaviour>,
    honest: impl Fn(&Request) -> Wire + Send + Sync + 'static,
) -> Server {
    let asked: Mutex<HashMap<String, usize>> = Mutex::default();
    Server::start(move |request| {
        let good = honest(request);
        let Some(Misbehaviour { answer, forever, name, .. }) = misbehaviour else { return good };
        let question = request.body.to_string();
        let is_first = {
            let mut asked = asked.lock().unwrap();
            let times = asked.entry(question.clone()).or_default();
            *times += 1;
            *times == 1
        };
        let goes_wrong = match forever {
            true => question.contains(&format!("Question {ITEM}")),
            false => is_first || name == LOCKED.name,
        };
        if !goes_wrong {
            return good;
        }
        let Wire(parts) = &good;
        let text = String::from_utf8_lossy(&parts[0].0).into_owned();
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        answer(&serde_json::from_str(body).unwrap())
    })
}
