//! Configurations with the fields that published models have: all of them must be read without an edit.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed helper fails the test")]

use std::path::{Path, PathBuf};

use groma_model::spec::Spec;
use groma_model::{AdapterFile, Checkpoint, Config, families, parameters};
use serde_json::{Map, Value, json};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn object(path: &Path) -> Map<String, Value> {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A copy of a fixture's directory whose file `name` has other fields.
fn copy(directory: &Path, name: &str, fields: &Map<String, Value>) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    std::fs::write(copy.path().join(name), serde_json::to_vec(fields).unwrap()).unwrap();
    copy
}

/// The fields that configuration classes write and that published models carry, from `scripts/make_config_fixtures.py`.
#[test]
fn the_published_fields_of_each_family_change_nothing() {
    let fields = Value::Object(object(&fixtures().join("config_fields.json")));
    let published = &fields["published"];
    for (family, class) in fields["families"].as_object().unwrap() {
        let directory = fixtures().join("families").join(family);
        let plain = object(&directory.join("config.json"));
        let mut all = plain.clone();
        for source in [class, &fields["generation"], &published["all"], &published[family]] {
            for (name, value) in source.as_object().into_iter().flatten() {
                all.entry(name.clone()).or_insert(value.clone());
            }
        }
        assert!(all.len() > plain.len() + 70, "{family}");
        let copy = copy(&directory, "config.json", &all);
        let (opened, original) = (Checkpoint::open(copy.path()).unwrap(), Checkpoint::open(&directory).unwrap());
        assert_eq!(opened.spec(), original.spec(), "{family}");
        assert_eq!(opened.weights().unwrap(), original.weights().unwrap(), "{family}");
        for (name, value) in [
            ("quantization_config", json!({ "bits": 4 })),
            ("use_bidirectional_attention", json!(true)),
            ("residual_multiplier", json!(0.22)),
        ] {
            all.insert(name.into(), value);
            let config = Config::new(Path::new("config.json"), all.clone());
            let error = families::read(&config).unwrap_err().to_string();
            assert!(error.contains(name), "{family}: {error}");
            all.remove(name);
        }
    }
}

#[test]
fn the_fields_of_an_adapter_change_nothing() {
    let fields = object(&fixtures().join("config_fields.json"));
    let directory = fixtures().join("adapters/llama");
    let spec = Checkpoint::open(&fixtures().join("families/llama")).unwrap().spec().clone();
    let mut all = object(&directory.join("adapter_config.json"));
    for (name, value) in fields["peft"].as_object().unwrap() {
        all.entry(name.clone()).or_insert(value.clone());
    }
    all.insert("eva_config".into(), json!({ "rho": 2.0 }));
    all.insert("init_lora_weights".into(), json!("eva"));
    let read = |all: &Map<String, Value>| AdapterFile::read(copy(&directory, "adapter_config.json", all).path(), &spec);
    assert_eq!(read(&all).unwrap(), AdapterFile::read(&directory, &spec).unwrap());
    for (name, value) in [("use_dora", json!(true)), ("lora_bias", json!(true)), ("use_qalora", json!(true))] {
        let mut changed = all.clone();
        changed.insert(name.into(), value);
        let error = read(&changed).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn gpt_2_medium() {
    let spec = read(json!({
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 1024, "n_head": 16, "n_layer": 24,
        "n_positions": 1024, "n_special": 0, "predict_special_tokens": true, "resid_pdrop": 0.1,
        "summary_activation": null, "summary_first_dropout": 0.1, "summary_proj_to_labels": true,
        "summary_type": "cls_index", "summary_use_proj": true,
        "task_specific_params": { "text-generation": { "do_sample": true, "max_length": 50 } }, "vocab_size": 50257
    }));
    assert_eq!(count(&spec), 354_823_168);
}

fn read(value: Value) -> Spec {
    let config = Config::parse(Path::new("config.json"), value.to_string().as_bytes()).unwrap();
    families::read(&config).unwrap_or_else(|error| panic!("{error}"))
}

fn count(spec: &Spec) -> usize {
    parameters(spec).iter().map(|parameter| parameter.shape.iter().product::<usize>()).sum()
}

#[test]
fn llama_3_2_1b() {
    let spec = read(json!({
        "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "bos_token_id": 128000, "eos_token_id": [128001, 128008, 128009], "head_dim": 64, "hidden_act": "silu",
        "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 131072,
        "mlp_bias": false, "model_type": "llama", "num_attention_heads": 32, "num_hidden_layers": 16,
        "num_key_value_heads": 8, "pretraining_tp": 1, "rms_norm_eps": 1e-05,
        "rope_scaling": { "factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
            "original_max_position_embeddings": 8192, "rope_type": "llama3" },
        "rope_theta": 500000.0, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "transformers_version": "4.45.0.dev0", "use_cache": true, "vocab_size": 128256
    }));
    assert_eq!(count(&spec), 1_235_814_400);
}

#[test]
fn smollm2_135m() {
    let spec = read(json!({
        "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 1,
        "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664,
        "intermediate_size": 1536, "is_llama_config": true, "max_position_embeddings": 8192, "model_type": "llama",
        "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pad_token_id": 2,
        "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": false, "rope_scaling": null,
        "rope_theta": 100000, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "transformers_version": "4.42.3", "transformers.js_config": { "kv_cache_dtype": { "q4f16": "float16" } },
        "use_cache": true, "vocab_size": 49152
    }));
    assert_eq!(count(&spec), 134_515_008);
}

#[test]
fn mistral_7b_v0_1() {
    let spec = read(json!({
        "architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
        "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 32768,
        "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
        "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": false,
        "torch_dtype": "bfloat16", "transformers_version": "4.34.0.dev0", "use_cache": true, "vocab_size": 32000
    }));
    assert_eq!(count(&spec), 7_241_732_096);
    assert!(spec.layers.iter().all(|layer| layer.window == Some(4096)));
}

#[test]
fn qwen2_5_0_5b() {
    let spec = read(json!({
        "architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
        "eos_token_id": 151645, "hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02,
        "intermediate_size": 4864, "max_position_embeddings": 32768, "max_window_layers": 21, "model_type": "qwen2",
        "num_attention_heads": 14, "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06,
        "rope_theta": 1000000.0, "sliding_window": 32768, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "transformers_version": "4.43.1", "use_cache": true, "use_mrope": false, "use_sliding_window": false,
        "vocab_size": 151936
    }));
    assert_eq!(count(&spec), 494_032_768);
    assert!(spec.layers.iter().all(|layer| layer.window.is_none()));
}

#[test]
fn qwen3_0_6b() {
    let spec = read(json!({
        "architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "bos_token_id": 151643, "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024,
        "initializer_range": 0.02, "intermediate_size": 3072, "max_position_embeddings": 40960,
        "max_window_layers": 28, "model_type": "qwen3", "num_attention_heads": 16, "num_hidden_layers": 28,
        "num_key_value_heads": 8, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 1000000,
        "sliding_window": null, "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "transformers_version": "4.51.0", "use_cache": true, "use_sliding_window": false, "vocab_size": 151936
    }));
    assert_eq!(count(&spec), 596_049_920);
}

#[test]
fn gemma_2b() {
    let spec = read(json!({
        "architectures": ["GemmaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 2,
        "eos_token_id": 1, "head_dim": 256, "hidden_act": "gelu", "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 2048, "initializer_range": 0.02, "intermediate_size": 16384, "max_position_embeddings": 8192,
        "model_type": "gemma", "num_attention_heads": 8, "num_hidden_layers": 18, "num_key_value_heads": 1,
        "pad_token_id": 0, "rms_norm_eps": 1e-06, "rope_scaling": null, "rope_theta": 10000.0,
        "torch_dtype": "bfloat16", "transformers_version": "4.38.0.dev0", "use_cache": true, "vocab_size": 256000
    }));
    assert_eq!(count(&spec), 2_506_172_416);
}

#[test]
fn gemma_2_2b() {
    let spec = read(json!({
        "architectures": ["Gemma2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "attn_logit_softcapping": 50.0, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 107],
        "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
        "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "initializer_range": 0.02,
        "intermediate_size": 9216, "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8,
        "num_hidden_layers": 26, "num_key_value_heads": 4, "pad_token_id": 0, "query_pre_attn_scalar": 256,
        "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "sliding_window": 4096, "torch_dtype": "bfloat16",
        "transformers_version": "4.42.4", "use_cache": true, "vocab_size": 256000
    }));
    assert_eq!(count(&spec), 2_614_341_888);
}

#[test]
fn gemma_3_1b() {
    let spec = read(json!({
        "architectures": ["Gemma3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "attn_logit_softcapping": null, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": [1, 106],
        "final_logit_softcapping": null, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh",
        "hidden_size": 1152, "initializer_range": 0.02, "intermediate_size": 6912, "max_position_embeddings": 32768,
        "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 26, "num_key_value_heads": 1,
        "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000,
        "rope_scaling": null, "rope_theta": 1000000, "sliding_window": 512, "sliding_window_pattern": 6,
        "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0", "use_cache": true, "vocab_size": 262144
    }));
    assert_eq!(count(&spec), 999_885_952);
    assert_eq!(spec.layers.iter().filter(|layer| layer.window.is_none()).count(), 4);
}

#[test]
fn phi_3_mini_4k_and_phi_4_mini() {
    let mut phi3 = json!({
        "_name_or_path": "Phi-3-mini-4k-instruct", "architectures": ["Phi3ForCausalLM"], "attention_bias": false,
        "attention_dropout": 0.0, "auto_map": { "AutoConfig": "configuration_phi3.Phi3Config" }, "bos_token_id": 1,
        "embd_pdrop": 0.0, "eos_token_id": 32000, "hidden_act": "silu", "hidden_size": 3072,
        "initializer_range": 0.02, "intermediate_size": 8192, "max_position_embeddings": 4096, "model_type": "phi3",
        "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
        "original_max_position_embeddings": 4096, "pad_token_id": 32000, "resid_pdrop": 0.0, "rms_norm_eps": 1e-05,
        "rope_scaling": null, "rope_theta": 10000.0, "sliding_window": 2047, "tie_word_embeddings": false,
        "torch_dtype": "bfloat16", "transformers_version": "4.40.2", "use_cache": true, "vocab_size": 32064
    });
    assert_eq!(count(&read(phi3.clone())), 3_821_079_552);
    let changes = json!({
        "full_attn_mod": 1, "interpolate_factor": 1, "lm_head_bias": false, "mlp_bias": false,
        "max_position_embeddings": 131072, "num_attention_heads": 24, "num_key_value_heads": 8,
        "partial_rotary_factor": 0.75, "sliding_window": 262144, "tie_word_embeddings": true, "vocab_size": 200064,
        "rope_scaling": { "type": "longrope", "long_factor": vec![1.5; 48], "short_factor": vec![1.0; 48] }
    });
    let fields = phi3.as_object_mut().unwrap();
    fields.extend(changes.as_object().unwrap().clone());
    let spec = read(phi3);
    assert_eq!(count(&spec), 3_836_021_760);
    assert_eq!((spec.rotaries[0].rotated, spec.max_positions), (96, 4096));
    assert_eq!(spec.for_length(5000).max_positions, 131_072);
}

#[test]
fn olmo_2_1b() {
    let spec = read(json!({
        "architectures": ["Olmo2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
        "eos_token_id": 100257, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
        "intermediate_size": 8192, "max_position_embeddings": 4096, "model_type": "olmo2", "num_attention_heads": 16,
        "num_hidden_layers": 16, "num_key_value_heads": 16, "pad_token_id": 100277, "rms_norm_eps": 1e-06,
        "rope_scaling": null, "rope_theta": 500000, "tie_word_embeddings": false, "torch_dtype": "float32",
        "transformers_version": "4.47.0", "use_cache": true, "vocab_size": 100352
    }));
    assert_eq!(count(&spec), 1_484_916_736);
}

#[test]
fn gpt2_small() {
    let spec = read(json!({
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
        "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12,
        "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": null, "summary_first_dropout": 0.1,
        "summary_proj_to_labels": true, "summary_type": "cls_index", "summary_use_proj": true,
        "task_specific_params": { "text-generation": { "do_sample": true, "max_length": 50 } }, "vocab_size": 50257
    }));
    assert_eq!(count(&spec), 124_439_808);
}

#[test]
fn gpt_neo_125m() {
    let spec = read(json!({
        "activation_function": "gelu_new", "architectures": ["GPTNeoForCausalLM"], "attention_dropout": 0,
        "attention_layers": (0..12).map(|layer| ["global", "local"][layer % 2]).collect::<Vec<_>>(),
        "attention_types": [[["global", "local"], 6]], "bos_token_id": 50256, "embed_dropout": 0,
        "eos_token_id": 50256, "gradient_checkpointing": false, "hidden_size": 768, "initializer_range": 0.02,
        "intermediate_size": null, "layer_norm_epsilon": 1e-05, "max_position_embeddings": 2048,
        "model_type": "gpt_neo", "num_heads": 12, "num_layers": 12, "resid_dropout": 0, "summary_activation": null,
        "summary_first_dropout": 0.1, "summary_proj_to_labels": true, "summary_type": "cls_index",
        "summary_use_proj": true, "transformers_version": "4.9.0.dev0", "use_cache": true, "vocab_size": 50257,
        "window_size": 256
    }));
    assert_eq!(count(&spec), 125_198_592);
}

#[test]
fn pythia_70m() {
    let spec = read(json!({
        "architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "classifier_dropout": 0.1, "eos_token_id": 0,
        "hidden_act": "gelu", "hidden_size": 512, "initializer_range": 0.02, "intermediate_size": 2048,
        "layer_norm_eps": 1e-05, "max_position_embeddings": 2048, "model_type": "gpt_neox", "num_attention_heads": 8,
        "num_hidden_layers": 6, "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": false,
        "torch_dtype": "float16", "transformers_version": "4.24.0", "use_cache": true, "use_parallel_residual": true,
        "vocab_size": 50304
    }));
    assert_eq!(count(&spec), 70_426_624);
    assert_eq!(spec.rotaries[0].rotated, 16);
}
