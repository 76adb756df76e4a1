//! Weight files: there and back to the bit, and one error for each way in which files lie (F1 to F6 and F10 of the
//! engineering anchors).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use groma_model::{
    Checkpoint, ElementType, Error, Export, MismatchProblem, SafetensorsFile, SafetensorsProblem as Problem, Tensor,
    Weights,
};
use groma_run::{Class, Classify};
use proptest::prelude::*;
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
        assert_eq!(again.config().map(), config, "{}", source.display());
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
    let spec = checkpoint.spec().with_score_head();
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
    assert!(error.to_string().contains("norm_final.weight (2 values)"), "{error}");
    assert_eq!(error.class().exit_code(), 5);
}

fn problem(bytes: &[u8]) -> Problem {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    fs::write(&path, bytes).unwrap();
    match SafetensorsFile::open(&path) {
        Err(Error::Safetensors { problem, .. }) => problem,
        other => panic!("{other:?}"),
    }
}

fn entry(dtype: &str, shape: &str, offsets: [u64; 2]) -> String {
    format!("{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{},{}]}}", offsets[0], offsets[1])
}

#[test]
fn each_lie_of_a_header_has_its_error() {
    let whole = file_of(&BTreeMap::from([("a".to_owned(), stored(&[2], 1.0))]));
    assert_eq!(problem(&[]), Problem::TooShort { bytes: 0 });
    assert_eq!(problem(&[1; 7]), Problem::TooShort { bytes: 7 });
    let length = |length: u64| [&length.to_le_bytes()[..], &whole[8..]].concat();
    assert_eq!(problem(&length(0)), Problem::HeaderStart);
    let rest = whole.len() as u64 - 8;
    assert_eq!(problem(&length(rest + 1)), Problem::HeaderBeyondEnd { header: rest + 1, available: rest });
    assert!(matches!(problem(&length(100_000_000)), Problem::HeaderBeyondEnd { .. }));
    for huge in [100_000_001, 1 << 63, u64::MAX] {
        assert_eq!(problem(&length(huge)), Problem::HeaderTooLarge { bytes: huge, limit: 100_000_000 });
    }
    assert!(matches!(problem(&length(1)), Problem::Header { .. }));
    assert_eq!(problem(&with_header("[1]", &[])), Problem::HeaderStart);
    assert_eq!(problem(&with_header(" {}", &[])), Problem::HeaderStart);
    let header = |entries: &str, data: usize| problem(&with_header(&format!("{{{entries}}}"), &vec![0; data]));
    let bad_text = [&6_u64.to_le_bytes()[..], b"{\"\xff\"}}"].concat();
    assert_eq!(problem(&bad_text), Problem::HeaderEncoding { valid_bytes: 2 });

    let message = |entries: &str, data| match header(entries, data) {
        Problem::Header { message } => message,
        other => panic!("{other:?}"),
    };
    let good = entry("F32", "[2]", [0, 8]);
    assert!(message(&format!("\"a\":{good},\"a\":{good}"), 8).contains("listed twice"));
    assert!(message(&format!("\"a\":{}", entry("F33", "[2]", [0, 8])), 8).contains("F33"));
    assert!(message(&format!("\"a\":{}", entry("F32", "[-2]", [0, 8])), 8).contains("-2"));
    assert!(message("\"a\":{\"dtype\":\"F32\",\"shape\":[2]}", 8).contains("data_offsets"));
    assert!(message("\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"x\":1}", 8).contains("`x`"));
    assert!(message(&format!("\"a\":{}", entry("F32", "[1,1,1,1,1,1,1,1,2]", [0, 8])), 8).contains("dimensions"));
    assert!(message("\"__metadata__\":{\"a\":1}", 0).contains("string"));
    let nested = format!("\"a\":{}1{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(message(&nested, 0).contains("invalid type"));

    let one = |dtype: &str, shape: &str, offsets| header(&format!("\"a\":{}", entry(dtype, shape, offsets)), 8);
    let tensor = || "a".to_owned();
    assert_eq!(one("F32", "[3]", [0, 8]), Problem::WrongSpan { tensor: tensor(), needed: 12, given: 8 });
    assert_eq!(one("F32", "[2]", [8, 0]), Problem::NegativeSpan { tensor: tensor() });
    let overflow = Problem::ShapeOverflow { tensor: tensor() };
    assert_eq!(one("F32", "[4294967296,4294967296]", [0, 8]), overflow);
    assert_eq!(one("F32", "[1152921504606846976]", [0, 8]), overflow);
    assert_eq!(one("F32", "[2]", [4, 12]), Problem::Hole { tensor: tensor(), bytes: 4 });
    assert_eq!(one("F32", "[4]", [0, 16]), Problem::DataBeyondEnd { needed: 16, available: 8 });
    assert_eq!(one("F32", "[1]", [0, 4]), Problem::TrailingBytes { bytes: 4 });

    let two = |second| format!("\"a\":{good},\"b\":{}", entry("F32", "[2]", second));
    let overlap = Problem::Overlap { tensor: "b".into(), other: tensor() };
    assert_eq!(header(&two([4, 12]), 12), overlap);
    assert_eq!(header(&two([0, 8]), 8), overlap);
    assert_eq!(header(&two([12, 20]), 20), Problem::Hole { tensor: "b".into(), bytes: 4 });
    let polyglot = [&whole[..], b"PK\x05\x06"].concat();
    assert_eq!(problem(&polyglot), Problem::TrailingBytes { bytes: 4 });
}

#[test]
fn a_million_tensors_are_too_many() {
    let entries: Vec<String> =
        (0..600_000).map(|index| format!("\"{index}\":{}", entry("F32", "[0]", [0, 0]))).collect();
    let found = problem(&with_header(&format!("{{{}}}", entries.join(",")), &[]));
    assert_eq!(found, Problem::TooManyTensors { tensors: 600_000, limit: 500_000 });
}

#[test]
fn a_file_cut_anywhere_is_an_error() {
    let bytes = fs::read(fixture("llama-score").join("model.safetensors")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let cuts = (0..header).step_by(3).chain((header..bytes.len()).step_by(101));
    for cut in cuts {
        fs::write(&path, &bytes[..cut]).unwrap();
        assert!(matches!(SafetensorsFile::open(&path), Err(Error::Safetensors { .. })), "cut at {cut}");
    }
}

#[test]
fn a_file_that_shrinks_after_it_was_opened_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("model.safetensors");
    fs::copy(fixture("llama").join("model.safetensors"), &path).unwrap();
    let mut file = SafetensorsFile::open(&path).unwrap();
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(3000).unwrap();
    assert!(matches!(file.read("model.norm.weight"), Err(Error::Io { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Bytes of the header changed, removed or added: never a panic, and never accepted where the reference reader refuses.
    #[test]
    fn mutated_headers(
        edits in prop::collection::vec((0usize..2400, any::<u8>(), 0u8..4), 1..4),
    ) {
        let mut bytes = fs::read(fixture("llama-bf16").join("model.safetensors")).unwrap();
        for (at, byte, kind) in edits {
            let at = at % bytes.len().min(2400);
            match kind {
                0 => bytes[at] = byte,
                1 => bytes[at] ^= 1 << (byte % 8),
                2 => bytes.insert(at, byte),
                _ => { bytes.remove(at); }
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.safetensors");
        fs::write(&path, &bytes).unwrap();
        match SafetensorsFile::open(&path) {
            Err(error) => prop_assert!(!error.to_string().is_empty()),
            Ok(mut file) => {
                prop_assert!(SafeTensors::deserialize(&bytes).is_ok());
                let names: Vec<String> = file.entries().keys().cloned().collect();
                for name in names {
                    let _ = file.read(&name).map(|tensor| tensor.values.len());
                }
            }
        }
    }

    #[test]
    fn what_the_reference_writes_is_read(
        tensors in prop::collection::btree_map("[a-z.]{1,12}", prop::collection::vec(-1e6f32..1e6, 0..40), 0..6),
    ) {
        let stored: BTreeMap<String, Vec<u8>> = tensors
            .iter()
            .map(|(name, values)| (name.clone(), values.iter().flat_map(|value| value.to_le_bytes()).collect()))
            .collect();
        let views = stored.iter().map(|(name, bytes)| {
            let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![bytes.len() / 4], bytes);
            (name.clone(), view.unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.safetensors");
        fs::write(&path, bytes).unwrap();
        let mut file = SafetensorsFile::open(&path).unwrap();
        prop_assert_eq!(file.entries().len(), tensors.len());
        for (name, values) in tensors {
            prop_assert_eq!(file.read(&name).unwrap().values, values);
        }
    }
}

/// A copy of the sharded fixture, with its index changed.
fn sharded(change: impl FnOnce(&Path, &mut Value)) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture("llama-f16-sharded")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    let path = directory.path().join("model.safetensors.index.json");
    let mut index = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    change(directory.path(), &mut index);
    fs::write(&path, index.to_string()).unwrap();
    directory
}

#[track_caller]
fn index_refused(directory: &tempfile::TempDir, part: &str) {
    let error = Checkpoint::open(directory.path()).unwrap().weights().unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
}

const FIRST: &str = "model-00001-of-00004.safetensors";

#[test]
fn an_index_that_leads_elsewhere_is_refused() {
    let names = [
        "../model.safetensors",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b.safetensors",
        "..\\x.safetensors",
        "%2e%2e%2fx.safetensors",
        "c:x.safetensors",
        "\\\\host\\share\\x.safetensors",
        "model.bin",
        "x\n.safetensors",
        "..",
        "",
    ];
    for name in names {
        let directory = sharded(|_, index| index["weight_map"]["model.norm.weight"] = json!(name));
        index_refused(&directory, "not the plain name");
    }
}

#[test]
fn an_index_that_disagrees_with_its_shards_is_refused() {
    let missing = sharded(|_, index| index["weight_map"]["model.norm.weight"] = json!("none.safetensors"));
    index_refused(&missing, "cannot be opened");
    let wrong = sharded(|_, index| index["weight_map"]["lm_head.extra"] = json!(FIRST));
    index_refused(&wrong, "`lm_head.extra` is not in");
    let unlisted = sharded(|_, index| {
        index["weight_map"].as_object_mut().unwrap().remove("model.norm.weight").unwrap();
    });
    index_refused(&unlisted, "does not list `model.norm.weight`");
    let doubled = sharded(|directory, index| {
        fs::copy(directory.join(FIRST), directory.join("copy.safetensors")).unwrap();
        index["weight_map"]["x"] = json!("copy.safetensors");
    });
    index_refused(&doubled, "is in both");
    let many = sharded(|_, index| {
        let map = index["weight_map"].as_object_mut().unwrap();
        map.extend((0..5000).map(|shard| (format!("t{shard}"), json!(format!("{shard}.safetensors")))));
    });
    index_refused(&many, "are allowed");
    let empty = sharded(|_, index| index["weight_map"] = json!({}));
    index_refused(&empty, "names 0 files");
    let malformed = sharded(|_, index| index["weight_map"] = json!([1]));
    index_refused(&malformed, "not valid JSON");
}

#[cfg(unix)]
#[test]
fn links_lead_only_into_the_cache_that_holds_the_snapshot() {
    use std::os::unix::fs::symlink;
    let outside = tempfile::tempdir().unwrap();
    let link_to = |target: PathBuf| {
        sharded(|directory, _| {
            fs::copy(directory.join(FIRST), &target).unwrap();
            fs::remove_file(directory.join(FIRST)).unwrap();
            symlink(&target, directory.join(FIRST)).unwrap();
        })
    };
    index_refused(&link_to(outside.path().join("shard.safetensors")), "link out of the directory");

    // The layout of the hub's cache.
    let cache = tempfile::tempdir().unwrap();
    let (blobs, snapshot) = (cache.path().join("m/blobs"), cache.path().join("m/snapshots/abc"));
    fs::create_dir_all(&blobs).unwrap();
    fs::create_dir_all(&snapshot).unwrap();
    for (index, entry) in fs::read_dir(fixture("llama-f16-sharded")).unwrap().enumerate() {
        let path = entry.unwrap().path();
        fs::copy(&path, blobs.join(index.to_string())).unwrap();
        let link = snapshot.join(path.file_name().unwrap());
        symlink(Path::new("../../blobs").join(index.to_string()), link).unwrap();
    }
    assert!(Checkpoint::open(&snapshot).unwrap().weights().is_ok());
}

#[test]
fn pickles_are_never_read() {
    let directory = tempfile::tempdir().unwrap();
    fs::copy(fixture("llama").join("config.json"), directory.path().join("config.json")).unwrap();
    let weights = || Checkpoint::open(directory.path()).unwrap().weights().unwrap_err();
    assert!(matches!(weights(), Error::NoWeights { .. }));
    fs::write(directory.path().join("pytorch_model.bin"), b"PK\x03\x04rest").unwrap();
    let error = weights();
    assert!(matches!(error, Error::Pickle { .. }) && error.hint().unwrap().contains("safe_serialization"));
    for start in [&b"PK\x03\x04\x14\x00\x08\x08"[..], b"\x80\x02}q\x00X\x05\x00", b"\x80\x04\x95\x10\x00\x00\x00\x01"] {
        fs::write(directory.path().join("model.safetensors"), [start, &[0; 64]].concat()).unwrap();
        assert!(matches!(weights(), Error::Pickle { .. }));
    }
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
