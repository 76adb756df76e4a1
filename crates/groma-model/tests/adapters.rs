//! Adapters in PEFT's layout: there and back, and everything that is refused.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper fails the test")]

use std::path::{Path, PathBuf};

use groma_model::{AdapterFile, BaseModel, Checkpoint, Error, LoraConfig, Spec, Tensor};
use serde_json::{Value, json};

fn fixture(kind: &str, name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind).join(name)
}

fn spec(name: &str) -> Spec {
    Checkpoint::open(&fixture("families", name)).unwrap().spec().clone()
}

/// A copy of a fixture's adapter with changed settings.
fn changed(name: &str, changes: Value) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let source = fixture("adapters", name);
    let mut config: Value =
        serde_json::from_slice(&std::fs::read(source.join("adapter_config.json")).unwrap()).unwrap();
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    std::fs::write(directory.path().join("adapter_config.json"), config.to_string()).unwrap();
    let tensors = "adapter_model.safetensors";
    std::fs::copy(source.join(tensors), directory.path().join(tensors)).unwrap();
    directory
}

#[track_caller]
fn refused(name: &str, base: &str, changes: Value, part: &str) {
    let directory = changed(name, changes);
    let error = AdapterFile::read(directory.path(), &spec(base)).unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
}

#[test]
fn what_peft_wrote_is_written_back() {
    for (name, base) in
        [("llama", "llama"), ("llama-rslora", "llama"), ("llama-score", "llama-score"), ("gpt2", "gpt2")]
    {
        let (source, spec) = (fixture("adapters", name), spec(base));
        let adapter = AdapterFile::read(&source, &spec).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("adapter");
        adapter.write(&target, &spec, Some("# Card"), &[("tokenizer.json".into(), b"{}".to_vec())]).unwrap();
        assert_eq!(AdapterFile::read(&target, &spec).unwrap(), adapter);
        let tensors = "adapter_model.safetensors";
        // PEFT orders by type and name too, so that the files are the same to the byte.
        assert_eq!(std::fs::read(target.join(tensors)).unwrap(), std::fs::read(source.join(tensors)).unwrap());
        compare_configs(&source, &target);
        assert_eq!(std::fs::read(target.join("README.md")).unwrap(), b"# Card");
    }
}

/// Each field that we write is as PEFT wrote it, but for the order of modules and the second name of the head.
fn compare_configs(source: &Path, target: &Path) {
    let read = |directory: &Path| -> Value {
        serde_json::from_slice(&std::fs::read(directory.join("adapter_config.json")).unwrap()).unwrap()
    };
    let (theirs, ours) = (read(source), read(target));
    let sorted = |value: &Value| {
        let mut names: Vec<String> =
            value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    for (key, value) in ours.as_object().unwrap() {
        match key.as_str() {
            "target_modules" => {
                // For `all-linear` PEFT lists whole paths; the ends mean the same.
                let mut ends: Vec<String> =
                    sorted(&theirs[key]).iter().map(|path| path.rsplit('.').next().unwrap().into()).collect();
                ends.sort();
                ends.dedup();
                assert_eq!(sorted(value), ends);
            }
            "modules_to_save" if !value.is_null() => assert_eq!(value, &json!(["score"])),
            _ => assert_eq!(value, &theirs[key], "{key}"),
        }
    }
}

#[test]
fn modules_that_no_short_name_tells_apart_are_named_in_full() {
    let spec = spec("llama");
    let mut adapter = AdapterFile::read(&fixture("adapters", "llama"), &spec).unwrap();
    adapter.pairs.retain(|module, _| module.as_str() == "blocks.1.attention.q");
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("adapter");
    adapter.write(&target, &spec, None, &[]).unwrap();
    let config: Value = serde_json::from_slice(&std::fs::read(target.join("adapter_config.json")).unwrap()).unwrap();
    assert_eq!(config["target_modules"], json!(["model.layers.1.self_attn.q_proj"]));
}

#[test]
fn scale_follows_rank_and_alpha() {
    let plain = AdapterFile::read(&fixture("adapters", "llama"), &spec("llama")).unwrap();
    assert_eq!(plain.lora().scale, (7.0_f64 / 3.0) as f32);
    let stabilised = AdapterFile::read(&fixture("adapters", "llama-rslora"), &spec("llama")).unwrap();
    assert_eq!(stabilised.lora().scale, 2.5);
}

#[test]
fn unsupported_features_are_refused() {
    let cases = [
        (json!({ "use_dora": true }), "DoRA"),
        (json!({ "bias": "all" }), "trained biases"),
        (json!({ "rank_pattern": { "q_proj": 4 } }), "rank_pattern"),
        (json!({ "alpha_pattern": { "q_proj": 4 } }), "alpha_pattern"),
        (json!({ "peft_type": "IA3" }), "only LORA"),
        (json!({ "peft_type": null }), "peft_type"),
        (json!({ "task_type": "SEQ_2_SEQ_LM" }), "SEQ_2_SEQ_LM"),
        (json!({ "init_lora_weights": "pissa" }), "pissa"),
        (json!({ "layer_replication": [[0, 2]] }), "layer_replication"),
        (json!({ "lora_bias": true }), "lora_bias"),
        (json!({ "use_qalora": true }), "use_qalora"),
        (json!({ "some_new_method_config": { "a": 1 } }), "some_new_method_config"),
        (json!({ "lora_dropout": 1.0 }), "lora_dropout"),
        (json!({ "lora_alpha": -1 }), "lora_alpha"),
        (json!({ "r": 0 }), "`r`"),
        (json!({ "r": 1_000_000 }), "limit"),
        (json!({ "r": 4 }), "shape"),
        (json!({ "fan_in_fan_out": true }), "fan_in_fan_out"),
    ];
    for (changes, part) in cases {
        refused("llama", "llama", changes, part);
    }
}

#[test]
fn adapters_of_another_model_are_refused() {
    refused("gpt2", "llama", json!({}), "does not have");
    refused("llama", "llama-biases", json!({}), "shape");
    refused("llama-score", "llama", json!({}), "shape");
}

#[test]
fn pickled_and_missing_files() {
    let directory = changed("llama", json!({}));
    let tensors = directory.path().join("adapter_model.safetensors");
    std::fs::remove_file(&tensors).unwrap();
    let read = || AdapterFile::read(directory.path(), &spec("llama")).unwrap_err();
    assert!(matches!(read(), Error::Io { .. }));
    std::fs::write(directory.path().join("adapter_model.bin"), b"PK").unwrap();
    assert!(matches!(read(), Error::Pickle { .. }));
}

#[test]
fn what_does_not_fit_is_not_written() {
    let spec = spec("llama");
    let adapter = AdapterFile::read(&fixture("adapters", "llama"), &spec).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("adapter");
    let write = |adapter: &AdapterFile| adapter.write(&target, &spec, None, &[]).unwrap_err();

    let mut nan = adapter.clone();
    nan.pairs.values_mut().next().unwrap().a.values[0] = f32::NAN;
    assert!(matches!(write(&nan), Error::NonFiniteWeights { .. }));
    let mut wide = adapter.clone();
    wide.pairs.values_mut().next().unwrap().b = Tensor::zeros(vec![1, 3]);
    assert!(matches!(write(&wide), Error::Weights { .. }));
    let mut empty = adapter;
    empty.pairs.clear();
    assert!(matches!(write(&empty), Error::Weights { .. }));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
}

/// An adapter finds its base from any directory: by absolute path, beside itself, or by hub id where the snapshot lay.
#[test]
fn a_base_is_found_from_anywhere() {
    let place = tempfile::tempdir().unwrap();
    let snapshot = place.path().join("models--org--name/snapshots/0123456789abcdef0123456789abcdef01234567");
    let plain = place.path().join("plain");
    for base in [&snapshot, &plain] {
        std::fs::create_dir_all(base).unwrap();
        for entry in std::fs::read_dir(fixture("families", "llama")).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, base.join(path.file_name().unwrap())).unwrap();
        }
    }
    let spec = spec("llama");
    let file = AdapterFile::read(&fixture("adapters", "llama"), &spec).unwrap();
    let hub = BaseModel::at(&snapshot);
    assert_eq!((hub.name.as_deref(), hub.revision.as_deref().map(str::len)), (Some("org/name"), Some(40)));
    let beside = BaseModel { name: Some("../plain".into()), ..BaseModel::default() };
    for (index, (base, directory)) in
        [(hub, &snapshot), (BaseModel::at(&plain), &plain), (beside, &plain)].into_iter().enumerate()
    {
        let target = place.path().join(index.to_string());
        let config = LoraConfig { base: base.clone(), ..file.config.clone() };
        AdapterFile { config, ..file.clone() }.write(&target, &spec, None, &[]).unwrap();
        assert_eq!(AdapterFile::read(&target, &spec).unwrap().config.base, base);
        let found = AdapterFile::base_directory(&target).unwrap();
        assert_eq!(found.canonicalize().unwrap(), directory.canonicalize().unwrap());
    }
    let relative = std::path::absolute("some/where").unwrap();
    assert_eq!(BaseModel::at(Path::new("some/where")).name, Some(relative.to_string_lossy().into_owned()));
}
