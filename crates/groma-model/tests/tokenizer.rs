//! Tokenizers against the ids of other implementations, and against hostile files.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "a test may fail and say so")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use groma_model::Tokenizer;
use groma_model::tokenizer::{Reading, SpecialTokens, Specials, TokenizerError, train_bpe};
use proptest::prelude::*;
use serde_json::{Value, json};

fn shared(path: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared")).join(path);
    if !path.exists() {
        println!("SKIPPED: {} is not there", path.display());
    }
    path.exists().then_some(path)
}

fn load(path: &str) -> Option<Tokenizer> {
    shared(path).map(|path| Tokenizer::from_directory(&path).unwrap())
}

const ALL: [&str; 7] = [
    "tokenizers/gpt2",
    "tokenizers/gpt-neox",
    "tokenizers/llama2-32000",
    "tokenizers/qwen2.5",
    "weights/stories260K-hf",
    "weights/stories3M-hf",
    "weights/tinytalk3M-gpt2-hf",
];

/// Texts and ids of llama.cpp's vocabulary tests.
fn golden(name: &str) -> Option<Vec<(String, Vec<u32>)>> {
    let read =
        |end: &str| std::fs::read_to_string(shared(&format!("tokenizers/goldens/ggml-vocab-{name}.gguf.{end}"))?).ok();
    let (texts, ids) = (read("inp")?, read("out")?);
    let texts = texts.split("\n__ggml_vocab_test__\n").map(str::to_owned);
    let ids = ids.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect());
    Some(texts.zip(ids).collect())
}

#[test]
fn ids_are_those_of_other_implementations() {
    for (golden_name, tokenizer) in
        [("gpt-2", "tokenizers/gpt2"), ("qwen2", "tokenizers/qwen2.5"), ("llama-spm", "tokenizers/llama2-32000")]
    {
        let (Some(cases), Some(tokenizer)) = (golden(golden_name), load(tokenizer)) else { continue };
        assert!(cases.len() > 40);
        for (text, expected) in cases {
            // llama.cpp adds no space before an empty text, and no BOS here.
            let ids = tokenizer.encode(&text, Specials::None).unwrap();
            assert_eq!(ids, expected, "{golden_name}: {text:?}");
        }
    }
}

#[test]
fn ids_of_long_texts_are_those_of_transformers() {
    for (file, tokenizer) in [("gpt2_encoded_tokens", "tokenizers/gpt2"), ("llama_encoded", "tokenizers/llama2-32000")]
    {
        let (Some(path), Some(tokenizer)) = (shared(&format!("tokenizers/swift-golden/{file}.json")), load(tokenizer))
        else {
            continue;
        };
        let golden: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let ids: Vec<u32> =
            golden["token_ids"].as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect();
        let text = golden["text"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text, Specials::AsConfigured).unwrap(), ids, "{file}");
    }
}

#[test]
fn roles_and_stop_ids_are_read_as_transformers_reads_them() {
    type Expected = (&'static str, [Option<u32>; 4], &'static [u32], usize);
    let expected: [Expected; 5] = [
        ("tokenizers/qwen2.5", [None, Some(151_645), Some(151_643), None], &[151_645], 151_665),
        ("tokenizers/gpt2", [Some(50_256), Some(50_256), None, Some(50_256)], &[50_256], 50_257),
        ("tokenizers/gpt-neox", [None; 4], &[], 50_277),
        ("weights/stories260K-hf", [Some(1), Some(2), None, Some(0)], &[1, 2], 512),
        ("weights/tinytalk3M-gpt2-hf", [Some(14_018), Some(14_018), None, Some(14_018)], &[14_018], 14_019),
    ];
    for (path, roles, stops, size) in expected {
        let Some(tokenizer) = load(path) else { continue };
        assert_eq!([tokenizer.bos(), tokenizer.eos(), tokenizer.pad(), tokenizer.unk()], roles, "{path}");
        assert_eq!(tokenizer.stop_ids(), stops, "{path}");
        assert_eq!(tokenizer.vocab_size(), size, "{path}");
        tokenizer.check_embedding(size).unwrap();
        let error = tokenizer.check_embedding(size - 1).unwrap_err();
        assert!(matches!(error, TokenizerError::LargerThanEmbedding { largest, .. } if largest as usize == size - 1));
    }
}

#[test]
fn encoding_in_parts_is_encoding_when_nothing_is_plain() {
    for path in ALL {
        let Some(tokenizer) = load(path) else { continue };
        let mut pieces = tokenizer.control_texts();
        pieces.extend(
            [
                "hello",
                " world",
                "  ",
                "\n\n",
                "<|",
                "|>",
                "é",
                "日本語",
                "🙂",
                "don't",
                " 123",
                "\u{a0}",
                "<s",
                "ｆull",
                "e\u{301}",
            ]
            .map(str::to_owned),
        );
        let text = prop::collection::vec(prop::sample::select(pieces), 0..12).prop_map(|pieces| pieces.concat());
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
            cases: 400,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let check = |text: String| {
            let whole = tokenizer.encode_with_offsets(&text, Specials::None).unwrap();
            let parts = tokenizer.encode_parts(&text, &[], &[]).unwrap();
            prop_assert_eq!(&parts.ids, &whole.ids);
            prop_assert!(parts.offsets.windows(2).all(|pair| pair[0].start <= pair[1].start));
            let plain = tokenizer.encode_plain(&text).unwrap();
            prop_assert!(plain.iter().all(|id| !tokenizer.is_control(*id) || Some(*id) == tokenizer.unk()));
            Ok(())
        };
        if let Err(error) = runner.run(&text, check) {
            panic!("{path}: {error}");
        }
    }
}

#[test]
fn a_stream_gives_whole_characters_and_the_whole_text() {
    let text = "  Hello, wörld! 日本語 🙂👩‍👩‍👧 don't\n\n  stop </s>";
    for path in ALL {
        let Some(tokenizer) = load(path) else { continue };
        for skip in [false, true] {
            let ids = tokenizer.encode(text, Specials::AsConfigured).unwrap();
            let mut stream = tokenizer.stream(skip);
            let mut streamed = String::new();
            for id in &ids {
                let piece = stream.push(*id).unwrap();
                assert!(!piece.contains('\u{fffd}'), "{path}: {piece:?}");
                streamed.push_str(&piece);
            }
            streamed.push_str(&stream.finish().unwrap());
            assert_eq!(streamed, tokenizer.decode(&ids, skip).unwrap(), "{path}");
        }
    }
}

#[test]
fn an_unfinished_character_comes_out_at_the_end() {
    let Some(tokenizer) = load("tokenizers/gpt2") else { return };
    let ids = tokenizer.encode("🙂", Specials::None).unwrap();
    let mut stream = tokenizer.stream(false);
    assert_eq!(stream.push(ids[0]).unwrap(), "");
    assert_eq!(stream.finish().unwrap(), "\u{fffd}");
}

#[test]
fn tokens_have_a_spelling_and_a_text() {
    let Some(tokenizer) = load("tokenizers/llama2-32000") else { return };
    let id = tokenizer.id("▁the").unwrap();
    assert_eq!(tokenizer.token(id).as_deref(), Some("▁the"));
    assert_eq!(tokenizer.token_text(id).as_deref(), Some(" the"));
    assert_eq!(tokenizer.token(1_000_000), None);
    assert_eq!(tokenizer.decode(&[id, 1_000_000], false).unwrap(), "the");
}

#[test]
fn files_come_out_unchanged() {
    let Some(directory) = shared("tokenizers/qwen2.5") else { return };
    let tokenizer = Tokenizer::from_directory(&directory).unwrap();
    for (name, bytes) in tokenizer.files() {
        assert_eq!(bytes, &std::fs::read(directory.join(name)).unwrap());
    }
    assert!(tokenizer.files().contains_key("tokenizer.json"));
    assert_eq!(Tokenizer::from_files(tokenizer.files().clone()).unwrap().digest(), tokenizer.digest());
}

fn texts() -> Vec<String> {
    let words =
        ["the", "miller", "bread", "river", "sells", "walks", "to", "market", "Ünder", "🙂", "don't", "12", "345"];
    (0..500)
        .map(|n| (0..8).map(|k| words[(n * 7 + k * k * 3 + n / 5) % words.len()]).collect::<Vec<_>>().join(" "))
        .collect()
}

fn special() -> SpecialTokens<'static> {
    SpecialTokens { all: vec!["<pad>", "<s>", "</s>"], bos: Some("<s>"), eos: Some("</s>"), pad: Some("<pad>") }
}

#[test]
fn training_is_the_same_every_time_and_with_any_threads() {
    let texts = texts();
    let reference = train_bpe(&texts, 330, &special()).unwrap();
    for threads in [1, 2, 3, 8] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        for _ in 0..5 {
            let again = pool.install(|| train_bpe(&texts, 330, &special()).unwrap());
            assert_eq!(again.files(), reference.files(), "{threads} threads");
        }
    }
}

#[test]
fn a_trained_tokenizer_has_its_roles_and_loses_nothing() {
    let tokenizer = train_bpe(&texts(), 330, &special()).unwrap();
    assert!(tokenizer.vocab_size() <= 330 && tokenizer.vocab_size() > 280);
    assert_eq!([tokenizer.pad(), tokenizer.bos(), tokenizer.eos(), tokenizer.unk()], [Some(0), Some(1), Some(2), None]);
    assert_eq!(tokenizer.stop_ids(), [2]);
    let text = "the miller <s> walks\n 日本語 \u{0}\u{1f}";
    let ids = tokenizer.encode_plain(text).unwrap();
    assert!(!ids.contains(&1));
    assert_eq!(tokenizer.decode(&ids, false).unwrap(), text);
    assert_eq!(tokenizer.encode("the miller", Specials::AsConfigured).unwrap().len(), 2);
    let reloaded = Tokenizer::from_files(tokenizer.files().clone()).unwrap();
    assert_eq!(reloaded.encode_plain(text).unwrap(), ids);
    for (size, special) in [
        (200, special()),
        (300, SpecialTokens { eos: Some("?"), ..special() }),
        (300, SpecialTokens { all: vec!["a", "a"], ..SpecialTokens::default() }),
    ] {
        assert!(matches!(train_bpe(&texts(), size, &special), Err(TokenizerError::Training { .. })));
    }
}

#[test]
fn training_gives_what_the_python_library_gives_and_transformers_loads() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/chat/trained.json");
    let fixture: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(fixture["texts"], json!(texts()));
    let tokenizer = train_bpe(&texts(), 330, &special()).unwrap();
    let file = |name: &str| serde_json::from_slice::<Value>(&tokenizer.files()[name]).unwrap();
    let ours = file("tokenizer.json");
    assert_eq!(ours["model"]["vocab"], fixture["vocab"]);
    assert_eq!(ours["model"]["merges"], fixture["merges"]);
    assert_eq!(file("tokenizer_config.json"), fixture["config"]);
    assert_eq!(json!([tokenizer.pad(), tokenizer.bos(), tokenizer.eos()]), fixture["roles"]);
    for (text, ids) in fixture["ids"].as_object().unwrap() {
        assert_eq!(json!(tokenizer.encode(text, Specials::AsConfigured).unwrap()), *ids, "{text:?}");
    }
}

/// A tokenizer that works, to be damaged.
fn good() -> Value {
    json!({
        "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "added_tokens": [{"id": 2, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
        "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null, "end_of_word_suffix": null,
                  "fuse_unk": false, "byte_fallback": false, "vocab": {"a": 0, "b": 1, "<s>": 2, "ab": 3}, "merges": ["a b"]}
    })
}

fn with(path: &str, value: Value) -> Vec<u8> {
    let mut json = good();
    *json.pointer_mut(path).unwrap_or_else(|| panic!("{path}")) = value;
    serde_json::to_vec(&json).unwrap()
}

#[test]
fn hostile_files_are_errors() {
    assert_eq!(
        Tokenizer::from_bytes(serde_json::to_vec(&good()).unwrap()).unwrap().encode("ab<s>", Specials::None).unwrap(),
        [3, 2]
    );
    let replace = |pattern: Value, content: &str| json!({"type": "Replace", "pattern": pattern, "content": content});
    let nested = (0..200).fold(json!({"type": "NFC"}), |inner, _| json!({"type": "Sequence", "normalizers": [inner]}));
    let many: Vec<Value> = (0..1000).map(|_| json!({"type": "NFC"})).collect();
    let template = |id: &str, ids: Value| {
        json!({"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": id, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
               "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": ids, "tokens": ["<s>"]}}})
    };
    let token = |id: u64, content: &str| json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("empty", vec![]),
        ("no JSON", b"not json".to_vec()),
        ("fourteen bytes", b"{\"model\":null}".to_vec()),
        ("an empty object", b"{}".to_vec()),
        ("a list", b"[]".to_vec()),
        ("cut short", serde_json::to_vec(&good()).unwrap()[..200].to_vec()),
        ("not UTF-8", [b"{\"model\": \"".as_slice(), &[0xff, 0xfe], b"\"}"].concat()),
        ("deep", [vec![b'['; 100_000], vec![b']'; 100_000]].concat()),
        ("unknown model", with("/model/type", json!("Nonsense"))),
        ("model of another form", with("/model", json!({"type": "WordPiece", "vocab": 3}))),
        ("merge of unknown tokens", with("/model/merges", json!(["x y"]))),
        ("merge without a partner", with("/model/merges", json!(["a"]))),
        ("merge to an unknown token", with("/model/merges", json!(["b a"]))),
        ("merges of another type", with("/model/merges", json!([1, 2]))),
        ("a huge id", with("/model/vocab", json!({"a": 4_294_967_295_u64}))),
        ("an id beyond 64 bits", with("/model/vocab", json!({"a": 1e30}))),
        ("a negative id", with("/model/vocab", json!({"a": -1}))),
        ("an id twice", with("/model/vocab", json!({"a": 0, "b": 0}))),
        ("a fraction", with("/model/vocab", json!({"a": 0.5}))),
        ("a long token", with("/model/vocab", json!({"a": 0, "x".repeat(100_000): 1}))),
        ("dropout", with("/model/dropout", json!(0.5))),
        ("dropout beyond one", with("/model/dropout", json!(2.0))),
        ("an empty added token", with("/added_tokens", json!([token(2, "")]))),
        ("two added tokens with one id", with("/added_tokens", json!([token(2, "<s>"), token(2, "<t>")]))),
        ("an added token with a huge id", with("/added_tokens", json!([token(1 << 40, "<s>")]))),
        (
            "too many added tokens",
            with("/added_tokens", (0..70_000).map(|n| token(n + 10, &format!("<{n}>"))).collect()),
        ),
        ("a replacement of nothing", with("/normalizer", replace(json!({"String": ""}), "xx"))),
        ("a growing replacement", with("/normalizer", replace(json!({"String": "a"}), &"a".repeat(1000)))),
        (
            "growing replacements",
            with(
                "/normalizer",
                json!({"type": "Sequence", "normalizers": vec![replace(json!({"String": "a"}), "aaaaaaaa"); 10]}),
            ),
        ),
        ("a growing expression", with("/normalizer", replace(json!({"Regex": ""}), &"a".repeat(1000)))),
        (
            "a bad expression",
            with(
                "/pre_tokenizer",
                json!({"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}),
            ),
        ),
        (
            "a huge expression",
            with(
                "/pre_tokenizer",
                json!({"type": "Split", "pattern": {"Regex": "a".repeat(20_000)}, "behavior": "Isolated", "invert": false}),
            ),
        ),
        ("nested normalisers", with("/normalizer", nested)),
        ("many normalisers", with("/normalizer", json!({"type": "Sequence", "normalizers": many}))),
        ("an unknown normaliser", with("/normalizer", json!({"type": "Nonsense"}))),
        ("a bad character map", with("/normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}))),
        ("a template with an unknown token", with("/post_processor", template("<t>", json!([2])))),
        ("an unknown decoder", with("/decoder", json!({"type": "Nonsense"}))),
        (
            "a model without an unknown token",
            with("/model", json!({"type": "Unigram", "unk_id": 7, "vocab": [["a", 0.0]], "byte_fallback": false})),
        ),
    ];
    assert!(cases.len() >= 30);
    for (name, bytes) in cases {
        let result = Tokenizer::from_bytes(bytes);
        assert!(result.is_err(), "{name}");
    }
}

#[test]
fn padding_and_truncation_of_the_file_are_left_out() {
    let mut json = good();
    json["padding"] = json!({"strategy": {"Fixed": 1_000_000_000_000_u64}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "a"});
    json["truncation"] = json!({"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0});
    let tokenizer = Tokenizer::from_bytes(serde_json::to_vec(&json).unwrap()).unwrap();
    assert_eq!(tokenizer.encode("abab", Specials::AsConfigured).unwrap(), [3, 3]);
}

#[test]
fn a_catastrophic_expression_ends() {
    let pattern =
        json!({"type": "Split", "pattern": {"Regex": "(?=(a+)+$)(a|a)*b"}, "behavior": "Isolated", "invert": false});
    if let Ok(tokenizer) = Tokenizer::from_bytes(with("/pre_tokenizer", pattern)) {
        let result = tokenizer.encode(&"a".repeat(5000), Specials::None);
        assert!(result.is_ok() || matches!(result, Err(TokenizerError::Use { .. })));
    }
}

#[test]
fn files_beside_the_tokenizer_are_checked() {
    let with_file = |name: &str, text: &str| {
        let files = BTreeMap::from([
            ("tokenizer.json".to_owned(), serde_json::to_vec(&good()).unwrap()),
            (name.to_owned(), text.as_bytes().to_vec()),
        ]);
        Tokenizer::from_files(files)
    };
    for (name, text) in [
        ("tokenizer_config.json", "["),
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", "{\"bos_token\": 3}"),
        ("tokenizer_config.json", "{\"bos_token\": {}}"),
        ("tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {\"content\": \"y\"}}}"),
        ("generation_config.json", "{\"eos_token_id\": \"2\"}"),
        ("generation_config.json", "{\"eos_token_id\": [-1]}"),
        ("special_tokens_map.json", "{\"eos_token\": []}"),
    ] {
        let error = with_file(name, text).unwrap_err();
        assert!(error.to_string().starts_with(name), "{error}");
    }
    let tokenizer =
        with_file("tokenizer_config.json", "{\"bos_token\": \"<s>\", \"eos_token\": {\"content\": \"</s>\"}}").unwrap();
    assert_eq!([tokenizer.bos(), tokenizer.eos()], [Some(2), Some(4)]);
    assert_eq!(tokenizer.vocab_size(), 5);
    assert!(tokenizer.check_embedding(4).is_err());
    let missing = Tokenizer::from_directory(Path::new("/nonexistent")).unwrap_err();
    assert!(matches!(missing, TokenizerError::Missing { .. }));
}

#[test]
fn ids_of_every_source_are_held_against_the_embedding() {
    let post_processor = json!({ "type": "BertProcessing", "sep": ["<s>", 2], "cls": ["<s>", 9] });
    let files = |json: Vec<u8>, generation: &str| {
        let generation = ("generation_config.json".to_owned(), generation.as_bytes().to_vec());
        Tokenizer::from_files(BTreeMap::from([("tokenizer.json".to_owned(), json), generation])).unwrap()
    };
    let around = files(with("/post_processor", post_processor), "{}");
    assert_eq!(around.vocab_size(), 10);
    around.check_embedding(10).unwrap();
    let error = around.check_embedding(9).unwrap_err().to_string();
    assert!(error.contains("`post_processor`") && error.contains("up to 9"), "{error}");
    let ended = files(serde_json::to_vec(&good()).unwrap(), "{\"eos_token_id\": [2, 4]}");
    assert_eq!(ended.vocab_size(), 4);
    let error = ended.check_embedding(4).unwrap_err().to_string();
    assert!(error.contains("generation_config.json") && error.contains("up to 4"), "{error}");
    for id in [json!(-1), json!(1_u64 << 40), json!("2")] {
        let json = with("/post_processor", json!({ "type": "BertProcessing", "sep": ["<s>", id], "cls": ["<s>", 2] }));
        let error = Tokenizer::from_bytes(json).unwrap_err().to_string();
        assert!(error.contains("post_processor"), "{error}");
    }
}

#[test]
fn length_and_number_of_added_tokens_are_limited() {
    let token = |id: usize, content: String| json!({ "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": true, "special": false });
    let refused = |json: Vec<u8>, words: &str| {
        let error = Tokenizer::from_bytes(json).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    refused(with("/added_tokens", json!([token(4, "x".repeat(16_000))])), "16000 bytes; the limit is 1024");
    let many: Vec<Value> = (0..100_000).map(|i| token(4 + i, format!("<{i}>"))).collect();
    refused(with("/added_tokens", json!(many)), "100000 added tokens; the limit is 32768");
    for (name, text) in [
        ("tokenizer_config.json", json!({ "extra_special_tokens": many })),
        ("special_tokens_map.json", json!({ "bos_token": "x".repeat(16_000) })),
    ] {
        let files = BTreeMap::from([
            ("tokenizer.json".to_owned(), serde_json::to_vec(&good()).unwrap()),
            (name.to_owned(), serde_json::to_vec(&text).unwrap()),
        ]);
        let error = Tokenizer::from_files(files).unwrap_err().to_string();
        assert!(error.starts_with(name) && error.contains("the limit is"), "{error}");
    }
    // As many as are allowed, with one first byte, are found in a long text.
    let allowed: Vec<Value> = (0..32_768).map(|i| token(4 + i, format!("<{i}>"))).collect();
    let tokenizer = Tokenizer::from_bytes(with("/added_tokens", json!(allowed))).unwrap();
    let ids = tokenizer.encode_plain(&"<12a<3><32767>".repeat(20_000)).unwrap();
    assert_eq!(ids.iter().filter(|id| **id == 7 || **id == 32_771).count(), 40_000);
}

#[test]
fn a_map_of_characters_is_as_large_as_it_says() {
    let normalizer = |map: &str| with("/normalizer", json!({ "type": "Precompiled", "precompiled_charsmap": map }));
    for map in ["/////w==", "/////wAAAAA=", "BQAAAAAAAA==", "AAA=", "", "?"] {
        let error = Tokenizer::from_bytes(normalizer(map)).unwrap_err().to_string();
        assert!(error.contains("precompiled_charsmap"), "{map}: {error}");
    }
}

/// What transformers 5 reads under each class and its settings (`scripts/make_tokenizer_fixtures.py`).
#[test]
fn both_readings_of_a_llama_tokenizer_are_those_of_transformers() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/tokenizers/llama");
    let bytes = |name: &str| std::fs::read(directory.join(name)).unwrap();
    let value = |name: &str| serde_json::from_slice::<Value>(&bytes(name)).unwrap();
    let lines: Vec<String> = serde_json::from_value(value("lines.json")).unwrap();
    let all = value("readings.json");
    let readings = all["readings"].as_array().unwrap();
    let of = |index: usize, part: &str| match readings[index][part].as_u64() {
        Some(same) => readings[same as usize][part].clone(),
        None => readings[index][part].clone(),
    };
    let open = |config: &Value| {
        let config = ("tokenizer_config.json".to_owned(), serde_json::to_vec(config).unwrap());
        let json = ("tokenizer.json".to_owned(), bytes("tokenizer.json"));
        Tokenizer::from_files(BTreeMap::from([json, config])).unwrap()
    };
    let ids = |tokenizer: &Tokenizer| -> Vec<Vec<u32>> {
        lines.iter().map(|line| tokenizer.encode(line, Specials::AsConfigured).unwrap()).collect()
    };
    assert_eq!((lines.len(), readings.len()), (200, 32));
    let file = readings.iter().position(|reading| reading["class"] == "TokenizersBackend").unwrap();
    for (index, reading) in readings.iter().enumerate() {
        let is_llama = reading["class"] == "LlamaTokenizer";
        let mut config = reading["config"].clone();
        let plain = open(&config);
        assert_eq!(json!(ids(&plain)), of(file, "ids"), "{config}");
        assert_eq!(plain.readings().map(|two| two.taken), is_llama.then_some(Reading::File));
        // What is written is read alike by transformers: as the file, whatever the class was.
        let written: Value = serde_json::from_slice(&plain.files()["tokenizer_config.json"]).unwrap();
        assert_eq!(
            written["tokenizer_class"] == "PreTrainedTokenizerFast",
            config["tokenizer_class"] != "TokenizersBackend"
        );
        config["groma_tokenizer"] = json!("class");
        let built = open(&config);
        assert_eq!(json!(ids(&built)), of(index, "ids"), "{config}");
        let decoded: Vec<_> = ids(&built).iter().map(|ids| built.decode(ids, true).unwrap()).collect();
        assert_eq!(json!(decoded), of(index, "decoded"), "{config}");
        if let Some(two) = built.readings() {
            assert!(two.taken == Reading::Class && two.note().contains("\"groma_tokenizer\": \"file\""));
            let again = Tokenizer::from_files(built.files().clone()).unwrap();
            assert_eq!(ids(&again), ids(&built));
        }
    }
    let wrong = json!({ "tokenizer_class": "LlamaTokenizer", "groma_tokenizer": "both" });
    let files = BTreeMap::from([
        ("tokenizer.json".to_owned(), bytes("tokenizer.json")),
        ("tokenizer_config.json".to_owned(), serde_json::to_vec(&wrong).unwrap()),
    ]);
    let error = Tokenizer::from_files(files).unwrap_err().to_string();
    assert!(error.contains("`groma_tokenizer`"), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_files_are_errors_or_work(place in 0..1000_usize, damage in 0..5_usize, byte in any::<u8>(), length in 1..40_usize) {
        let mut bytes = serde_json::to_vec(&good()).unwrap();
        let at = place % bytes.len();
        let end = (at + length).min(bytes.len());
        match damage {
            0 => bytes[at] = byte,
            1 => drop(bytes.drain(at..end)),
            2 => bytes.truncate(at),
            3 => drop(bytes.splice(at..at, bytes[at..end].to_vec())),
            _ => bytes[at] = [b'0', b'9', b'"', b'{', b'[', b'-', b'e'][usize::from(byte) % 7],
        }
        if let Ok(tokenizer) = Tokenizer::from_bytes(bytes) {
            let _ = tokenizer.encode("ab<s>é", Specials::AsConfigured);
            let _ = tokenizer.decode(&[0, 1, 2, 3, 4], false);
        }
    }
}
