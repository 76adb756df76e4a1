//! Adapters: equal to merged weights, the base frozen, layers chosen by name, and export of all forms.

use crate::support::{fingerprint, model, prepared, settings};
use crate::training::run;
use groma_align::{Card, History, Prepared, Session, evaluate, export, setup, train};
use groma_kernels::Cpu;
use groma_model::{AdapterFile, Checkpoint, Transformer, families};
use groma_run::Digest;
use serde_json::json;
use std::collections::BTreeMap;
use std::sync::Arc;

fn card() -> Card {
    Card {
        name: "tiny".into(),
        base_model: Some("base".into()),
        base_digest: Digest::of_bytes(b""),
        data: "rows.jsonl".into(),
        data_digest: Digest::of_bytes(b""),
        rows: 11,
        steps: 3,
        num_tokens: 100,
        metrics: BTreeMap::new(),
        findings: Vec::new(),
        version: "0".into(),
    }
}

/// Loss on the rows, as SFT.
fn loss(model: &Transformer, rows: &Prepared) -> f64 {
    evaluate(model, &settings("sft", json!({})), rows).unwrap()["eval_loss"]
}

#[test]
fn an_adapter_equals_its_merged_weights_and_leaves_the_base_alone() {
    let settings =
        settings("sft", json!({"max_steps": 6, "learning_rate": 1e-2, "lora": {"r": 4, "alpha": 16, "rslora": true}}));
    let rows = prepared(&settings);
    let (history, trained) = run(&settings, &rows, model(1));
    assert!(history.steps[5].loss < history.steps[0].loss);
    assert_eq!(trained.weights(), model(1).weights());
    let merged = Transformer::new(trained.spec().clone(), &trained.merged_weights(), Arc::new(Cpu::new())).unwrap();
    assert!((loss(&merged, &rows) - loss(&trained, &rows)).abs() < 1e-5);
    assert!(loss(&merged, &rows) < loss(&model(1), &rows) - 0.1);
}

#[test]
fn both_ways_to_the_reference_agree() {
    let run = |precompute: bool| {
        let settings = settings(
            "dpo",
            json!({"max_steps": 8, "learning_rate": 1e-2, "lora": {}, "precompute_ref_log_probs": precompute}),
        );
        run(&settings, &prepared(&settings), model(2))
    };
    let ((known, a), (switched, b)) = (run(true), run(false));
    for (x, y) in known.steps.iter().zip(&switched.steps) {
        assert!((x.loss - y.loss).abs() < 1e-9, "{x:?} {y:?}");
    }
    assert_eq!(fingerprint(&a), fingerprint(&b));
}

#[test]
fn layers_are_chosen_by_the_names_of_transformers() {
    let some = settings("dpo", json!({"lora": {"target_modules": ["q_proj", "mlp.down_proj"]}}));
    let adapted = setup(model(3), &some).unwrap().adapter().unwrap();
    let names: Vec<&str> = adapted.pairs.keys().map(String::as_str).collect();
    assert_eq!(names, ["blocks.0.attention.q", "blocks.0.mlp.down", "blocks.1.attention.q", "blocks.1.mlp.down"]);
    let wrong = settings("dpo", json!({"lora": {"target_modules": "q_prj"}}));
    let error = setup(model(3), &wrong).unwrap_err().to_string();
    assert!(error.contains("did you mean q_proj?"), "{error}");
    let all = setup(model(3), &settings("dpo", json!({"lora": {}}))).unwrap();
    assert_eq!(all.adapter().unwrap().pairs.len(), 14);
}

#[test]
fn training_goes_on_with_an_adapter_whose_start_is_the_reference() {
    let settings = settings("dpo", json!({"max_steps": 3, "learning_rate": 1e-2, "lora": {}}));
    let rows = prepared(&settings);
    let (_, trained) = run(&settings, &rows, model(4));
    let mut model = setup(trained, &settings).unwrap();
    let mut history = History::default();
    let session = Session { continues_adapter: true, observers: vec![&mut history], ..Session::new(&settings, &rows) };
    train(&mut model, session).unwrap();
    assert!((history.steps[0].loss - std::f64::consts::LN_2).abs() < 1e-6);
}

#[test]
fn exported_models_load_again_with_the_same_numbers() {
    let directory = tempfile::tempdir().unwrap();
    let config = families::llama_config(model(5).spec(), 10000.0).unwrap();
    for method in ["sft", "reward"] {
        let settings = settings(method, json!({"max_steps": 3, "learning_rate": 1e-2}));
        let rows = prepared(&settings);
        let (_, trained) = run(&settings, &rows, model(5));
        let path = directory.path().join(method);
        export(&trained, &settings, &config, None, &[], &card(), &path).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let loaded =
            Transformer::new(checkpoint.spec().clone(), &checkpoint.weights().unwrap(), Arc::new(Cpu::new())).unwrap();
        assert_eq!(evaluate(&loaded, &settings, &rows).unwrap(), evaluate(&trained, &settings, &rows).unwrap());
        assert!(std::fs::read_to_string(path.join("README.md")).unwrap().contains("base_model"));
    }
}

#[test]
fn exported_adapters_load_again_with_their_score_head() {
    let directory = tempfile::tempdir().unwrap();
    let config = families::llama_config(model(6).spec(), 10000.0).unwrap();
    let settings = settings("reward", json!({"max_steps": 3, "learning_rate": 1e-2, "lora": {"r": 2}}));
    let rows = prepared(&settings);
    let (_, trained) = run(&settings, &rows, model(6));
    export(&trained, &settings, &config, None, &[], &card(), directory.path().join("a").as_path()).unwrap();
    let file = AdapterFile::read(&directory.path().join("a"), trained.spec()).unwrap();
    assert!(file.head_weights["score.weight"].values.iter().any(|value| *value != 0.0));
    let mut weights = setup(model(6), &settings).unwrap().weights();
    weights.extend(file.head_weights.clone());
    let mut loaded = Transformer::new(trained.spec().clone(), &weights, Arc::new(Cpu::new())).unwrap();
    loaded.attach(&file.lora()).unwrap();
    assert_eq!(evaluate(&loaded, &settings, &rows).unwrap(), evaluate(&trained, &settings, &rows).unwrap());
}
