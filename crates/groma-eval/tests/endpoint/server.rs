//! The smallest OpenAI-compatible server that is real: it answers with a model of this process, and badly where it is told.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use groma_data::{Content, Message};
use groma_lm::{Ask, Control, Finish, LanguageModel, Local, LocalOptions, SamplingParameters};
use groma_model::LocalModel;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::tokenizer::Specials;
use groma_run::{Cancel, Seed, Silent};
use serde_json::{Value, json};

/// What was asked.
pub(crate) struct Request {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

/// What is answered: bytes as they go over the wire, with pauses between them.
pub(crate) struct Wire(pub(crate) Vec<(Vec<u8>, Duration)>);

impl Wire {
    /// A whole answer.
    pub(crate) fn new(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let length = body.as_ref().len();
        Self::with_length(status, headers, body, length)
    }

    /// One that says that it has another length than it has.
    pub(crate) fn with_length(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>, length: usize) -> Self {
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!("HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
        Wire(vec![([head.as_bytes(), body.as_ref()].concat(), Duration::ZERO)])
    }

    pub(crate) fn json(body: &Value) -> Self {
        Self::new(200, &[("Content-Type", "application/json")], body.to_string())
    }
}

pub(crate) struct Server {
    /// `http://127.0.0.1:PORT`.
    pub(crate) origin: String,
    /// Paths, keys and bodies of all requests.
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    /// Answers by a function of the request.
    pub(crate) fn start(answer: impl Fn(&Request) -> Wire + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answer) = (Arc::clone(&requests), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || serve(stream, &seen, &*answer));
            }
        });
        Server { origin, requests }
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

fn serve(stream: TcpStream, seen: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Wire) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = HashMap::new();
    loop {
        line.clear();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = vec![0; headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let request = Request { path, authorization: headers.remove("authorization"), body };
    let Wire(parts) = answer(&request);
    seen.lock().unwrap().push(request);
    let mut stream = stream;
    for (bytes, pause) in parts {
        stream.write_all(&bytes).ok()?;
        std::thread::sleep(pause);
    }
    Some(())
}

/// Answers as a server of `model` does.
pub(crate) fn honest(model: &LocalModel, request: &Request) -> Wire {
    let body = &request.body;
    match request.path.as_str() {
        "/v1/chat/completions" | "/v1/completions" if body["echo"] != true => Wire::json(&generated(model, body)),
        "/v1/completions" => Wire::json(&echoed(model, body)),
        _ => Wire::new(404, &[], r#"{"error": {"message": "no such path"}}"#),
    }
}

fn generated(model: &LocalModel, body: &Value) -> Value {
    let prompt = match body["messages"].as_array() {
        Some(turns) => Content::from(turns.iter().map(message).collect::<Vec<_>>()),
        None => Content::Text(body["prompt"].as_str().unwrap().to_owned()),
    };
    let usual = SamplingParameters::default();
    let number = |name: &str, usual: f32| body[name].as_f64().map_or(usual, |value| value as f32);
    let texts =
        |value: &Value| value.as_array().into_iter().flatten().map(|s| s.as_str().unwrap().to_owned()).collect();
    let sampling = SamplingParameters {
        max_new_tokens: body["max_tokens"].as_u64().unwrap() as usize,
        temperature: number("temperature", 1.0),
        top_p: number("top_p", 1.0),
        stop_strings: texts(&body["stop"]),
        samples: body["n"].as_u64().unwrap_or(1) as usize,
        ..usual
    };
    let ask = Ask { prompt, sampling, seed: Seed::new(body["seed"].as_u64().unwrap_or(0)), logps: true };
    let control = Control { progress: &Silent, cancel: &Cancel::default() };
    let reply = Local::new(model, LocalOptions::default()).generate(&[ask], control).remove(0).unwrap();
    let choices: Vec<Value> = reply
        .choices
        .iter()
        .enumerate()
        .map(|(index, choice)| {
            let finish = if choice.finish == Finish::Length { "length" } else { "stop" };
            let content: Vec<Value> =
                choice.logps.iter().map(|logp| json!({"token": "", "logprob": f64::from(*logp)})).collect();
            match body["messages"].is_array() {
                true => json!({"index": index, "message": {"role": "assistant", "content": choice.text},
                    "logprobs": {"content": content}, "finish_reason": finish}),
                false => json!({"index": index, "text": choice.text, "finish_reason": finish,
                    "logprobs": {"tokens": [], "token_logprobs": choice.logps}}),
            }
        })
        .collect();
    json!({"object": "x", "choices": choices,
        "usage": {"prompt_tokens": reply.usage.prompt_tokens, "completion_tokens": reply.usage.completion_tokens}})
}

fn message(turn: &Value) -> Message {
    Message::new(turn["role"].as_str().unwrap(), turn["content"].as_str().unwrap())
}

/// A prompt's tokens with their log-probabilities, and one token more, as servers have it.
fn echoed(model: &LocalModel, body: &Value) -> Value {
    let (ids, offsets): (Vec<u32>, Vec<usize>) = match &body["prompt"] {
        Value::String(text) => {
            let encoded = model.tokenizer.encode_with_offsets(text, Specials::AsConfigured).unwrap();
            // A token begins where the one before it ends, as servers count.
            let mut end = 0;
            let offset = |range: &std::ops::Range<usize>| {
                let start = text[..end].chars().count();
                end = end.max(range.end);
                start
            };
            let offsets = encoded.offsets.iter().map(offset).collect();
            (encoded.ids, offsets)
        }
        ids => {
            let ids: Vec<u32> = ids.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
            let none = vec![0; ids.len()];
            (ids, none)
        }
    };
    let request = ScoreRequest { context: vec![], continuation: ids.clone() };
    let scored = score(&model.transformer, &[request], &ScoreOptions::default(), &mut |_| true).unwrap().remove(0);
    let single = |at: usize| ScoreRequest { context: ids[..at].to_vec(), continuation: vec![ids[at]] };
    let requests: Vec<ScoreRequest> = (1..ids.len()).map(single).collect();
    let each = score(&model.transformer, &requests, &ScoreOptions::default(), &mut |_| true).unwrap();
    let mut logps: Vec<Option<f64>> = vec![None];
    logps.extend(scored.logps.iter().map(|logp| Some(f64::from(*logp))));
    let mut top: Vec<Value> = vec![Value::Null];
    top.extend(each.iter().map(|one| {
        let logp = f64::from(one.logps[0]);
        if one.is_greedy { json!({"it": logp}) } else { json!({"it": logp, "another": logp / 2.0}) }
    }));
    let mut tokens: Vec<String> = ids.iter().map(|id| format!("<{id}>")).collect();
    let mut offsets = offsets;
    tokens.push("made".into());
    offsets.push(body["prompt"].as_str().map_or(0, |text| text.chars().count()));
    logps.push(Some(-0.5));
    top.push(json!({"made": -0.5}));
    json!({"choices": [{"text": "", "index": 0, "finish_reason": "length", "logprobs": {
        "tokens": tokens, "token_logprobs": logps, "top_logprobs": top, "text_offset": offsets}}],
        "usage": {"prompt_tokens": ids.len(), "completion_tokens": 1}})
}
