//! Chat templates of real checkpoints, rendered as transformers renders them.
//!
//! `fixtures/chat/rendered.json` (made by `scripts/make_chat_fixtures.py`) has digests of what transformers renders. The
//! templates are not part of the project: `GROMA_CHAT_TEMPLATES` names the directory that `scripts/fetch_chat_templates.sh`
//! prints; without it, the directory in which that script puts them is looked at.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may fail and say so")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use groma_chat::{Message, Options, Template, TemplateError};
use serde::Deserialize;
use serde_json::{Map, Value};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

#[derive(Deserialize)]
struct Fixture {
    now: jiff::civil::DateTime,
    tokens: Map<String, Value>,
    conversations: BTreeMap<String, Conversation>,
    templates: BTreeMap<String, Reference>,
}

#[derive(Deserialize)]
struct Conversation {
    messages: Vec<Map<String, Value>>,
    tools: Option<Vec<Value>>,
    documents: Option<Vec<Value>>,
    #[serde(default)]
    add_generation_prompt: bool,
    #[serde(default)]
    variables: Map<String, Value>,
}

#[derive(Deserialize)]
struct Reference {
    sha256: String,
    outcomes: BTreeMap<String, Outcome>,
}

#[derive(Deserialize)]
struct Outcome {
    sha256: Option<String>,
    bytes: Option<usize>,
    error: Option<String>,
    #[serde(default)]
    assistant: Vec<[usize; 2]>,
}

fn fixture() -> Fixture {
    let path = Path::new(ROOT).join("fixtures/chat/rendered.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn templates() -> Option<PathBuf> {
    let default = Path::new(ROOT).join("target/chat-templates/trl-1.16.0/trl/chat_templates");
    let given = std::env::var_os("GROMA_CHAT_TEMPLATES").map_or(default, PathBuf::from);
    given.is_dir().then_some(given)
}

/// SHA-256 of texts, by the system's tool; the library itself has no need of it.
fn sha256(texts: &[(String, String)]) -> BTreeMap<String, String> {
    let directory = tempfile::tempdir().unwrap();
    for (place, (_, text)) in texts.iter().enumerate() {
        std::fs::write(directory.path().join(place.to_string()), text).unwrap();
    }
    let names: Vec<String> = (0..texts.len()).map(|place| place.to_string()).collect();
    let output = Command::new("sha256sum").args(&names).current_dir(directory.path()).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().zip(texts).map(|(line, (name, _))| (name.clone(), line[..64].to_owned())).collect()
}

fn message(fields: &Map<String, Value>) -> Message {
    let mut message = Message::new(fields["role"].as_str().unwrap(), "");
    message.extra = fields.clone();
    message.extra.remove("role");
    if let Some(text) = fields["content"].as_str() {
        message.content = text.to_owned();
        message.extra.remove("content");
    }
    message
}

fn options(fixture: &Fixture, conversation: &Conversation) -> Options {
    let mut variables = fixture.tokens.clone();
    variables.extend(conversation.variables.clone());
    Options {
        add_generation_prompt: conversation.add_generation_prompt,
        tools: conversation.tools.clone(),
        documents: conversation.documents.clone(),
        variables,
        ..Options::default()
    }
}

/// Sources of the templates that are there, by name.
fn sources(fixture: &Fixture) -> BTreeMap<String, String> {
    let mut sources = BTreeMap::new();
    match templates() {
        Some(directory) => {
            for name in fixture.templates.keys() {
                if let Ok(text) = std::fs::read_to_string(directory.join(name)) {
                    sources.insert(name.clone(), text);
                }
            }
        }
        None => println!("SKIPPED: the templates of TRL are not there; run scripts/fetch_chat_templates.sh"),
    }
    let qwen = Path::new(ROOT).join("../shared/tokenizers/qwen2.5/tokenizer_config.json");
    match std::fs::read(qwen) {
        Ok(bytes) => {
            let config: Value = serde_json::from_slice(&bytes).unwrap();
            sources.insert("qwen2.5".into(), config["chat_template"].as_str().unwrap().to_owned());
        }
        Err(_) => println!("SKIPPED: ../shared/tokenizers/qwen2.5 is not there"),
    }
    sources
}

#[test]
fn real_templates_render_as_in_transformers() {
    let fixture = fixture();
    let sources = sources(&fixture);
    let digests = sha256(&sources.iter().map(|(name, text)| (name.clone(), text.clone())).collect::<Vec<_>>());
    let mut wrong = Vec::new();
    let mut rendered = Vec::new();
    for (name, source) in &sources {
        let reference = &fixture.templates[name];
        assert_eq!(digests[name], reference.sha256, "{name} is not the template of the fixture");
        let template = match Template::new(source.as_str()) {
            Ok(template) => template.pinned(fixture.now),
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        for (title, outcome) in &reference.outcomes {
            let conversation = &fixture.conversations[title];
            let messages: Vec<Message> = conversation.messages.iter().map(message).collect();
            let place = format!("{name} / {title}");
            match (template.render(&messages, &options(&fixture, conversation)), &outcome.error) {
                (Ok(ours), None) => {
                    let assistant: Vec<[usize; 2]> =
                        ours.assistant.iter().map(|range| [range.start, range.end]).collect();
                    if assistant != outcome.assistant {
                        wrong.push(format!("{place}: answers at {assistant:?}, not {:?}", outcome.assistant));
                    }
                    if Some(ours.text.len()) != outcome.bytes {
                        wrong.push(format!("{place}: {} bytes, not {:?}", ours.text.len(), outcome.bytes));
                    }
                    rendered.push((place, ours.text));
                }
                (Err(_), Some(_)) => {}
                (Ok(_), Some(error)) => wrong.push(format!("{place}: rendered, transformers has {error}")),
                (Err(error), None) => wrong.push(format!("{place}: {error}")),
            }
        }
    }
    let digests = sha256(&rendered);
    for (place, _) in &rendered {
        let (name, title) = place.split_once(" / ").unwrap();
        let expected = fixture.templates[name].outcomes[title].sha256.as_deref().unwrap();
        if !digests[place].starts_with(expected) {
            wrong.push(format!("{place}: another text"));
        }
    }
    println!("{} templates, {} renderings compared", sources.len(), rendered.len());
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn long_conversations_stay_within_the_limits() {
    let fixture = fixture();
    let text = "A line of ordinary length that says something, and then some more.\n".repeat(8);
    let messages: Vec<Message> =
        (0..150).map(|at| Message::new(["user", "assistant"][at % 2], format!("{at} {text}"))).collect();
    let conversation = &fixture.conversations["tools"];
    let sources = sources(&fixture);
    let mut whole = 0;
    for (name, source) in &sources {
        let template = Template::new(source.as_str()).unwrap();
        match template.render(&messages, &options(&fixture, conversation)) {
            // Some templates leave text out that does not come in parts.
            Ok(rendered) => whole += usize::from(rendered.text.len() > 70 * text.len()),
            // Some refuse it, and transformers fails on it as well.
            Err(error) => assert!(!matches!(error, TemplateError::Limit { .. }), "{name}: {error}"),
        }
    }
    assert!(whole * 4 >= sources.len() * 3, "{whole} of {}", sources.len());
}
