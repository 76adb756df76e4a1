//! Weight files that lie, and one error for each way in which they do (F1 to F4 and F10 of the engineering anchors).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failed helper fails the test")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use groma_model::{Checkpoint, Error, SafetensorsFile, SafetensorsProblem as Problem};
use groma_run::Classify;
use proptest::prelude::*;
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/families").join(name)
}

fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
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
    let whole = with_header(&format!("{{\"a\":{}}}", entry("F32", "[2]", [0, 8])), &[0; 8]);
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
    assert!(!message(&nested, 0).is_empty());

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
    let file = SafetensorsFile::open(&path).unwrap();
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
            Ok(file) => {
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
            let view = TensorView::new(Dtype::F32, vec![bytes.len() / 4], bytes);
            (name.clone(), view.unwrap())
        });
        let bytes = safetensors::serialize(views, None).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("model.safetensors");
        fs::write(&path, bytes).unwrap();
        let file = SafetensorsFile::open(&path).unwrap();
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
