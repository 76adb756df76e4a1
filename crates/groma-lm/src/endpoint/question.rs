//! What a server is sent.

use groma_data::Content;
use groma_model::sampling::SamplingParameters;
use serde_json::{Map, Value, json};

use super::address::{Address, Api};
use crate::{Ask, Failure};

/// Bits of a seed that every server takes.
const SEED_BITS: u32 = 31;

/// The path and the body that ask for a reply.
pub(super) fn generate(address: &Address, ask: &Ask) -> Result<(&'static str, Value), Failure> {
    let mut body = Map::new();
    body.insert("model".into(), address.model().into());
    let path = match &ask.prompt {
        Content::Messages(messages) if address.api != Api::Completions => {
            body.insert("messages".into(), json!(messages.messages));
            if let Some(tools) = &messages.tools {
                body.insert("tools".into(), json!(tools));
            }
            if !messages.variables.is_empty() {
                body.insert("chat_template_kwargs".into(), json!(messages.variables));
            }
            if ask.logps {
                body.insert("logprobs".into(), true.into());
            }
            "chat/completions"
        }
        Content::Text(text) if address.api != Api::Chat => {
            body.insert("prompt".into(), text.as_str().into());
            if ask.logps {
                body.insert("logprobs".into(), 0.into());
            }
            "completions"
        }
        Content::Messages(_) => return Err(not_offered("conversations")),
        Content::Text(_) => return Err(not_offered("plain texts")),
    };
    let limit = if address.authority() == "api.openai.com" { "max_completion_tokens" } else { "max_tokens" };
    body.insert(if path == "completions" { "max_tokens" } else { limit }.into(), ask.sampling.max_new_tokens.into());
    sampling(&mut body, ask)?;
    Ok((path, Value::Object(body)))
}

/// The same, of a reply that is to come piece by piece where the server can do so.
pub(super) fn streamed(address: &Address, ask: &Ask) -> Result<(&'static str, Value), Failure> {
    let (path, mut body) = generate(address, ask)?;
    body["stream"] = true.into();
    body["stream_options"] = json!({ "include_usage": true });
    Ok((path, body))
}

/// Those that OpenAI knows, and of those that other servers know what is not as usual.
fn sampling(body: &mut Map<String, Value>, ask: &Ask) -> Result<(), Failure> {
    let SamplingParameters { temperature, top_k, top_p, min_p, repetition_penalty, samples, .. } = ask.sampling;
    let usual = SamplingParameters::default();
    let mut set = |name: &str, value: Value| body.insert(name.to_owned(), value);
    set("temperature", number(temperature));
    if temperature > 0.0 {
        set("seed", (ask.seed.bits() >> (u64::BITS - SEED_BITS)).into());
    }
    if samples != usual.samples {
        set("n", samples.into());
    }
    if !ask.sampling.stop_strings.is_empty() {
        set("stop", json!(ask.sampling.stop_strings));
    }
    if top_k != usual.top_k {
        set("top_k", top_k.into());
    }
    let fractions = [
        ("top_p", top_p, usual.top_p),
        ("min_p", min_p, usual.min_p),
        ("repetition_penalty", repetition_penalty, usual.repetition_penalty),
    ];
    for (name, value, _) in fractions.into_iter().filter(|(_, value, usual)| value != usual) {
        set(name, number(value));
    }
    if ask.sampling.stop_ids.is_empty() { Ok(()) } else { Err(not_offered("stop tokens given as ids")) }
}

/// An f32 as people wrote it: 0.7, not 0.699999988.
fn number(value: f32) -> Value {
    value.to_string().parse::<f64>().map_or(Value::Null, Value::from)
}

/// The body that asks for the log-probabilities of a prompt's own tokens. One token is made, as some servers refuse none.
pub(super) fn score(address: &Address, prompt: &Value) -> Result<Value, Failure> {
    if address.api == Api::Chat {
        return Err(not_offered("log-probabilities of given texts"));
    }
    let model = address.model();
    Ok(json!({
        "model": model, "prompt": prompt, "max_tokens": 1, "temperature": 0.0, "echo": true, "logprobs": 1
    }))
}

fn not_offered(what: &str) -> Failure {
    Failure::Refused { reason: format!("this part of the server takes no {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use groma_data::Message;
    use groma_run::Seed;

    #[test]
    fn only_what_is_not_as_usual_is_said() {
        let both = Address::parse("http://h/v1#m").unwrap();
        let hello = Content::from(vec![Message::new("user", "hello")]);
        let ask = Ask::greedy(hello, 12);
        let (path, body) = generate(&both, &ask).unwrap();
        let expected = json!({"model": "m", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 12, "temperature": 0.0});
        assert_eq!((path, body), ("chat/completions", expected));
        let sampling = SamplingParameters {
            temperature: 0.7,
            top_k: 5,
            samples: 2,
            stop_strings: vec!["\n".into()],
            ..ask.sampling.clone()
        };
        let ask = Ask { prompt: Content::Text("Once".into()), sampling, seed: Seed::new(1), logps: true };
        let (path, body) = generate(&both, &ask).unwrap();
        assert_eq!(path, "completions");
        assert_eq!((&body["temperature"], &body["top_k"], &body["n"]), (&json!(0.7), &json!(5), &json!(2)));
        assert!(body["seed"].as_u64().unwrap() < 1 << 31 && body.get("min_p").is_none());
        let chat = Address::parse("http://h/v1/chat/completions#m").unwrap();
        assert!(generate(&chat, &ask).is_err() && score(&chat, &json!("x")).is_err());
        let openai = Address::parse("https://api.openai.com/v1#m").unwrap();
        let ask = Ask::greedy(Content::from(vec![]), 12);
        assert_eq!(generate(&openai, &ask).unwrap().1["max_completion_tokens"], 12);
    }
}
