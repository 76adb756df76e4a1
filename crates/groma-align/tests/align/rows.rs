//! Rows in the tokens of a real tokenizer and template: the same text is the same tokens whatever shape it came in, and what
//! is learned is what the assistant says.

use crate::support::{place, settings};
use groma_align::{Error, Limits, Prepared, Settings, look, prepare, prepare_read};
use groma_data::{Content, Message, ReadOptions, Row, Rows, ShapeOptions, read};
use groma_lm::Encoder;
use groma_model::tokenizer::{SpecialTokens, train_bpe};
use groma_model::{ChatTemplate, Tokenizer};
use groma_run::Classify;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const LIMITS: Limits = Limits { vocab_size: 512, max_positions: 512 };

/// A tokenizer with ChatML's control tokens, whose EOS is another.
fn tokenizer() -> Tokenizer {
    let texts: Vec<String> = (0..200).map(|n| format!("hello {n}, try again: a good one, a bad answer here")).collect();
    let all = vec!["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"];
    train_bpe(&texts, 400, &SpecialTokens { all, eos: Some("<|endoftext|>"), ..SpecialTokens::default() }).unwrap()
}

/// ChatML, marked or not.
fn chatml(marked: bool) -> ChatTemplate {
    let built_in = ChatTemplate::built_in("chatml").unwrap();
    if marked {
        return built_in;
    }
    let source = built_in.template.source().replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "");
    ChatTemplate { template: groma_chat::Template::new(source).unwrap(), name: "checkpoint".into(), ..built_in }
}

pub(crate) struct Words {
    tokenizer: Tokenizer,
    chat: ChatTemplate,
}

impl Words {
    pub(crate) fn new(marked: bool) -> Self {
        Words { tokenizer: tokenizer(), chat: chatml(marked) }
    }

    fn encoder(&self) -> Encoder<'_> {
        let stop_ids = ["<|im_end|>", "<|endoftext|>"].iter().filter_map(|token| self.tokenizer.id(token)).collect();
        Encoder { tokenizer: &self.tokenizer, chat: &self.chat, stop_ids }
    }

    pub(crate) fn prepared(&self, settings: &Settings, rows: &[Row]) -> Result<Prepared, Error> {
        prepare(settings, rows, &self.encoder(), LIMITS)
    }

    /// The texts that are learned from, sequence by sequence.
    pub(crate) fn learned(&self, prepared: &Prepared) -> Vec<String> {
        let views = look(&prepared.groups, &self.tokenizer).unwrap();
        let text = |pieces: &Vec<groma_align::Piece>| -> String {
            pieces.iter().filter(|piece| piece.learned).map(|piece| piece.text.as_str()).collect()
        };
        views.iter().flat_map(|view| view.sequences.iter().map(text)).collect()
    }
}

pub(crate) fn turns(all: &[(&str, &str)]) -> Content {
    all.iter().map(|(role, text)| Message::new(*role, *text)).collect::<Vec<_>>().into()
}

fn text(text: &str) -> Content {
    Content::Text(text.to_owned())
}

fn file(directory: &Path, name: &str, rows: &[Value]) -> Rows {
    let path = directory.join(name);
    std::fs::write(&path, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
    rows_in(&path)
}

fn rows_in(path: &Path) -> Rows {
    read(path, &ReadOptions::default()).unwrap().into_rows(&ShapeOptions::default(), SHAPES).unwrap()
}

const SHAPES: &[groma_data::Shape] = &[
    groma_data::Shape::LanguageModelling,
    groma_data::Shape::PromptCompletion,
    groma_data::Shape::Preference,
    groma_data::Shape::Labelled,
];

#[test]
fn the_same_text_is_the_same_tokens_whatever_shape_it_came_in() {
    let words = Words::new(true);
    let (asked, said) = ("<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n", "a good one<|im_end|>");
    let rows = [
        Row::text(text(&format!("{asked}{said}")), place(1)),
        Row::completion(text(asked), text(said), place(2)),
        Row::text(turns(&[("user", "hello"), ("assistant", "a good one")]), place(3)),
        Row::completion(turns(&[("user", "hello")]), turns(&[("assistant", "a good one")]), place(4)),
    ];
    let pair = Row::preference(text(asked), text(said), text("no<|im_end|>"), place(5));
    for (name, given) in [("separate", json!({})), ("diverge", json!({"boundary": "diverge"}))] {
        let sft = words.prepared(&settings("sft", given.clone()), &rows).unwrap();
        let pairs = words.prepared(&settings("dpo", given), std::slice::from_ref(&pair)).unwrap();
        let ids: Vec<Vec<u32>> = sft.groups.iter().map(|group| group.members[0].sequence.ids.clone()).collect();
        let end = words.tokenizer.id("<|im_end|>").unwrap();
        assert_eq!(ids[0].iter().filter(|id| **id == end).count(), 2, "{name}: control tokens are control tokens");
        assert_eq!((&ids[1], &pairs.groups[0].members[0].sequence.ids), (&ids[0], &ids[0]), "{name}");
        // Turns go on with the template's line break where plain text ends with EOS.
        let turns = ids[0].len() - 1;
        assert_eq!((&ids[2][..turns], &ids[3]), (&ids[0][..turns], &ids[2]), "{name}");
    }
    // What a message spells stays text, with answers told apart or not.
    let spelled = Row::text(turns(&[("user", "<|im_end|>"), ("assistant", "a good one")]), place(1));
    let ids = |given| {
        let prepared = words.prepared(&settings("sft", given), std::slice::from_ref(&spelled)).unwrap();
        prepared.groups[0].members[0].sequence.ids.clone()
    };
    assert_eq!(ids(json!({"assistant_only_loss": true})), ids(json!({"assistant_only_loss": false})));
}

#[test]
fn what_the_assistant_says_is_learned_in_every_shape() {
    let asked = [("system", "hello"), ("user", "try")];
    let answer = [("assistant", "a bad answer"), ("tool", "here"), ("assistant", "a good one")];
    let all = [&asked[..], &answer[..]].concat();
    let expected = "a bad answer<|im_end|>a good one<|im_end|>";
    for marked in [true, false] {
        let words = Words::new(marked);
        let sft = settings("sft", json!({"assistant_only_loss": true}));
        let whole = words.prepared(&sft, &[Row::text(turns(&all), place(1))]).unwrap();
        assert_eq!(words.learned(&whole), [expected], "marked {marked}");
        let rows = [Row::completion(turns(&asked), turns(&answer), place(1))];
        let completion = words.prepared(&sft, &rows).unwrap();
        assert_eq!(words.learned(&completion), [expected], "marked {marked}");
        assert_eq!(completion.groups[0].members[0].sequence, whole.groups[0].members[0].sequence);
        let rejected = turns(&[("assistant", "hello")]);
        let pair = Row::preference(turns(&asked), turns(&answer), rejected, place(1));
        let pair = words.prepared(&settings("dpo", json!({})), &[pair]).unwrap();
        assert_eq!(words.learned(&pair), [expected, "hello<|im_end|>"], "marked {marked}");
        assert_eq!(pair.groups[0].members[0].sequence, whole.groups[0].members[0].sequence);
        let everything = settings("sft", json!({"completion_only_loss": false}));
        let learned = words.learned(&words.prepared(&everything, &rows).unwrap()).concat();
        assert!(learned.ends_with("<|im_start|>assistant\na good one<|im_end|>\n"), "{learned}");
    }
}

#[test]
fn a_message_of_weight_0_is_not_learned() {
    let unlearned = |text: &str| {
        let mut message = Message::new("assistant", text);
        message.extra.insert("weight".into(), json!(0));
        message
    };
    let said = [Message::new("user", "hello"), unlearned("a bad answer"), Message::new("user", "try again")];
    let whole = [&said[..], &[Message::new("assistant", "good one")]].concat();
    for marked in [true, false] {
        let words = Words::new(marked);
        for given in [json!({}), json!({"assistant_only_loss": true})] {
            let row = Row::text(whole.clone().into(), place(1));
            let prepared = words.prepared(&settings("sft", given), &[row]).unwrap();
            assert_eq!(words.learned(&prepared), ["good one<|im_end|>"], "marked {marked}");
        }
    }
    // A template that marks both answers as one cannot keep it.
    let once = "{% generation %}{% for m in messages %}{{ m.content }}<|im_end|>{% endfor %}{% endgeneration %}";
    let template = groma_chat::Template::new(once).unwrap();
    let words = Words { chat: ChatTemplate { template, ..chatml(true) }, ..Words::new(true) };
    let error = words.prepared(&settings("sft", json!({})), &[Row::text(whole.into(), place(1))]).unwrap_err();
    assert!(error.to_string().contains("`weight` of a message cannot be kept"), "{error}");
}

#[test]
fn tools_and_variables_of_a_row_reach_the_template() {
    let source = "{%- for tool in tools or [] -%}{{ tool.function.name }} {% endfor -%}{{ mood | default('') }}\
                  {%- for m in messages -%}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' %}{% generation %}\
                  {{- m.content }}<|im_end|>{% endgeneration %}{% else %}{{ m.content }}<|im_end|>{% endif %}\n{% endfor -%}\
                  {%- if add_generation_prompt %}<|im_start|>assistant\n{% endif -%}";
    let chat = ChatTemplate { template: groma_chat::Template::new(source).unwrap(), ..chatml(true) };
    let words = Words { chat, ..Words::new(true) };
    let directory = tempfile::tempdir().unwrap();
    let beside = json!({"tools": [{"type": "function", "function": {"name": "clock"}}], "chat_template_kwargs": {"mood": "kind"}});
    let row = |columns: Value| {
        let mut row = beside.clone();
        row.as_object_mut().unwrap().extend(columns.as_object().unwrap().clone());
        row
    };
    let (asked, said) =
        (json!([{"role": "user", "content": "hello"}]), json!([{"role": "assistant", "content": "one"}]));
    for (method, columns) in [
        ("sft", json!({"messages": [asked[0], said[0]]})),
        ("sft", json!({"prompt": asked, "completion": said})),
        ("dpo", json!({"prompt": asked, "chosen": said, "rejected": [{"role": "assistant", "content": "no"}]})),
        ("kto", json!({"prompt": asked, "completion": said, "label": true})),
        ("dpo", json!({"question": "hello", "chosen": "one", "rejected": "no"})),
    ] {
        let rows = file(directory.path(), "rows.jsonl", &[row(columns)]);
        let prepared =
            prepare_read(&settings(method, json!({"preflight": "warn"})), &rows, &words.encoder(), LIMITS).unwrap();
        let ids = &prepared.groups[0].members[0].sequence.ids;
        let text = words.tokenizer.decode(ids, false).unwrap();
        assert!(text.starts_with("clock kind<|im_start|>user\nhello<|im_end|>"), "{method}: {text}");
    }
}

/// Rows that the template refuses are bad rows like those that could not be read.
#[test]
fn one_policy_for_bad_rows_whatever_the_cause() {
    let refusing = "{%- for m in messages -%}{%- if m.role == 'tool' -%}{{ raise_exception('no tools here') }}{%- endif -%}\
                    {{- m.content }}<|im_end|>{%- endfor -%}";
    let chat = ChatTemplate { template: groma_chat::Template::new(refusing).unwrap(), ..chatml(true) };
    let words = Words { chat, ..Words::new(true) };
    let good = |n: usize| json!({"messages": [{"role": "user", "content": format!("hello {n}")}, {"role": "assistant", "content": "one"}]});
    let refused = json!({"messages": [{"role": "tool", "content": "x"}, {"role": "assistant", "content": "one"}]});
    let null = json!({"messages": [{"role": "user", "content": null}, {"role": "assistant", "content": "one"}]});
    let directory = tempfile::tempdir().unwrap();
    let prepared = |bad: &[&Value]| {
        let mut rows: Vec<Value> = (0..300 - bad.len()).map(good).collect();
        rows.extend(bad.iter().map(|row| (*row).clone()));
        let rows = file(directory.path(), "rows.jsonl", &rows);
        prepare_read(&settings("sft", json!({})), &rows, &words.encoder(), LIMITS)
    };
    for bad in [&refused, &null] {
        let left = prepared(&[bad]).unwrap();
        let finding = left.findings.iter().find(|finding| finding.check == "bad-rows").unwrap();
        assert_eq!((left.groups.len(), finding.count, finding.total), (299, 1, 300));
        assert!(finding.places[0].ends_with("rows.jsonl:300"), "{:?}", finding.places);
    }
    assert!(prepared(&[&refused, &null, &refused]).is_ok());
    // Together they are too many, and all are named.
    let error = prepared(&[&refused, &null, &refused, &null]).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("4 of 300 rows are bad") && text.contains("no tools here") && text.contains("found null"),
        "{text}"
    );
    assert_eq!(error.class().exit_code(), 2);
}

/// What is right for the files of `../shared/cases/rows` that are about tokens and counts.
#[test]
fn the_reported_cases_in_tokens() {
    let directory = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/cases/rows"));
    if !directory.is_dir() {
        eprintln!("SKIPPED: {} is missing, so no reported case was prepared", directory.display());
        return;
    }
    let words = Words::new(true);
    let prepared = |file: &str, method: &str, given: Value| {
        let rows = rows_in(&directory.join(file));
        prepare_read(&settings(method, given), &rows, &words.encoder(), LIMITS)
            .unwrap_or_else(|error| panic!("{file}: {error}"))
    };
    let ids = |prepared: &Prepared| prepared.groups[0].members[0].sequence.ids.clone();
    let strings = prepared("control_tokens_in_strings.jsonl", "sft", json!({}));
    let whole = prepared("control_tokens_in_text.jsonl", "sft", json!({}));
    let pairs = prepared("control_tokens_in_strings_pairs.jsonl", "dpo", json!({}));
    assert_eq!((ids(&strings), ids(&pairs)), (ids(&whole), ids(&whole)));
    let weight = prepared("message_weight.jsonl", "sft", json!({}));
    assert_eq!(words.learned(&weight)[0], "good one<|im_end|>");
    for (file, method) in [("turn_end_sft.jsonl", "sft"), ("turn_end_pairs.jsonl", "dpo")] {
        let ends = prepared(file, method, json!({"preflight": "stop"}));
        assert!(words.learned(&ends)[0].ends_with("<|im_end|>") || method == "sft", "{file}");
    }
    let finding = |prepared: &Prepared, check: &str| {
        prepared.findings.iter().find(|finding| finding.check == check).map_or(0, |finding| finding.count)
    };
    assert_eq!(finding(&prepared("contradictory_pairs.jsonl", "dpo", json!({})), "contradictory-pairs"), 16);
    let long = prepared("too_long.jsonl", "dpo", json!({"max_length": 64}));
    assert!(finding(&long, "truncation-empties-completion") + finding(&long, "too-long") > 0, "{:?}", long.findings);
    assert_eq!(prepared("prompt_inside_completions.jsonl", "dpo", json!({})).groups.len(), 8);
}
