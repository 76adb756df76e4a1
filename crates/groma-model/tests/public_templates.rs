//! Tokens and masks of public chat templates, against transformers.
//!
//! `fixtures/chat/tokens.json` (made by `scripts/make_chat_token_fixtures.py`) has digests of the tokens that transformers makes
//! of the conversations in `fixtures/chat/rendered.json`, and where its masks of answers begin and end. The templates are not
//! part of the project: `GROMA_CHAT_TEMPLATES` names the directory that `scripts/fetch_chat_templates.sh` prints; without it,
//! the directory in which that script puts them is looked at.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may fail and say so")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use groma_chat::{Message, Options, Template};
use groma_model::Tokenizer;
use groma_model::tokenizer::{Boundary, ContentTokens, Specials, TokenOptions, TokenizedChat};
use serde_json::{Map, Value};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Conversations in which a message spells control tokens, which transformers takes for such; here they stay text, so that
/// nobody who writes a message can end a turn.
const SPELLS_CONTROLS: [&str; 3] = ["control tokens in text", "reasoning", "reasoning before a question"];

fn json(path: &str) -> Value {
    serde_json::from_slice(&std::fs::read(Path::new(ROOT).join(path)).unwrap()).unwrap()
}

fn sources() -> BTreeMap<String, String> {
    let default = Path::new(ROOT).join("target/chat-templates/trl-1.16.0/trl/chat_templates");
    let directory = std::env::var_os("GROMA_CHAT_TEMPLATES").map_or(default, PathBuf::from);
    let mut sources = BTreeMap::new();
    match std::fs::read_dir(&directory) {
        Ok(files) => {
            for path in
                files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "jinja"))
            {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                sources.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
        Err(_) => println!("SKIPPED: the templates of TRL are not there; run scripts/fetch_chat_templates.sh"),
    }
    match std::fs::read(Path::new(ROOT).join("../shared/tokenizers/qwen2.5/tokenizer_config.json")) {
        Ok(bytes) => {
            let config: Value = serde_json::from_slice(&bytes).unwrap();
            sources.insert("qwen2.5".into(), config["chat_template"].as_str().unwrap().to_owned());
        }
        Err(_) => println!("SKIPPED: ../shared/tokenizers/qwen2.5 is not there"),
    }
    sources
}

/// FNV-1a of 64 bits over numbers of four bytes, the first byte the lowest.
fn digest(numbers: &[u32]) -> String {
    let fold = |value: u64, byte: u8| (value ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    format!("{:016x}", numbers.iter().flat_map(|number| number.to_le_bytes()).fold(0xcbf2_9ce4_8422_2325, fold))
}

fn changes(mask: &[bool]) -> Vec<usize> {
    (0..mask.len()).filter(|&at| mask[at] != (at > 0 && mask[at - 1])).collect()
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

struct Case {
    messages: Vec<Message>,
    options: Options,
}

fn cases() -> BTreeMap<String, Case> {
    let list = |value: &Value| value.as_array().cloned();
    let case = |(title, case): (&String, &Value)| {
        let messages = case["messages"].as_array().unwrap().iter().map(|turn| message(turn.as_object().unwrap()));
        let options = Options {
            add_generation_prompt: case["add_generation_prompt"].as_bool().unwrap_or(false),
            tools: list(&case["tools"]),
            documents: list(&case["documents"]),
            variables: case["variables"].as_object().cloned().unwrap_or_default(),
            ..Options::default()
        };
        (title.clone(), Case { messages: messages.collect(), options })
    };
    json("fixtures/chat/rendered.json")["conversations"].as_object().unwrap().iter().map(case).collect()
}

fn tokenizer(fixture: &Value) -> Tokenizer {
    let files = [("tokenizer.json", "tokenizer"), ("tokenizer_config.json", "tokenizer_config")];
    let file = |(name, field): (&str, &str)| (name.to_owned(), fixture[field].to_string().into_bytes());
    Tokenizer::from_files(files.map(file).into()).unwrap()
}

fn options(case: &Case, content: ContentTokens) -> TokenOptions {
    TokenOptions { template: case.options.clone(), content, boundary: Boundary::Separate, ensure_bos: false }
}

#[test]
fn tokens_and_masks_are_those_of_transformers() {
    let fixture = json("fixtures/chat/tokens.json");
    let now: jiff::civil::DateTime =
        serde_json::from_value(json("fixtures/chat/rendered.json")["now"].clone()).unwrap();
    let (tokenizer, cases) = (tokenizer(&fixture), cases());
    let sources = sources();
    let (mut wrong, mut separated, mut controls) = (Vec::new(), Vec::new(), 0);
    let (mut same, mut masks, mut refused) = (0, 0, 0);
    for (name, source) in &sources {
        let template = Template::new(source.as_str()).unwrap().pinned(now);
        for (title, expected) in fixture["templates"][name].as_object().unwrap() {
            let (case, place) = (&cases[title], format!("{name} / {title}"));
            let run = |content| tokenizer.any_conversation(&template, &case.messages, &options(case, content));
            let chat: TokenizedChat = match (run(ContentTokens::Control), expected["error"].as_str()) {
                (Ok(chat), None) => chat,
                (Err(_), Some(_)) => {
                    refused += 1;
                    continue;
                }
                (Ok(_), Some(error)) => {
                    wrong.push(format!("{place}: in tokens, transformers has {error}"));
                    continue;
                }
                (Err(error), None) => {
                    wrong.push(format!("{place}: {error}"));
                    continue;
                }
            };
            let free = tokenizer.encode(&chat.text, Specials::None).unwrap();
            if Some(digest(&free).as_str()) != expected["ids"].as_str() {
                wrong.push(format!("{place}: {} tokens, transformers has {}", free.len(), expected["count"]));
                continue;
            }
            same += 1;
            // In training no token passes the border of an answer.
            if chat.separated {
                separated.push(place);
                continue;
            }
            assert_eq!(chat.ids, free, "{place}");
            if template.has_generation_marks() {
                let expected: Vec<usize> = serde_json::from_value(expected["learned"].clone()).unwrap();
                if changes(&chat.assistant_mask) != expected {
                    wrong.push(format!(
                        "{place}: learned {:?}, transformers {expected:?}",
                        changes(&chat.assistant_mask)
                    ));
                }
                masks += 1;
            }
            let plain = run(ContentTokens::Plain).unwrap();
            if plain.ids != chat.ids {
                assert!(SPELLS_CONTROLS.contains(&title.as_str()), "{place}");
                controls += 1;
            }
        }
    }
    println!(
        "{} templates: {same} conversations of the same tokens, {masks} masks compared, {refused} refused by both; \
         in {} a token would pass the border of an answer; in {controls} messages spell control tokens",
        sources.len(),
        separated.len()
    );
    println!("{}", separated.join("\n"));
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

/// Tokens that TRL's training versions of the templates mark, and that are not learned here: white space after the token that
/// ends a turn, and what the prompt of an answer has already, which no model has to say.
const GIVEN: [&str; 8] =
    ["<|start|>", "assistant", "<think>", "</think>", "<|tool_response>", "<|turn>", "model", "\n"];

/// Templates whose training version marks other answers: GLM's answers begin with a line break that its prompt does not have,
/// and the next speaker's token ends them; after a call of tools, Gemma's prompt of an answer opens their result.
const OTHERWISE: [&str; 2] = ["glm4moe.jinja", "diffusion_gemma.jinja"];

/// Answers that are found by rendering what comes before them are those that TRL marked in its training version of the same
/// template, wherever both render the same text.
#[test]
fn unmarked_templates_have_the_masks_of_their_training_versions() {
    let fixture = json("fixtures/chat/tokens.json");
    let (tokenizer, cases, sources) = (tokenizer(&fixture), cases(), sources());
    let (mut wrong, mut compared, mut refused) = (Vec::new(), 0, 0);
    for (name, source) in &sources {
        let Some(marked) = sources.get(&name.replace(".jinja", "_training.jinja")) else { continue };
        let templates = [source, marked].map(|source| Template::new(source.as_str()).unwrap());
        if templates[0].has_generation_marks() || !templates[1].has_generation_marks() {
            continue;
        }
        for title in fixture["templates"][name].as_object().unwrap().keys() {
            let case = &cases[title];
            let run = |template| tokenizer.conversation(template, &case.messages, &options(case, ContentTokens::Plain));
            let [ours, theirs] = templates.each_ref().map(run);
            let (Ok(ours), Ok(theirs)) = (ours, theirs) else {
                refused += 1;
                continue;
            };
            if ours.text != theirs.text || ours.ids != theirs.ids {
                continue;
            }
            compared += 1;
            let text = |at: usize| ours.text[ours.offsets[at].clone()].to_owned();
            let only = |mask: &[bool], other: &[bool]| -> Vec<String> {
                (0..mask.len()).filter(|&at| mask[at] && !other[at]).map(text).collect()
            };
            let here = only(&ours.assistant_mask, &theirs.assistant_mask);
            let there = only(&theirs.assistant_mask, &ours.assistant_mask);
            let rest = GIVEN.iter().fold(there.concat(), |rest, given| rest.replace(given, ""));
            let explained = here.is_empty() && rest.trim().is_empty();
            if !explained && !OTHERWISE.contains(&name.as_str()) {
                wrong.push(format!("{name} / {title}: learned here {here:?}, marked there {there:?}"));
            }
        }
    }
    println!("{compared} conversations compared with the marks of training templates, {refused} refused");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
