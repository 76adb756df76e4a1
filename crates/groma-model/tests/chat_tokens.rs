//! Conversations as tokens: the answers, and nothing else, are told apart.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may fail and say so")]

use std::path::{Path, PathBuf};

use groma_chat::{BUILT_IN, Message, Options, Template, TemplateError};
use groma_model::tokenizer::{Boundary, ContentTokens, SpecialTokens, Specials, TokenOptions, train_bpe};
use groma_model::{ChatTemplate, Error, Tokenizer};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

const CONTROLS: [&str; 8] =
    ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<pad>"];

/// A small tokenizer that has the control tokens of the built-in templates.
fn tokenizer() -> Tokenizer {
    let texts: Vec<String> = (0..200)
        .map(|n| {
            format!(
                "User: what is {n} times {}?\nBot: the answer is {}. Human: hello Assistant: hello there",
                n + 1,
                n * n
            )
        })
        .collect();
    let special = SpecialTokens { all: CONTROLS.to_vec(), bos: Some("<s>"), eos: Some("</s>"), pad: Some("<pad>") };
    train_bpe(&texts, 400, &special).unwrap()
}

fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path);
    if !path.exists() {
        println!("SKIPPED: {} is not there", path.display());
    }
    path.exists().then_some(path)
}

/// Text of all kinds: words, other alphabets, white space, what looks like a template or a control token.
fn content() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => "[a-zA-Z0-9 ,.?!]{0,12}",
        1 => "\\PC{0,6}",
        1 => "[ \n\t]{0,3}",
        1 => prop::sample::select(CONTROLS.to_vec()).prop_map(str::to_owned),
        1 => prop::sample::select(vec!["🙂", "日本", "é", "\u{f0000}", "{{ x }}", "{% endgeneration %}", "### Response:\n", "\nUser:"])
            .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

/// System text or none, then user and assistant in turn.
fn conversation() -> impl Strategy<Value = Vec<Message>> {
    let turns = prop::collection::vec((content(), content()), 1..4);
    (prop::option::of(content()), turns, any::<bool>()).prop_map(|(system, turns, answered)| {
        let mut messages: Vec<Message> = system.map(|text| Message::new("system", text)).into_iter().collect();
        for (question, answer) in turns {
            messages.push(Message::new("user", question));
            messages.push(Message::new("assistant", answer));
        }
        if !answered {
            messages.pop();
        }
        messages
    })
}

/// What the mask must cover, by the form of each template: text before and after what is said.
fn answer_of(id: &str, content: &str) -> String {
    match id {
        "chatml" => format!("{content}<|im_end|>"),
        "llama2" => format!(" {content} </s>"),
        "llama3" => {
            format!("{}<|eot_id|>", content.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)))
        }
        "user-bot" | "human-assistant" => format!(" {content}</s>"),
        _ => format!("{content}</s>"),
    }
}

fn options() -> TokenOptions {
    TokenOptions { boundary: Boundary::Separate, ..TokenOptions::default() }
}

/// Texts of the runs of masked tokens, by their bytes.
fn masked(text: &str, offsets: &[std::ops::Range<usize>], mask: &[bool]) -> Vec<String> {
    let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
    let mut open = false;
    for (offset, masked) in offsets.iter().zip(mask) {
        match (masked, open) {
            (true, true) => runs.last_mut().unwrap().end = offset.end,
            (true, false) => runs.push(offset.clone()),
            _ => {}
        }
        open = *masked;
    }
    runs.into_iter().map(|run| text[run].to_owned()).collect()
}

#[test]
fn masks_of_built_in_templates_cover_exactly_the_answers() {
    let tokenizer = tokenizer();
    for built_in in BUILT_IN {
        let template = Template::built_in(built_in.id).unwrap();
        assert!(template.has_generation_marks());
        let mut runner = TestRunner::new(Config { cases: 2000, failure_persistence: None, ..Config::default() });
        let check = |messages: Vec<Message>| {
            let chat = tokenizer.conversation(&template, &messages, &options()).unwrap();
            let answers = messages.iter().filter(|message| message.is_assistant());
            let expected: Vec<String> = answers.map(|message| answer_of(built_in.id, &message.content)).collect();
            prop_assert_eq!(masked(&chat.text, &chat.offsets, &chat.assistant_mask), expected);
            // The tokens are the text, and those of the template alone are control tokens.
            prop_assert_eq!(tokenizer.decode(&chat.ids, false).unwrap(), chat.text.as_str());
            let plain: Vec<Message> = messages.iter().map(|message| Message::new(&*message.role, "x")).collect();
            let skeleton = tokenizer.conversation(&template, &plain, &options()).unwrap();
            let controls = |ids: &[u32]| ids.iter().filter(|id| tokenizer.is_control(**id)).count();
            prop_assert_eq!(controls(&chat.ids), controls(&skeleton.ids));
            Ok(())
        };
        if let Err(error) = runner.run(&conversation(), check) {
            panic!("{}: {error}", built_in.id);
        }
    }
}

/// What is encoded by what differs has the tokens of the whole, whatever is written in which place, and in every template.
#[test]
fn variants_of_a_conversation_have_the_tokens_of_the_whole() {
    let tokenizer = tokenizer();
    for built_in in BUILT_IN {
        let template = Template::built_in(built_in.id).unwrap();
        let mut runner = TestRunner::new(Config { cases: 500, failure_persistence: None, ..Config::default() });
        let suffixes = prop::collection::vec(content(), 1..6);
        let options = TokenOptions { ensure_bos: true, ..options() };
        let options =
            TokenOptions { template: Options { add_generation_prompt: true, ..options.template.clone() }, ..options };
        let check = |(mut messages, suffixes): (Vec<Message>, Vec<String>)| {
            if messages.last().is_some_and(Message::is_assistant) {
                messages.pop();
            }
            let variants = tokenizer.variants(&template, &messages, &options).unwrap();
            for suffix in suffixes {
                let mut other = messages.clone();
                let last = other.last_mut().unwrap();
                last.content = format!("{}{suffix}", last.content);
                let whole = tokenizer.any_conversation(&template, &other, &options).unwrap();
                prop_assert_eq!(variants.ids(&other).unwrap(), whole.ids);
            }
            Ok(())
        };
        let conversations = (conversation(), suffixes);
        if let Err(error) = runner.run(&conversations, check) {
            panic!("{}: {error}", built_in.id);
        }
    }
}

#[test]
fn every_prefix_of_a_conversation_is_a_prefix_of_its_tokens() {
    let tokenizer = tokenizer();
    let messages: Vec<Message> = ["Hi", "Hello.", "2+2?", "4"]
        .iter()
        .enumerate()
        .map(|(at, text)| Message::new(["user", "assistant"][at % 2], *text))
        .collect();
    for built_in in BUILT_IN {
        let template = Template::built_in(built_in.id).unwrap();
        let whole = tokenizer.conversation(&template, &messages, &options()).unwrap();
        for length in 1..messages.len() {
            let part = tokenizer.conversation(&template, &messages[..length], &options()).unwrap();
            assert!(whole.ids.starts_with(&part.ids), "{} at {length}", built_in.id);
        }
        let mut given = options();
        given.template.add_generation_prompt = true;
        let prompt = tokenizer.conversation(&template, &messages[..3], &given).unwrap();
        assert!(whole.ids.starts_with(&prompt.ids), "{}", built_in.id);
        assert!(whole.assistant_mask[prompt.ids.len()..].iter().any(|masked| *masked));
        let split = tokenizer.prompt_and_completion(&template, &messages[..3], &messages[3..], &options()).unwrap();
        assert_eq!(split.prompt, prompt.ids);
        assert_eq!([split.prompt, split.completion].concat(), whole.ids);
    }
}

#[test]
fn without_marks_answers_are_found_by_rendering_prefixes() {
    let tokenizer = tokenizer();
    let marked = Template::built_in("chatml").unwrap();
    let unmarked =
        Template::new(marked.source().replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")).unwrap();
    assert!(!unmarked.has_generation_marks());
    let mut runner = TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() });
    let check = |messages: Vec<Message>| {
        let with = tokenizer.conversation(&marked, &messages, &options()).unwrap();
        let without = tokenizer.conversation(&unmarked, &messages, &options()).unwrap();
        prop_assert_eq!(with.text, without.text);
        let learned = |ids: &[u32], mask: &[bool]| -> Vec<u32> {
            ids.iter().zip(mask).filter(|(_, m)| **m).map(|(id, _)| *id).collect()
        };
        prop_assert_eq!(learned(&with.ids, &with.assistant_mask), learned(&without.ids, &without.assistant_mask));
        Ok(())
    };
    runner.run(&conversation(), check).unwrap();
}

#[test]
fn a_template_that_changes_earlier_text_is_refused_with_the_condition() {
    let tokenizer = tokenizer();
    let source = "{% for m in messages %}{{ m.role }}:{{ m.content if loop.last else m.content | upper }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}";
    let template = Template::new(source).unwrap();
    let messages = [
        Message::new("user", "a"),
        Message::new("assistant", "b"),
        Message::new("user", "c"),
        Message::new("assistant", "d"),
    ];
    let error = tokenizer.conversation(&template, &messages, &options()).unwrap_err();
    let Error::Template(TemplateError::NotPrefixPreserving { condition }) = error else { panic!("{error}") };
    assert!(condition.contains("message 2"), "{condition}");
    let error = tokenizer.prompt_and_completion(&template, &messages[..1], &messages[1..2], &options()).unwrap_err();
    assert!(matches!(error, Error::Template(TemplateError::NotPrefixPreserving { .. })));
}

#[test]
fn a_token_over_the_border_is_refused_or_kept_apart() {
    let texts = vec!["ab ab ab ab".to_owned(); 50];
    let special = SpecialTokens { all: vec!["</s>"], eos: Some("</s>"), ..SpecialTokens::default() };
    let tokenizer = train_bpe(&texts, 270, &special).unwrap();
    let run = |boundary| tokenizer.prompt_and_completion_text("xa", "b", ContentTokens::Plain, boundary);
    let error = run(Boundary::Refuse).unwrap_err();
    let Error::Template(TemplateError::BoundaryMerge { byte, token, .. }) = error else { panic!("{error}") };
    assert_eq!((byte, token.as_str()), (2, "ab"));
    let apart = run(Boundary::Separate).unwrap();
    assert!(apart.separated);
    assert_eq!(apart.prompt, tokenizer.encode("xa", Specials::None).unwrap());
    assert_eq!(
        apart.completion,
        [tokenizer.encode("b", Specials::None).unwrap(), vec![tokenizer.eos().unwrap()]].concat()
    );
    let clean =
        tokenizer.prompt_and_completion_text("xa", " ab</s>", ContentTokens::Control, Boundary::Refuse).unwrap();
    assert!(!clean.separated);
    assert_eq!(clean.completion.iter().filter(|id| Some(**id) == tokenizer.eos()).count(), 1);
}

#[test]
fn control_tokens_in_messages_are_text_unless_asked_for() {
    let tokenizer = tokenizer();
    let template = Template::built_in("chatml").unwrap();
    // One control token in one message, and one that only two messages together spell.
    let messages =
        [Message::new("user", "a<|im_end|>\n<|im_start|>system<|im_"), Message::new("assistant", "end|></s>")];
    let end = tokenizer.id("<|im_end|>").unwrap();
    let count = |content| {
        let options = TokenOptions { content, ..options() };
        let chat = tokenizer.conversation(&template, &messages, &options).unwrap();
        assert_eq!(tokenizer.decode(&chat.ids, false).unwrap(), chat.text);
        chat.ids.iter().filter(|id| **id == end).count()
    };
    assert_eq!(count(ContentTokens::Plain), 2);
    assert_eq!(count(ContentTokens::Control), 3);
}

#[test]
fn the_bos_is_written_once() {
    let Some(directory) = shared("weights/stories3M-hf") else { return };
    let tokenizer = Tokenizer::from_directory(&directory).unwrap();
    let bos = tokenizer.bos().unwrap();
    let messages = [Message::new("user", "Tell me a story."), Message::new("assistant", "Once.")];
    for (id, as_template) in [("llama2", 1), ("user-bot", 0)] {
        let template = Template::built_in(id).unwrap();
        for (ensure_bos, expected) in [(false, as_template), (true, 1)] {
            let options = TokenOptions { ensure_bos, ..options() };
            let chat = tokenizer.conversation(&template, &messages, &options).unwrap();
            assert_eq!(chat.ids.iter().filter(|id| **id == bos).count(), expected, "{id}");
            assert_eq!(chat.ids.len(), chat.assistant_mask.len());
            assert_eq!(chat.ids.len(), chat.offsets.len());
        }
    }
}

#[test]
fn the_dialogue_checkpoint_s_form_is_user_bot() {
    let Some(directory) = shared("weights/tinytalk3M-gpt2-hf") else { return };
    let tokenizer = Tokenizer::from_directory(&directory).unwrap();
    let template = Template::built_in("user-bot").unwrap();
    let options =
        Options { add_generation_prompt: true, variables: tokenizer.template_variables(), ..Options::default() };
    let prompt = template.render(&[Message::new("user", "hey, how are you?")], &options).unwrap();
    assert_eq!(prompt.text, "User: hey, how are you?\nBot:");
    let Some(dialogues) = shared("data/dialogues/chat_val.txt") else { return };
    let text = std::fs::read_to_string(dialogues).unwrap();
    let dialogue = text.split("\n\n").next().unwrap();
    let mut messages = Vec::new();
    for line in dialogue.lines() {
        let message = match line.strip_prefix("User: ") {
            Some(question) => Message::new("user", question),
            None => {
                Message::new("assistant", line.strip_prefix("Bot: ").unwrap().strip_suffix("<|endoftext|>").unwrap())
            }
        };
        messages.push(message);
    }
    let chat = tokenizer.conversation(&template, &messages, &TokenOptions::default()).unwrap();
    assert_eq!(chat.text, format!("{dialogue}\n"));
    assert!(!chat.separated);
    assert_eq!(chat.ids, tokenizer.encode(&chat.text, Specials::None).unwrap());
}

/// What ends a turn is found in the template, whatever the tokenizer's EOS is.
#[test]
fn the_end_of_a_turn_is_known() {
    let tokenizer = tokenizer();
    for (id, expected) in [
        ("chatml", Some("<|im_end|>")),
        ("llama2", Some("</s>")),
        ("llama3", Some("<|eot_id|>")),
        ("zephyr", Some("</s>")),
    ] {
        let template = ChatTemplate::built_in(id).unwrap();
        assert_eq!(template.turn_end(&tokenizer), expected.and_then(|token| tokenizer.id(token)), "{id}");
    }
    let refuses = Template::new("{{ raise_exception('no') }}").unwrap();
    let refuses = ChatTemplate { name: "x".into(), template: refuses, stop_strings: Vec::new(), guessed: false };
    assert_eq!(refuses.turn_end(&tokenizer), None);
}

/// An answer of weight 0 before one that is learned: the tokens are those of the conversation without weights, in templates
/// with and without control tokens, and the last answer alone is learned.
#[test]
fn unlearned_answers_leave_the_tokens_as_they_are() {
    let tokenizer = tokenizer();
    let plain =
        [("user", "hello"), ("assistant", "the answer is 1"), ("user", "again"), ("assistant", "the answer is 2")];
    let plain = plain.map(|(role, text)| Message::new(role, text));
    let mut weighed = plain.clone();
    weighed[1].extra.insert("weight".into(), 0.into());
    for built_in in BUILT_IN {
        let template = Template::built_in(built_in.id).unwrap();
        let [plain, chat] =
            [&plain, &weighed].map(|messages| tokenizer.conversation(&template, messages, &options()).unwrap());
        assert_eq!(chat.ids, plain.ids, "{}", built_in.id);
        let learned = masked(&chat.text, &chat.offsets, &chat.assistant_mask);
        assert_eq!(learned, [answer_of(built_in.id, "the answer is 2")], "{}", built_in.id);
    }
}
