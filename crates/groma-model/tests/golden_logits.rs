//! Logits against those of transformers: tiny models of every family (scripts/make_family_fixtures.py), and the real
//! checkpoints in `shared/weights`, where they are there.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failed helper fails the test"
)]

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use groma_kernels::{Backend, Cpu, Naive, Precision, Tape};
use groma_model::{AdapterFile, Checkpoint, Head, HeadKind, Pass, TokenTree, Transformer, open_transformer};
use safetensors::SafeTensors;

/// Absolute, on logits of the order of 1 to 10.
const TOLERANCE: f32 = 1e-4;

fn fixtures(kind: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(kind);
    let mut directories: Vec<PathBuf> = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.sort();
    assert!(directories.len() >= 4, "fixtures are missing");
    directories
}

struct Expected {
    ids: Vec<u32>,
    /// Logits of all positions, or the score of a model of sequences; then the values of all positions, where there are any.
    values: Vec<f32>,
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn integers(bytes: &[u8]) -> Vec<u32> {
    bytes.as_chunks().0.iter().map(|bytes| i64::from_le_bytes(*bytes) as u32).collect()
}

fn expected(directory: &Path) -> Expected {
    let bytes = std::fs::read(directory.join("expected.safetensors")).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let values = tensors.tensor("logits").or_else(|_| tensors.tensor("score")).unwrap();
    let mut values = floats(values.data());
    values.extend(tensors.tensor("value").map(|tensor| floats(tensor.data())).unwrap_or_default());
    Expected { ids: integers(tensors.tensor("input_ids").unwrap().data()), values }
}

fn load(directory: &Path, tokens: usize) -> Transformer {
    load_on(directory, tokens, Arc::new(Cpu::new()))
}

fn load_on(directory: &Path, tokens: usize, backend: Arc<dyn Backend>) -> Transformer {
    let checkpoint = Checkpoint::open(directory).unwrap();
    let weights = checkpoint.weights().unwrap();
    Transformer::new(checkpoint.spec().for_length(tokens), &weights, backend).unwrap()
}

/// What all heads say, one after the other: of all rows, or of the last.
fn outputs(model: &Transformer, ids: &[u32]) -> Vec<f32> {
    let mut tree = TokenTree::new();
    tree.root(ids);
    let mut tape = Tape::inference(model.backend().clone());
    let pass = &Pass::default();
    let hidden = model.hidden(&mut tape, &tree, pass).unwrap();
    let of_head = |head: &Head| {
        if head.kind == HeadKind::Unembedding {
            return model.logits(&hidden).unwrap();
        }
        let values = model.backend().download(model.head(&mut tape, &head.name, &hidden).unwrap().buffer());
        let skipped = if head.kind == HeadKind::Sequence { (ids.len() - 1) * head.width } else { 0 };
        values[skipped..].to_vec()
    };
    model.spec().outputs.iter().flat_map(of_head).collect()
}

fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// Names and differences of all that are too large.
fn failures(differences: BTreeMap<String, f32>) -> BTreeMap<String, f32> {
    for (name, difference) in &differences {
        println!("{name:24} {difference:.2e}");
    }
    differences.into_iter().filter(|(_, difference)| difference.is_nan() || *difference > TOLERANCE).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn every_family_gives_the_logits_of_transformers() {
    let differences = fixtures("families").into_iter().map(|directory| {
        let directory = directory.as_path();
        let expected = expected(directory);
        let model = load(directory, expected.ids.len());
        (name(directory), difference(&outputs(&model, &expected.ids), &expected.values))
    });
    assert_eq!(failures(differences.collect()), BTreeMap::new());
}

/// What goes from its file to where products read it gives the bits of weights that were uploaded, and can be had again.
#[test]
fn weights_straight_from_their_files_change_no_bit() {
    for directory in fixtures("families") {
        let ids = expected(&directory).ids;
        let checkpoint = Checkpoint::open(&directory).unwrap();
        for precision in Precision::ALL {
            let backend: Arc<dyn Backend> = Arc::new(Cpu::new().with_precision(precision));
            let uploaded = load_on(&directory, ids.len(), backend.clone());
            let spec = checkpoint.spec().for_length(ids.len());
            let mut opened = open_transformer(&directory, &checkpoint, spec, backend).unwrap();
            let packed =
                |model: &Transformer| model.parameters().iter().filter(|(_, p)| p.buffer().is_packed()).count();
            assert!(packed(&uploaded) == 0 && packed(&opened) > 0);
            let want = outputs(&uploaded, &ids);
            let what = format!("{} in {precision}", name(&directory));
            assert_eq!(outputs(&opened, &ids), want, "{what}");
            assert_eq!(opened.weights(), checkpoint.weights().unwrap(), "{what}");
            opened.freeze();
            assert_eq!((packed(&opened), outputs(&opened, &ids)), (0, want), "{what}, unpacked to train");
        }
    }
}

#[test]
fn every_family_gives_the_same_outputs_on_the_naive_backend() {
    for directory in fixtures("families") {
        let ids = expected(&directory).ids;
        let [naive, cpu] = [Arc::new(Naive) as Arc<dyn Backend>, Arc::new(Cpu::new())]
            .map(|backend| outputs(&load_on(&directory, ids.len(), backend), &ids));
        let largest = cpu.iter().fold(1.0f32, |largest, x| largest.max(x.abs()));
        assert!(difference(&naive, &cpu) < 1e-5 * largest, "{}: {}", name(&directory), difference(&naive, &cpu));
    }
}

#[test]
fn adapters_written_by_peft_give_its_logits() {
    let differences = fixtures("adapters").into_iter().map(|directory| {
        let directory = directory.as_path();
        let expected = expected(directory);
        let checkpoint = Checkpoint::open(&base_of(directory)).unwrap();
        let adapter = AdapterFile::read(directory, checkpoint.spec()).unwrap();
        let mut weights = checkpoint.weights().unwrap();
        weights.extend(adapter.head_weights.clone());
        let spec = checkpoint.spec().with_heads(&adapter.heads);
        let mut model = Transformer::new(spec, &weights, Arc::new(Cpu::new())).unwrap();
        let without = difference(&outputs(&model, &expected.ids), &expected.values);
        assert!(without > 0.01, "the adapter of {} changes nothing", name(directory));
        model.attach(&adapter.lora()).unwrap();
        (name(directory), difference(&outputs(&model, &expected.ids), &expected.values))
    });
    assert_eq!(failures(differences.collect()), BTreeMap::new());
}

fn base_of(adapter: &Path) -> PathBuf {
    let base = match name(adapter).as_str() {
        "llama-rslora" => "llama".to_owned(),
        other => other.to_owned(),
    };
    adapter.join("../../families").join(base)
}

#[test]
fn real_checkpoints_give_their_golden_logits() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/weights");
    let names = ["stories260K-hf", "stories3M-hf", "tinytalk3M-gpt2-hf", "tinytalk3M-gptneo-hf"];
    if names.iter().any(|name| !root.join(name).exists()) {
        eprintln!("SKIPPED: {} is not there", root.display());
        return;
    }
    let differences = names.iter().map(|name| {
        let directory = root.join(name);
        let arrays = read_npz(&directory.join("golden_logits.npz"));
        let ids = integers(&arrays["input_ids.npy"]);
        let model = load(&directory, ids.len());
        (name.to_string(), difference(&outputs(&model, &ids), &floats(&arrays["logits.npy"])))
    });
    assert_eq!(failures(differences.collect()), BTreeMap::new());
}

/// The data of the arrays in a file of `numpy.savez_compressed`: a zip archive of deflated `.npy` files.
fn read_npz(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let short = |at: usize| usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    let long = |at: usize| short(at) | short(at + 2) << 16;
    let end = bytes.len() - 22;
    assert_eq!(bytes[end..end + 4], *b"PK\x05\x06", "an archive without a comment");
    let mut entry = long(end + 16);
    let mut arrays = BTreeMap::new();
    for _ in 0..short(end + 10) {
        let name = String::from_utf8(bytes[entry + 46..entry + 46 + short(entry + 28)].to_vec()).unwrap();
        let local = long(entry + 42);
        let data = local + 30 + short(local + 26) + short(local + 28);
        assert_eq!(short(entry + 10), 8, "deflated");
        let mut array = Vec::new();
        flate2::read::DeflateDecoder::new(&bytes[data..data + long(entry + 20)]).read_to_end(&mut array).unwrap();
        // Magic, version, length of the header, header.
        let header = 10 + usize::from(u16::from_le_bytes([array[8], array[9]]));
        arrays.insert(name, array.split_off(header));
        entry += 46 + short(entry + 28) + short(entry + 30) + short(entry + 32);
    }
    arrays
}
