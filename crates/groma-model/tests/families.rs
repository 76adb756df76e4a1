//! Configurations and names of the families: both forms of every fixture's configuration, rotary frequencies against
//! transformers, names there and back, and each field that must be refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper fails the test")]

use std::path::{Path, PathBuf};

use groma_model::spec::{Activation, NormPlacement, QkNorm, Qkv, Spec};
use groma_model::{Checkpoint, Config, Error, Head, HeadKind, families, linear_modules, parameters};
use groma_run::{Class, Classify};
use proptest::test_runner::Config as ProptestConfig;
use safetensors::SafeTensors;
use serde_json::{Map, Value, json};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/families")
}

fn all() -> Vec<PathBuf> {
    let mut directories: Vec<PathBuf> = std::fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    directories
}

fn config(name: &str) -> Map<String, Value> {
    Config::read(&root().join(name).join("config.json")).unwrap().map().clone()
}

fn read(map: Map<String, Value>) -> Result<Spec, Error> {
    families::read(&Config::new(Path::new("config.json"), map))
}

/// The fixture's configuration with some fields replaced; null removes a field.
fn with(name: &str, changes: Value) -> Result<Spec, Error> {
    let mut map = config(name);
    for (key, value) in changes.as_object().unwrap() {
        if value.is_null() {
            map.remove(key);
        } else {
            map.insert(key.clone(), value.clone());
        }
    }
    read(map)
}

#[track_caller]
fn refused(name: &str, changes: Value, parts: &[&str]) {
    let error = with(name, changes.clone()).expect_err(&changes.to_string());
    let message = error.to_string();
    assert_eq!(error.class(), Class::Usage);
    for part in parts {
        assert!(message.contains(part), "{message:?} does not have {part:?}");
    }
}

#[test]
fn both_forms_of_a_configuration_describe_the_same_function() {
    for directory in all() {
        let new = families::read(&Config::read(&directory.join("config.json")).unwrap()).unwrap();
        let old = families::read(&Config::read(&directory.join("config.v4.json")).unwrap()).unwrap();
        assert_eq!(new, old, "{}", directory.display());
    }
}

#[test]
fn every_family_has_a_fixture_and_unique_names() {
    for family in families::ALL {
        let read = all().iter().any(|directory| Checkpoint::open(directory).unwrap().family().id == family.id);
        assert!(read, "{} has no fixture", family.id);
        let same = families::ALL.iter().filter(|other| {
            other.id == family.id
                || other.architecture == family.architecture
                || other.model_type == family.model_type
                || other.score_architectures.iter().any(|name| family.score_architectures.contains(name))
        });
        assert_eq!(same.count(), 1);
    }
}

#[test]
fn rotary_frequencies_are_those_of_transformers() {
    let mut compared = 0;
    for directory in all() {
        let bytes = std::fs::read(directory.join("expected.safetensors")).unwrap();
        let expected = SafeTensors::deserialize(&bytes).unwrap();
        let tokens = expected.tensor("input_ids").unwrap().shape()[0];
        let spec = Checkpoint::open(&directory).unwrap().spec().for_length(tokens);
        for (index, rotary) in spec.rotaries.iter().enumerate() {
            let floats = |name: &str| -> Vec<f32> {
                let view = expected.tensor(&format!("rotary.{index}.{name}")).unwrap();
                view.data().as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
            };
            let frequencies = floats("inverse_frequencies");
            assert_eq!(rotary.rotated, 2 * frequencies.len());
            assert_eq!(rotary.inverse_frequencies.len(), frequencies.len());
            for (ours, theirs) in rotary.inverse_frequencies.iter().zip(&frequencies) {
                let relative = (ours / f64::from(*theirs) - 1.0).abs();
                assert!(relative < 5e-7, "{}: {ours} against {theirs}", directory.display());
            }
            assert!((rotary.amplitude - floats("amplitude")[0]).abs() < 1e-6, "{}", directory.display());
            compared += 1;
        }
    }
    assert!(compared > 20);
}

#[test]
fn module_paths_lead_there_and_back() {
    for directory in all() {
        let checkpoint = Checkpoint::open(&directory).unwrap();
        let (family, spec) = (checkpoint.family(), checkpoint.spec());
        for module in linear_modules(spec) {
            let path = family.module_path(&module.name).unwrap();
            assert_eq!(family.module_at(&path).as_ref(), Some(&module.name), "{path}");
            assert!(!path.contains('{'), "{path}");
        }
        assert_eq!(family.stored_parameters(spec).len(), parameters(spec).len());
        assert_eq!(family.module_at("model.layers.00.self_attn.q_proj"), None);
        assert_eq!(family.module_at("model.layers..self_attn.q_proj"), None);
        assert_eq!(family.module_at("model.layers.x.self_attn.q_proj"), None);
    }
}

#[test]
fn names_are_those_of_checkpoints() {
    let path = |family: &str, module: &str| families::by_id(family).unwrap().module_path(module).unwrap();
    assert_eq!(path("llama", "blocks.0.attention.q"), "model.layers.0.self_attn.q_proj");
    assert_eq!(path("gpt2", "blocks.11.attention.qkv"), "transformer.h.11.attn.c_attn");
    assert_eq!(path("gpt_neox", "blocks.2.mlp.down"), "gpt_neox.layers.2.mlp.dense_4h_to_h");
    assert_eq!(path("phi3", "blocks.1.mlp.gate_up"), "model.layers.1.mlp.gate_up_proj");
    assert!(families::by_id("gpt2").unwrap().is_transposed("blocks.0.mlp.up"));
    assert!(!families::by_id("gpt_neo").unwrap().is_transposed("blocks.0.mlp.up"));
}

#[test]
fn switches_of_the_families() {
    let spec = |name: &str| Checkpoint::open(&root().join(name)).unwrap().spec().clone();
    let windows = |spec: &Spec| spec.layers.iter().map(|layer| layer.window).collect::<Vec<_>>();
    let gemma2 = spec("gemma2");
    assert_eq!(gemma2.norm_placement, NormPlacement::Sandwich);
    assert_eq!((gemma2.attention_softcap, gemma2.final_softcap), (Some(2.0), Some(3.0)));
    assert_eq!((gemma2.norm.weight_offset, gemma2.embedding_scale), (1.0, 4.0));
    assert_eq!(windows(&gemma2), [Some(5), None]);
    let gemma3 = spec("gemma3");
    assert_eq!(windows(&gemma3), [Some(5), Some(5), None]);
    assert_eq!(gemma3.layers.iter().map(|layer| layer.rotary).collect::<Vec<_>>(), [Some(1), Some(1), Some(0)]);
    assert_eq!(windows(&spec("qwen2")), [None, Some(7), Some(7)]);
    assert_eq!(windows(&spec("mistral")), [Some(6); 2]);
    assert_eq!(windows(&spec("gpt_neo")), [None, Some(6)]);
    assert_eq!(spec("gpt_neo").attention_scale, 1.0);
    assert_eq!(spec("gpt2-untied").attention_scale, 1.0);
    assert_eq!(spec("olmo2").qk_norm, QkNorm::FullWidth);
    assert_eq!(spec("gpt_neox").qkv, Qkv::PerHead);
    assert_eq!(spec("gpt_neox-sequential").activation, Activation::GeluTanh);
    assert!(spec("gpt_neox").parallel_residual && !spec("gpt_neox-sequential").parallel_residual);
    assert_eq!(spec("llama-score").outputs, [Head::SCORE]);
    assert_eq!(spec("llama").outputs, [Head::UNEMBEDDING]);
}

#[test]
fn longrope_has_two_sets_of_tables() {
    let spec = Checkpoint::open(&root().join("phi3-longrope-long")).unwrap().spec().clone();
    assert_eq!(spec.max_positions, 16);
    let long = spec.for_length(17);
    assert_eq!((long.max_positions, long.long_context.is_none()), (64, true));
    assert_ne!(long.rotaries, spec.rotaries);
    assert_eq!(spec.for_length(16), spec);
}

#[test]
fn a_llama_made_from_nothing_has_a_configuration() {
    let spec = Checkpoint::open(&root().join("llama")).unwrap().spec().clone();
    let map = families::llama_config(&spec, 10_000.0).unwrap();
    assert_eq!(map["rms_norm_eps"], json!(1e-5));
    assert_eq!(read(map).unwrap(), spec);
    let other = Checkpoint::open(&root().join("llama-yarn")).unwrap().spec().clone();
    assert!(matches!(families::llama_config(&other, 10_000.0), Err(Error::Weights { .. })));
}

#[test]
fn unsupported_architectures_are_named_with_what_is_supported() {
    let other = json!({ "architectures": ["MixtralForCausalLM"], "model_type": "mixtral" });
    refused("llama", other, &["MixtralForCausalLM", "LlamaForCausalLM", "GPTNeoXForCausalLM"]);
    refused("llama", json!({ "architectures": ["LlamaModel"] }), &["LlamaModel", "not supported"]);
    refused("llama", json!({ "architectures": ["LlamaForCausalLM", "GPT2LMHeadModel"] }), &["not supported"]);
    let custom = json!({ "architectures": ["EvilForCausalLM"], "auto_map": { "AutoModel": "evil.Evil" } });
    refused("llama", custom, &["never run"]);
    refused("llama", json!({ "architectures": "LlamaForCausalLM" }), &["`architectures` must be a list"]);
    refused("llama", json!({ "model_type": "mistral" }), &["`model_type`", "llama"]);
    // Without `architectures` the model type decides; code that comes with a known class is not needed.
    assert!(with("llama", json!({ "architectures": null, "auto_map": { "AutoModel": "x.Y" } })).is_ok());
}

#[test]
fn heads_are_read_from_class_labels_and_list() {
    let heads = |name: &str, changes: Value| with(name, changes).unwrap().outputs;
    assert_eq!(heads("llama-score", json!({ "id2label": { "0": "a", "1": "b" } })), [Head::score(2)]);
    assert_eq!(heads("llama-score", json!({ "id2label": null })), [Head::score(2)]);
    assert_eq!(heads("llama-score", json!({ "id2label": null, "num_labels": 1 })), [Head::SCORE]);
    let tokens = json!({ "architectures": ["LlamaForTokenClassification"], "num_labels": 3 });
    assert_eq!(heads("llama", tokens), [Head::token_score(3)]);
    let item = |name: &str, kind: &str, width: i64| json!({ "name": name, "kind": kind, "width": width });
    let listed = json!({ "groma_heads": [item("value", "token", 1), item("topic", "sequence", 5)] });
    let topic = Head::named("topic", HeadKind::Sequence, 5);
    assert_eq!(heads("llama", listed), [Head::UNEMBEDDING, Head::VALUE, topic]);
    for (wrong, part) in [
        (item("value", "layer", 1), "sequence, token, action or action_copy"),
        (item("value", "token", 0), "a width"),
        (item("value", "token", 1 << 40), "a width"),
        (item("blocks.0.mlp.up", "token", 1), "letters"),
        (item("unembed", "token", 1), "two parts named unembed"),
        (item("embed", "token", 1), "two parts named embed"),
    ] {
        refused("llama", json!({ "groma_heads": [wrong] }), &["groma_heads", part]);
    }
    refused("llama", json!({ "groma_heads": vec![item("a", "token", 1); 65] }), &["limit is 64"]);
    refused("olmo2", json!({ "architectures": ["Olmo2ForTokenClassification"] }), &["not supported"]);
    refused("llama-score", json!({ "id2label": null, "num_labels": 1 << 21 }), &["num_labels", "limit"]);
}

#[test]
fn unknown_fields_are_named_unless_neutral() {
    refused("llama", json!({ "qk_layernorm": true }), &["unknown field", "`qk_layernorm` = true"]);
    refused("llama", json!({ "logit_scale": 0.5, "clip_qkv": 8 }), &["unknown fields", "logit_scale", "clip_qkv"]);
    refused("llama", json!({ "rms_norm_epsilon": 1e-3 }), &["is `rms_norm_eps` meant?"]);
    let scaling = json!({ "rope_type": "linear", "factor": 2.0, "offset": 3 });
    refused("llama", json!({ "rope_parameters": scaling }), &["rope_parameters.offset"]);
    assert!(with("llama", json!({ "some_flag": false, "some_list": [], "_private": 3 })).is_ok());
    let many = json!({ "torch_dtype": "float16", "use_cache": false, "transformers.js_config": { "dtype": "q4" } });
    assert!(with("llama", many).is_ok());
}

#[test]
fn fields_that_change_the_function_are_refused() {
    refused("gpt2", json!({ "scale_attn_by_inverse_layer_idx": true }), &["scale_attn_by_inverse_layer_idx"]);
    refused("gpt2", json!({ "add_cross_attention": true }), &["add_cross_attention"]);
    refused("llama", json!({ "quantization_config": { "bits": 4 } }), &["quantization_config", "quantised"]);
    refused("gemma", json!({ "use_bidirectional_attention": true }), &["causal"]);
    refused("gemma3", json!({ "attn_logit_softcapping": 50.0 }), &["attn_logit_softcapping"]);
    refused("llama", json!({ "hidden_act": "quick_gelu" }), &["quick_gelu", "supported are"]);
    refused("llama", json!({ "rope_parameters": { "rope_type": "mrope" } }), &["mrope", "supported are"]);
    refused("llama", json!({ "partial_rotary_factor": 0.5 }), &["partial_rotary_factor", "whole heads"]);
    refused("mistral", json!({ "layer_types": ["full_attention", "sliding_attention"] }), &["layer_types"]);
    refused("qwen2", json!({ "layer_types": ["full_attention", "full_attention"] }), &["2 entries for 3 layers"]);
    refused("gemma2", json!({ "layer_types": ["chunked_attention", "full_attention"] }), &["chunked_attention"]);
    refused("phi3", json!({ "attention_bias": true }), &["attention_bias"]);
    refused("gpt_neox", json!({ "rope_theta": 5.0 }), &["rope_theta", "rotary_emb_base"]);
    refused("gpt_neo", json!({ "attention_layers": ["local", "local"] }), &["contradicts"]);
    // Given, but of no influence.
    assert!(with("gpt2", json!({ "reorder_and_upcast_attn": true, "attn_pdrop": 0.3 })).is_ok());
    assert!(with("llama", json!({ "pretraining_tp": 4 })).is_ok());
}

#[test]
fn hostile_configurations_are_errors_before_any_allocation() {
    refused("llama", json!({ "num_hidden_layers": 1_000_000_000 }), &["num_hidden_layers"]);
    refused("llama", json!({ "num_hidden_layers": 100_000_000 }), &["limit is 4096"]);
    refused("llama", json!({ "num_attention_heads": 3 }), &["does not divide"]);
    refused("llama", json!({ "num_attention_heads": 5, "head_dim": null }), &["does not divide"]);
    refused("llama", json!({ "num_key_value_heads": 0 }), &["from 1"]);
    refused("llama", json!({ "hidden_size": -16 }), &["`hidden_size` must be a whole number", "-16"]);
    refused("llama", json!({ "hidden_size": "16" }), &["\"16\""]);
    refused("llama", json!({ "hidden_size": 16.0 }), &["16.0"]);
    refused("llama", json!({ "hidden_size": null }), &["`hidden_size` is missing"]);
    refused("llama", json!({ "vocab_size": 0 }), &["vocab_size"]);
    refused("llama", json!({ "vocab_size": 1u64 << 60 }), &["vocab_size"]);
    refused("llama", json!({ "rms_norm_eps": 0.0 }), &["positive"]);
    refused("llama", json!({ "rms_norm_eps": "1e-5" }), &["positive"]);
    refused("llama", json!({ "tie_word_embeddings": "yes" }), &["true or false"]);
    refused("llama", json!({ "rope_parameters": { "rope_theta": 0.0 } }), &["rope_theta"]);
    refused("llama", json!({ "rope_parameters": { "rope_theta": 1.0 } }), &["above 1"]);
    refused("llama", json!({ "rope_parameters": [1] }), &["must be an object"]);
    refused("llama-yarn", json!({ "head_dim": 1u64 << 27 }), &["too large"]);
    refused("mistral", json!({ "sliding_window": -1 }), &["sliding_window"]);
    refused("gpt_neo", json!({ "attention_types": [[["global"], 1u64 << 62]] }), &["more than 2 layers"]);
    refused("gpt_neo", json!({ "attention_types": [["global", 1]] }), &["repetitions"]);
    refused(
        "phi3-longrope-short",
        json!({ "rope_scaling": { "type": "longrope", "long_factor": [1.0],
        "short_factor": [1.0, 1.0, 1.0] }, "partial_rotary_factor": 0.75 }),
        &["must have 3 numbers"],
    );
    let huge = json!({ "hidden_size": 1 << 24, "intermediate_size": 1 << 27, "vocab_size": 1 << 28,
        "num_hidden_layers": 4096, "head_dim": 4 });
    refused("llama", huge, &["parameters", "limit"]);
}

#[test]
fn malformed_files_are_errors() {
    let parse = |text: &str| Config::parse(Path::new("config.json"), text.as_bytes());
    assert!(matches!(parse("{"), Err(Error::Json { .. })));
    assert!(matches!(parse(""), Err(Error::Json { .. })));
    assert!(matches!(parse("[1]"), Err(Error::Field { .. })));
    assert!(matches!(parse("{\"a\": NaN}"), Err(Error::Json { .. })));
    let nested = |depth: usize| format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    assert!(matches!(parse(&nested(64)), Err(Error::Field { .. })));
    assert!(matches!(parse(&nested(100_000)), Err(Error::Json { .. })));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.json");
    assert!(matches!(Config::read(&path), Err(Error::Io { action: "open", .. })));
    std::fs::write(&path, " ".repeat((4 << 20) + 1)).unwrap();
    assert!(matches!(Config::read(&path), Err(Error::TooLarge { .. })));
}

proptest::proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_value_of_any_field_panics(field in 0usize..60, value in 0usize..14, fixture in 0usize..25) {
        let directories = all();
        let name = directories[fixture % directories.len()].file_name().unwrap().to_str().unwrap().to_owned();
        let mut map = config(&name);
        let key = map.keys().nth(field % map.len()).unwrap().clone();
        let values = [
            json!(0), json!(1), json!(-1), json!(3), json!(7.5), json!(1e300), json!(u64::MAX), json!("x"), json!([]),
            json!({}), json!(null), json!(true), json!([[["global"], 3]]), json!({ "rope_type": "yarn", "factor": 1e-9 }),
        ];
        map.insert(key, values[value].clone());
        let _ = read(map).map(|spec| parameters(&spec).len());
    }
}
