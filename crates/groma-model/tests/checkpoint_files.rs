//! Model directories: there and back to the bit, whole or absent, and all mismatches in one table (F5 and F6 of the
//! engineering anchors).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use groma_model::{Checkpoint, ElementType, Error, Export, Head, MismatchProblem, Spec, Tensor, Weights};
use groma_run::{Class, Classify};
use safetensors::SafeTensors;
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/families").join(name)
}

fn fixtures() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/families");
    let mut all: Vec<PathBuf> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

/// Names, shapes, types and bytes of all tensors of a model directory.
fn tensors_of(directory: &Path) -> BTreeMap<String, (Vec<usize>, String, Vec<u8>)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with("model"));
    paths.retain(|path| path.extension().unwrap() == "safetensors");
    let mut all = BTreeMap::new();
    for path in paths {
        let bytes = fs::read(path).unwrap();
        for (name, view) in SafeTensors::deserialize(&bytes).unwrap().tensors() {
            all.insert(name, (view.shape().to_vec(), view.dtype().to_string(), view.data().to_vec()));
        }
    }
    all
}

#[test]
fn every_fixture_is_written_as_it_was_read() {
    for source in fixtures() {
        let checkpoint = Checkpoint::open(&source).unwrap();
        let weights = checkpoint.weights().unwrap();
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("model");
        let element_type = match checkpoint.config().map()["dtype"].as_str().unwrap() {
            "bfloat16" => ElementType::Bf16,
            "float16" => ElementType::F16,
            _ => ElementType::F32,
        };
        let config = checkpoint.config().map();
        let mut export = Export { element_type, ..Export::new(config, checkpoint.spec(), &weights) };
        export.generation_config = checkpoint.generation_config();
        export.write(&target).unwrap();
        export.verify(&target).unwrap();
        assert_eq!(tensors_of(&target), tensors_of(&source), "{}", source.display());
        let again = Checkpoint::open(&target).unwrap();
        assert_eq!(again.spec(), checkpoint.spec());
        assert_eq!(again.weights().unwrap(), weights);
        let mut expected = config.clone();
        if source.ends_with("llama-value") {
            // TRL writes no word of it.
            expected.insert("groma_heads".into(), json!([{ "name": "value", "kind": "token", "width": 1 }]));
        }
        assert_eq!(again.config().map(), &expected, "{}", source.display());
        assert_eq!(again.special_ids(), checkpoint.special_ids());
    }
}

#[test]
fn gpt2_matrices_are_held_as_outputs_by_inputs() {
    let checkpoint = Checkpoint::open(&fixture("gpt2")).unwrap();
    let weights = checkpoint.weights().unwrap();
    let stored = &tensors_of(&fixture("gpt2"))["transformer.h.0.mlp.c_fc.weight"];
    assert_eq!(stored.0, [16, 20]);
    let held = &weights["blocks.0.mlp.up.weight"];
    assert_eq!(held.shape, [20, 16]);
    let at = |row: usize, column: usize| {
        let start = 4 * (row * 20 + column);
        f32::from_le_bytes(stored.2[start..start + 4].try_into().unwrap())
    };
    assert!((0..16).all(|input| (0..20).all(|output| held.values[output * 16 + input] == at(input, output))));
}

#[test]
fn shards_have_an_index_and_read_as_one() {
    let checkpoint = Checkpoint::open(&fixture("llama")).unwrap();
    let weights = checkpoint.weights().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("model");
    let export = Export { shard_bytes: 3000, ..Export::new(checkpoint.config().map(), checkpoint.spec(), &weights) };
    export.write(&target).unwrap();
    export.verify(&target).unwrap();
    let index: Value = serde_json::from_slice(&fs::read(target.join("model.safetensors.index.json")).unwrap()).unwrap();
    let total: usize = weights.values().map(|tensor| 4 * tensor.values.len()).sum();
    assert_eq!(index["metadata"]["total_size"], json!(total));
    assert_eq!(index["weight_map"].as_object().unwrap().len(), weights.len());
    assert!(!target.join("model.safetensors").exists());
    assert_eq!(tensors_of(&target), tensors_of(&fixture("llama")));
}

#[test]
fn an_earlier_model_stays_until_the_new_one_is_whole() {
    let checkpoint = Checkpoint::open(&fixture("llama")).unwrap();
    let mut weights = checkpoint.weights().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("model");
    let write = |weights: &Weights, card: &str| {
        let files = [("tokenizer.json".to_owned(), b"{}".to_vec())];
        let export = Export::new(checkpoint.config().map(), checkpoint.spec(), weights);
        Export { card: Some(card), files: &files, ..export }.write(&target)
    };
    write(&weights, "one").unwrap();
    let before = Checkpoint::open(&target).unwrap().digest().unwrap();
    weights.get_mut("norm_final.weight").unwrap().values[3] = f32::INFINITY;
    let error = write(&weights, "two").unwrap_err();
    assert!(matches!(error, Error::NonFiniteWeights { .. }));
    assert_eq!(error.class(), Class::NonFinite);
    assert_eq!(fs::read(target.join("README.md")).unwrap(), b"one");
    assert_eq!(Checkpoint::open(&target).unwrap().digest().unwrap(), before);
    weights.get_mut("norm_final.weight").unwrap().values[3] = 0.25;
    write(&weights, "two").unwrap();
    assert_eq!(fs::read(target.join("README.md")).unwrap(), b"two");
    assert_ne!(Checkpoint::open(&target).unwrap().digest().unwrap(), before);
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing else is left");
}

#[test]
fn a_reward_model_has_its_own_class() {
    let checkpoint = Checkpoint::open(&fixture("gpt2")).unwrap();
    let spec = checkpoint.spec().with_heads(&[Head::SCORE]);
    let mut weights = checkpoint.weights().unwrap();
    weights.insert("score.weight".into(), Tensor { shape: vec![1, 16], values: vec![0.5; 16] });
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("model");
    let export = Export::new(checkpoint.config().map(), &spec, &weights);
    export.write(&target).unwrap();
    export.verify(&target).unwrap();
    let read = Checkpoint::open(&target).unwrap();
    assert_eq!(read.config().map()["architectures"], json!(["GPT2ForSequenceClassification"]));
    assert_eq!(read.spec(), &spec);
    assert_eq!(read.weights().unwrap(), weights);
}

#[test]
fn half_precision_does_not_overflow_in_silence() {
    let checkpoint = Checkpoint::open(&fixture("llama")).unwrap();
    let mut weights = checkpoint.weights().unwrap();
    weights.get_mut("embed.weight").unwrap().values[0] = 1e6;
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("model");
    let export = Export::new(checkpoint.config().map(), checkpoint.spec(), &weights);
    let half = Export { element_type: ElementType::F16, ..export.clone() };
    assert!(matches!(half.write(&target), Err(Error::NonFiniteWeights { .. })));
    Export { element_type: ElementType::Bf16, ..export }.write(&target).unwrap();
}

#[test]
fn what_does_not_fit_is_not_written() {
    let checkpoint = Checkpoint::open(&fixture("llama")).unwrap();
    let weights = checkpoint.weights().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let target = directory.path().join("model");
    let write = |weights: &Weights| Export::new(checkpoint.config().map(), checkpoint.spec(), weights).write(&target);
    let mut missing = weights.clone();
    missing.remove("norm_final.weight");
    assert!(write(&missing).unwrap_err().to_string().contains("norm_final.weight is missing"));
    let mut extra = weights.clone();
    extra.insert("blocks.9.mlp.up.weight".into(), Tensor::zeros(vec![1]));
    assert!(write(&extra).unwrap_err().to_string().contains("blocks.9.mlp.up.weight is not a parameter"));
    let mut misshapen = weights.clone();
    misshapen.insert("norm_final.weight".into(), Tensor::zeros(vec![4]));
    assert!(write(&misshapen).unwrap_err().to_string().contains("instead of shape [16]"));
    let other = Checkpoint::open(&fixture("mistral")).unwrap();
    let error = Export::new(other.config().map(), checkpoint.spec(), &weights).write(&target).unwrap_err();
    assert!(error.to_string().contains("mistral"), "{error}");
    let wider = Spec { attention_scale: 1.0, ..checkpoint.spec().clone() };
    let error = Export::new(checkpoint.config().map(), &wider, &weights).write(&target).unwrap_err();
    assert!(error.to_string().contains("another function"), "{error}");
    let reserved = [("config.json".to_owned(), Vec::new())];
    let outside = [("../x".to_owned(), Vec::new())];
    for files in [&reserved, &outside] {
        let export = Export { files, ..Export::new(checkpoint.config().map(), checkpoint.spec(), &weights) };
        assert!(export.write(&target).is_err());
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is left");
}

/// A model directory with the configuration of a fixture and tensors made by `change` from its tensors.
fn altered(name: &str, change: impl FnOnce(&mut BTreeMap<String, Stored>)) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(fixture(name).join("config.json"), directory.path().join("config.json")).unwrap();
    let mut tensors: BTreeMap<String, Stored> = tensors_of(&fixture(name))
        .into_iter()
        .map(|(tensor, (shape, dtype, bytes))| (tensor, Stored { dtype, shape, bytes }))
        .collect();
    change(&mut tensors);
    fs::write(directory.path().join("model.safetensors"), file_of(&tensors)).unwrap();
    directory
}

#[derive(Clone)]
struct Stored {
    dtype: String,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

fn stored(shape: &[usize], value: f32) -> Stored {
    let bytes = (0..shape.iter().product()).flat_map(|_| value.to_le_bytes()).collect();
    Stored { dtype: "F32".into(), shape: shape.to_vec(), bytes }
}

fn file_of(tensors: &BTreeMap<String, Stored>) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    let mut data = Vec::new();
    for (name, Stored { dtype, shape, bytes }) in tensors {
        let offsets = [data.len(), data.len() + bytes.len()];
        header.insert(name.clone(), json!({ "dtype": dtype, "shape": shape, "data_offsets": offsets }));
        data.extend(bytes);
    }
    with_header(&Value::from(header).to_string(), &data)
}

fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
}

fn mismatches(directory: &Path) -> Vec<(String, MismatchProblem)> {
    match Checkpoint::open(directory).unwrap().weights() {
        Err(error @ Error::Mismatches { .. }) => {
            assert_eq!(error.class(), Class::Usage);
            let text = error.to_string();
            let Error::Mismatches { mismatches, .. } = error else { unreachable!() };
            assert!(mismatches.iter().all(|mismatch| text.contains(&mismatch.tensor)), "{text}");
            mismatches.into_iter().map(|mismatch| (mismatch.tensor, mismatch.problem)).collect()
        }
        other => panic!("{:?}", other.map(|weights| weights.len())),
    }
}

#[test]
fn all_mismatches_are_in_one_table() {
    let directory = altered("llama", |tensors| {
        tensors.remove("model.norm.weight");
        tensors.insert("model.layers.0.mlp.up_proj.weight".into(), stored(&[16, 20], 0.0));
        tensors.insert("model.layers.2.mlp.up_proj.weight".into(), stored(&[2], 0.0));
        let embed = tensors.get_mut("model.embed_tokens.weight").unwrap();
        embed.dtype = "I32".into();
    });
    let found: BTreeMap<_, _> = mismatches(directory.path()).into_iter().collect();
    assert_eq!(found.len(), 4);
    assert_eq!(found["model.norm.weight"], MismatchProblem::Missing);
    assert_eq!(found["model.layers.2.mlp.up_proj.weight"], MismatchProblem::Unexpected);
    let shape = MismatchProblem::Shape { expected: vec![20, 16], found: vec![16, 20] };
    assert_eq!(found["model.layers.0.mlp.up_proj.weight"], shape);
    assert_eq!(found["model.embed_tokens.weight"], MismatchProblem::ElementType { found: "I32".into() });
}

#[test]
fn a_gpt2_matrix_the_wrong_way_round_is_told_in_the_files_orientation() {
    let directory = altered("gpt2", |tensors| {
        tensors.insert("transformer.h.0.mlp.c_fc.weight".into(), stored(&[20, 16], 0.0));
    });
    let shape = MismatchProblem::Shape { expected: vec![16, 20], found: vec![20, 16] };
    assert_eq!(mismatches(directory.path()), [("transformer.h.0.mlp.c_fc.weight".to_owned(), shape)]);
}

#[test]
fn buffers_and_copies_are_no_mismatch() {
    let weights = |directory: &tempfile::TempDir| Checkpoint::open(directory.path()).unwrap().weights();
    let plain = Checkpoint::open(&fixture("gpt2")).unwrap().weights().unwrap();
    let buffers = altered("gpt2", |tensors| {
        tensors.insert("transformer.h.0.attn.bias".into(), stored(&[1, 1, 4, 4], 1.0));
        tensors.insert("transformer.h.1.attn.masked_bias".into(), stored(&[], -1e4));
        let embed = tensors["transformer.wte.weight"].clone();
        tensors.insert("lm_head.weight".into(), embed);
    });
    assert_eq!(weights(&buffers).unwrap(), plain);
    // Checkpoints of the body alone, as the first GPT-2 was published.
    let bare = altered("gpt2", |tensors| {
        let all = std::mem::take(tensors);
        tensors.extend(all.into_iter().map(|(name, t)| (name.strip_prefix("transformer.").unwrap().to_owned(), t)));
    });
    assert_eq!(weights(&bare).unwrap(), plain);
    // Only the other one of two tied tensors was kept.
    let other = altered("gpt2", |tensors| {
        let embed = tensors.remove("transformer.wte.weight").unwrap();
        tensors.insert("lm_head.weight".into(), embed);
    });
    assert_eq!(weights(&other).unwrap(), plain);
    let untied = altered("gpt2", |tensors| {
        tensors.insert("lm_head.weight".into(), stored(&[40, 16], 0.5));
    });
    assert_eq!(mismatches(untied.path()), [("lm_head.weight".to_owned(), MismatchProblem::Untied)]);
    // Version 5 of transformers names the head of NeoX as all others.
    let renamed = altered("gpt_neox", |tensors| {
        let head = tensors.remove("embed_out.weight").unwrap();
        tensors.insert("lm_head.weight".into(), head);
    });
    let neox = Checkpoint::open(&fixture("gpt_neox")).unwrap().weights().unwrap();
    assert_eq!(weights(&renamed).unwrap(), neox);
}

#[test]
fn an_untied_model_needs_its_unembedding() {
    let directory = altered("llama", |tensors| {
        tensors.remove("lm_head.weight");
    });
    assert_eq!(mismatches(directory.path()), [("lm_head.weight".to_owned(), MismatchProblem::Missing)]);
}

#[test]
fn weights_that_are_not_finite_are_named() {
    let directory = altered("llama", |tensors| {
        let norm = tensors.get_mut("model.norm.weight").unwrap();
        norm.bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        norm.bytes[4..8].copy_from_slice(&f32::NEG_INFINITY.to_le_bytes());
    });
    let error = Checkpoint::open(directory.path()).unwrap().weights().unwrap_err();
    assert!(error.to_string().contains("model.norm.weight (2 values)"), "{error}");
    assert_eq!(error.class().exit_code(), 5);
}

#[test]
fn the_digest_follows_configuration_and_weights() {
    let digest = |directory: &Path| Checkpoint::open(directory).unwrap().digest().unwrap();
    let same = altered("llama", |_| {});
    let again = altered("llama", |_| {});
    assert_eq!(digest(same.path()), digest(again.path()));
    let other = altered("llama", |tensors| tensors.get_mut("model.norm.weight").unwrap().bytes[0] ^= 1);
    assert_ne!(digest(same.path()), digest(other.path()));
    let mut config = fs::read(again.path().join("config.json")).unwrap();
    config.push(b'\n');
    fs::write(again.path().join("config.json"), config).unwrap();
    assert_ne!(digest(same.path()), digest(again.path()));
}

#[test]
fn special_ids_come_from_the_generation_settings_first() {
    let directory = altered("llama", |_| {});
    let ids = || Checkpoint::open(directory.path()).unwrap().special_ids().clone();
    assert_eq!((ids().bos, ids().eos, ids().pad), (Some(1), vec![2], Some(0)));
    let generation = directory.path().join("generation_config.json");
    fs::write(&generation, r#"{"eos_token_id": [7, 9], "pad_token_id": -1, "temperature": 0.6}"#).unwrap();
    assert_eq!((ids().bos, ids().eos, ids().pad), (Some(1), vec![7, 9], None));
    fs::write(&generation, r#"{"eos_token_id": "</s>"}"#).unwrap();
    assert!(Checkpoint::open(directory.path()).unwrap_err().to_string().contains("eos_token_id"));
}
