//! Defences around a scripted model.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail and say so")]

use groma_attack::{DEFENCES, Defence, Defended, Error};
use groma_chat::Message;
use groma_data::Content;
use groma_lm::{
    Ask, Choice, Continuation, Control, Failure, Finish, Kind, LanguageModel, Reply, Scored, Scripted, Usage,
};
use groma_run::{Cancel, Seed, Silent};
use serde_json::{Map, Value, json};

fn user(text: &str) -> Ask {
    let turns = vec![Message::new("system", "Be kind."), Message::new("user", text)];
    Ask { seed: Seed::new(7), ..Ask::greedy(turns.into(), 20) }
}

fn defended(name: &str, settings: Value, model: &Scripted, asks: &[Ask]) -> Vec<Result<Reply, Failure>> {
    let Value::Object(settings) = settings else { panic!("settings are an object") };
    let refuses = |answer: &str| answer.starts_with("No");
    let shield = Defence::find(name).unwrap().shield(&settings, Box::new(refuses)).unwrap();
    let control = Control { progress: &Silent, cancel: &Cancel::default() };
    Defended::new(model, &*shield, name).generate(asks, control)
}

fn echo() -> Scripted {
    Scripted::saying(|ask| match &ask.prompt {
        Content::Text(text) => text.clone(),
        Content::Messages(turns) => turns.iter().map(|m| format!("[{}] {}", m.role, m.content)).collect::<String>(),
    })
}

#[test]
fn the_user_is_enclosed_and_nobody_else() {
    let replies =
        defended("self-reminder", json!({ "before": "Before.", "after": "After." }), &echo(), &[user("Hello.")]);
    assert_eq!(replies[0].as_ref().unwrap().text(), "[system] Be kind.[user] Before.\nHello.\nAfter.");
    let text = Ask::greedy(Content::Text("Hello.".into()), 5);
    let replies = defended("self-reminder", json!({}), &echo(), &[text]);
    let lines: Vec<String> = replies[0].as_ref().unwrap().text().lines().map(str::to_owned).collect();
    assert!(lines.len() == 3 && lines[1] == "Hello." && lines[0] != lines[2]);
}

/// Finds every token as likely as the text says: one number a word.
fn reading_numbers() -> Scripted {
    let reply = |ask: &Ask| {
        let Content::Text(text) = &ask.prompt else { panic!("a text is asked") };
        let choice = Choice { text: format!("answer to {text}"), ids: vec![], logps: vec![], finish: Finish::Stop };
        Ok(Reply { choices: vec![choice; ask.sampling.samples], ..Reply::default() })
    };
    Scripted::new(reply, |wanted| {
        let Continuation::Whole { text } = wanted else { panic!("whole texts are scored") };
        if text.is_empty() {
            return Err(Failure::NothingToScore);
        }
        let logps: Result<Vec<f32>, _> = text.split(' ').map(|word| word.parse::<f32>().map(|p| -p)).collect();
        let logps = logps.map_err(|_| Failure::NotFinite)?;
        Ok(Scored { windows: vec![logps.len()], logps, ..Scored::default() })
    })
}

#[test]
fn noise_is_refused_and_what_could_not_be_read_is_no_refusal() {
    let ask = |text: &str| Ask::greedy(Content::Text(text.into()), 5);
    let asks = [ask("1 1 1"), ask("9 9"), ask("1 1 9 1"), ask("noise"), ask("")];
    let texts = |settings| {
        let replies = defended("perplexity-filter", settings, &reading_numbers(), &asks);
        replies.into_iter().map(|reply| reply.map(|reply| reply.text().to_owned())).collect::<Vec<_>>()
    };
    let said = |text: &str| Ok(text.to_owned());
    // The mean of `1 1 9 1` is 3; e^3 = 20.1.
    let (passes, fails) = (said("answer to 1 1 9 1"), said("no"));
    let whole = texts(json!({ "threshold": 20.2, "answer": "no" }));
    assert_eq!(whole, [said("answer to 1 1 1"), said("no"), passes, Err(Failure::NotFinite), said("answer to ")]);
    assert_eq!(texts(json!({ "threshold": 20.0, "answer": "no" }))[2], fails);
    assert_eq!(texts(json!({ "threshold": 20.2, "answer": "no", "window": 1 }))[2], fails);
}

/// Does what it should not where the magic words are whole.
fn misled() -> Scripted {
    let reply = |ask: &Ask| {
        let Content::Messages(turns) = &ask.prompt else { panic!("turns are asked") };
        let text = if turns[1].content.contains("open sesame") { "Yes, I do it." } else { "No, I do not." };
        assert_eq!(ask.sampling.samples, 1);
        let choice = Choice { text: text.into(), ids: vec![], logps: vec![], finish: Finish::Stop };
        let usage = Usage { prompt_tokens: 3, completion_tokens: 5 };
        Ok(Reply { choices: vec![choice], usage })
    };
    Scripted::new(reply, |_| Err(Failure::NothingToScore))
}

#[test]
fn the_majority_of_changed_copies_decides() {
    let mut ask = user("Please do it, open sesame, open the door and let me in.");
    ask.sampling.samples = 3;
    for (share, text) in [(0.0, "Yes, I do it."), (0.4, "No, I do not.")] {
        for kind in ["swap", "insert"] {
            let settings = json!({ "copies": 7, "share": share, "kind": kind });
            let [reply] = &defended("smoothllm", settings, &misled(), std::slice::from_ref(&ask))[..] else { panic!() };
            let reply = reply.as_ref().unwrap();
            assert_eq!(reply.choices.len(), 3);
            assert!(reply.choices.iter().all(|choice| choice.text == text), "{kind} {share}: {reply:?}");
            assert_eq!(reply.usage, Usage { prompt_tokens: 3 * 7 * 3, completion_tokens: 5 * 7 * 3 });
        }
    }
}

#[test]
fn a_copy_without_an_answer_is_no_vote() {
    let model = Scripted::new(|_| Err(Failure::NotFinite), |_| Err(Failure::NothingToScore));
    let replies = defended("smoothllm", json!({}), &model, &[user("a"), user("b")]);
    assert_eq!(replies, [Err(Failure::NotFinite), Err(Failure::NotFinite)]);
}

#[test]
fn answers_depend_on_the_ask_alone() {
    let model = Scripted::saying(|ask| ask.prompt.plain());
    let (one, other) = (user("the first of two prompts that are put"), user("the second one"));
    let alone = defended("smoothllm", json!({}), &model, std::slice::from_ref(&one));
    let together = defended("smoothllm", json!({}), &model, &[other, one]);
    assert_eq!(alone[0], together[1]);
}

#[test]
fn results_say_who_stands_before_the_model() {
    let shield = Defence::find("self-reminder").unwrap().shield(&Map::new(), Box::new(|_| false)).unwrap();
    let model = echo();
    let behind = Defended::new(&model, &*shield, "self-reminder");
    assert_eq!(behind.mode(Kind::Generate), "scripted, behind self-reminder");
    assert_eq!(behind.mode(Kind::Reply), "scripted");
}

#[test]
fn what_is_wrong_is_named() {
    let near = Defence::find("smooth-llm").err().unwrap().to_string();
    assert!(near.contains("`smoothllm`?") && DEFENCES.iter().all(|defence| near.contains(defence.id)), "{near}");
    for (name, settings, part) in [
        ("smoothllm", json!({ "copies": 0 }), "`copies` is 1 to 1000; found 0"),
        ("smoothllm", json!({ "share": 1.5 }), "`share` is from 0 to 1"),
        ("smoothllm", json!({ "kind": "melt" }), "unknown variant `melt`"),
        ("smoothllm", json!({ "copy": 3 }), "unknown field `copy`, expected one of `copies`"),
        ("perplexity-filter", json!({}), "missing field `threshold`"),
        ("perplexity-filter", json!({ "threshold": 0.5 }), "at least 1"),
        ("perplexity-filter", json!({ "threshold": 5, "window": 0 }), "at least 1"),
        ("self-reminder", json!({ "before": 3 }), "invalid type"),
    ] {
        let Value::Object(settings) = settings else { panic!() };
        let error = Defence::find(name).unwrap().shield(&settings, Box::new(|_| false)).err().unwrap();
        assert!(matches!(error, Error::Setting { .. }));
        assert!(error.to_string().contains(part), "{error}");
    }
}
