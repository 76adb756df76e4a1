//! Adapters: equal to merged weights, the base frozen, layers chosen by name, and export of all forms.

use crate::support::{fingerprint, model, prepared, settings};
use crate::training::run;
use groma_align::{Card, History, Origin, Prepared, Session, evaluate, export, setup, train};
use groma_kernels::Cpu;
use groma_model::{AdapterFile, BaseModel, Checkpoint, Export, Tokenizer, Transformer, families};
use groma_run::Digest;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

fn card() -> Card {
    Card {
        kernels: Vec::new(),
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

fn origin(config: &Map<String, Value>) -> Origin<'_> {
    let base = BaseModel { name: Some("base".into()), ..BaseModel::default() };
    Origin { config, generation_config: None, base, tokenizer: None, stop_ids: &[], files: &[] }
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
    for method in ["sft", "reward", "process_reward"] {
        let settings = settings(method, json!({"max_steps": 3, "learning_rate": 1e-2}));
        let rows = prepared(&settings);
        let (_, trained) = run(&settings, &rows, model(5));
        let path = directory.path().join(method);
        export(&trained, &settings, &origin(&config), &card(), &path).unwrap();
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
    for (method, head) in [("reward", "score.weight"), ("process_reward", "token_score.weight")] {
        let settings = settings(method, json!({"max_steps": 3, "learning_rate": 1e-2, "lora": {"r": 2}}));
        let rows = prepared(&settings);
        let (_, trained) = run(&settings, &rows, model(6));
        let path = directory.path().join(method);
        export(&trained, &settings, &origin(&config), &card(), &path).unwrap();
        let file = AdapterFile::read(&path, trained.spec()).unwrap();
        assert!(file.head_weights[head].values.iter().any(|value| *value != 0.0));
        let mut weights = setup(model(6), &settings).unwrap().weights();
        weights.extend(file.head_weights.clone());
        let mut loaded = Transformer::new(trained.spec().clone(), &weights, Arc::new(Cpu::new())).unwrap();
        loaded.attach(&file.lora()).unwrap();
        assert_eq!(evaluate(&loaded, &settings, &rows).unwrap(), evaluate(&trained, &settings, &rows).unwrap());
    }
}

/// A reward model's pad token ends no sequence: the tokenizer's own if it is not the EOS, else one that it has, else a new one.
/// An adapter names the same, also where its base has no row for it, and is read again.
#[test]
fn a_reward_model_has_a_pad_token_that_is_not_its_eos() {
    let directory = tempfile::tempdir().unwrap();
    let config = families::llama_config(model(7).spec(), 10000.0).unwrap();
    let settings = settings("reward", json!({"max_steps": 2, "learning_rate": 1e-2}));
    let rows = prepared(&settings);
    let (_, trained) = run(&settings, &rows, model(7));
    let rows_of_embedding = trained.spec().vocab_size;
    let lora = self::settings("reward", json!({"max_steps": 2, "learning_rate": 1e-2, "lora": {"r": 2}}));
    let (_, adapted) = run(&lora, &rows, model(7));
    let base = directory.path().join("base");
    let weights = model(7).weights();
    Export::new(&config, model(7).spec(), &weights).write(&base).unwrap();
    let base = BaseModel::at(&base);
    let vocab = |count: usize| (0..count).map(|id| (format!("t{id}"), json!(id))).collect::<Map<_, _>>();
    for (index, (words, roles, expected)) in [
        (9, json!({"eos_token": "t2", "pad_token": "t3"}), 3),
        (9, json!({"eos_token": "t2", "pad_token": "t2", "unk_token": "t0"}), 0),
        (9, json!({"eos_token": "t2", "bos_token": "t1"}), 1),
        (9, json!({"eos_token": "t2", "bos_token": "t2", "unk_token": "t2"}), 9),
        (rows_of_embedding, json!({"eos_token": "t2", "bos_token": "t2"}), rows_of_embedding),
        // One that is called so; and one that ends texts, so that another must be made, of another text.
        (9, json!({"eos_token": "t2", "bos_token": "t1", "extra_special_tokens": ["<pad>"]}), 9),
        (9, json!({"eos_token": "<|pad|>", "pad_token": "<|pad|>"}), 10),
    ]
    .into_iter()
    .enumerate()
    {
        let json = json!({
            "version": "1.0", "truncation": null, "padding": null, "normalizer": null, "pre_tokenizer": null,
            "post_processor": null, "decoder": null, "added_tokens": [],
            "model": {"type": "BPE", "vocab": vocab(words), "merges": []}
        });
        let files = [("tokenizer.json", &json), ("tokenizer_config.json", &roles)];
        let files = files.map(|(name, value)| (name.to_owned(), serde_json::to_vec(value).unwrap()));
        let tokenizer = Tokenizer::from_files(files.clone().into()).unwrap();
        let origin = Origin { tokenizer: Some(&tokenizer), stop_ids: &[2], files: &files, ..origin(&config) };
        let path = directory.path().join(index.to_string());
        export(&trained, &settings, &origin, &card(), &path).unwrap();
        let written = Checkpoint::open(&path).unwrap();
        assert_eq!(written.special_ids().pad, Some(expected as u32), "{roles}");
        assert_eq!(written.spec().vocab_size, rows_of_embedding.max(expected + 1));
        let read = groma_model::open_tokenizer(&path, &written).unwrap();
        assert_eq!(read.pad(), Some(expected as u32));
        assert_eq!(read.token(expected as u32), read.pad().and_then(|pad| read.token(pad)));
        let adapter = directory.path().join(format!("adapter-{index}"));
        export(&adapted, &lora, &Origin { base: base.clone(), ..origin }, &card(), &adapter).unwrap();
        let opened = groma_model::base_checkpoint(&adapter).unwrap();
        assert_eq!(groma_model::open_tokenizer(&adapter, &opened).unwrap().pad(), Some(expected as u32), "{roles}");
        let card = std::fs::read_to_string(adapter.join("README.md")).unwrap();
        assert!(card.contains(&format!("pad_token_id  # {expected}\n")), "{card}");
        assert_eq!(card.contains("made by peft"), expected >= rows_of_embedding);
        let mut weights = written.weights().unwrap();
        let embedding = weights.get_mut("embed.weight").unwrap();
        embedding.values.truncate(rows_of_embedding * embedding.shape[1]);
        embedding.shape[0] = rows_of_embedding;
        assert_eq!(weights, trained.weights());
    }
}

/// All that ends an answer is told to others, beside what the model had.
#[test]
fn what_ends_an_answer_is_exported() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = families::llama_config(model(5).spec(), 10000.0).unwrap();
    config.insert("eos_token_id".into(), json!(2));
    let settings = settings("sft", json!({"max_steps": 1}));
    let (_, trained) = run(&settings, &prepared(&settings), model(5));
    let own = json!({"temperature": 0.7, "eos_token_id": [4]});
    for (index, (own, stop_ids, expected)) in [
        (None, &[2_u32][..], Value::Null),
        (None, &[2, 7], json!({"eos_token_id": [2, 7]})),
        (own.as_object(), &[4, 7], json!({"temperature": 0.7, "eos_token_id": [4, 7]})),
        (own.as_object(), &[4], own.clone()),
    ]
    .into_iter()
    .enumerate()
    {
        let path = directory.path().join(index.to_string());
        let origin = Origin { generation_config: own, stop_ids, ..origin(&config) };
        export(&trained, &settings, &origin, &card(), &path).unwrap();
        let written = std::fs::read(path.join("generation_config.json"));
        let written = written.map_or(Value::Null, |bytes| serde_json::from_slice(&bytes).unwrap());
        assert_eq!(written, expected);
    }
}
