//! Checkpoints that are damaged in one way each.

use groma_organism::safetensors_bytes;
use serde_json::{Value, json};

use crate::tiny::{Workplace, shape, village};

/// Name, what is done to a copy of the model in the directory of that name, the exit code, and words of the message.
pub(crate) type Broken = (&'static str, fn(&Workplace, &str), i32, &'static [&'static str]);

pub(crate) const CHECKPOINTS: &[Broken] = &[
    ("truncated", truncated, 2, &["model.safetensors", "cut short"]),
    ("header-too-long", header_too_long, 2, &["model.safetensors", "header"]),
    ("lying-offsets", lying_offsets, 2, &["model.safetensors", "model.norm.weight"]),
    ("overlapping", overlapping, 2, &["model.safetensors", "overlaps"]),
    ("empty", |place, name| place.write(&weights(name), ""), 2, &["model.safetensors", "too few"]),
    (
        "no-weights",
        |place, name| std::fs::remove_file(place.path(&weights(name))).unwrap(),
        2,
        &["no-weights", "neither"],
    ),
    ("no-tokenizer", no_tokenizer, 2, &["tokenizer.json"]),
    ("small-embedding", small_embedding, 2, &["tokenizer", "embedding"]),
    ("nan", nan, 5, &["not finite", "model.norm.weight (1 value)"]),
    ("outside", outside, 2, &["index.json"]),
    ("other-shape", |place, name| config(place, name, "intermediate_size", json!(48)), 2, &["shape", "mlp"]),
    ("unknown-field", |place, name| config(place, name, "attention_twist", json!(0.5)), 2, &["attention_twist"]),
    ("unknown-family", |place, name| config(place, name, "architectures", json!(["MambaForCausalLM"])), 2, &["Mamba"]),
    (
        "no-json",
        |place, name| place.write(&format!("{name}/config.json"), "{\"architectures\": ["),
        2,
        &["config.json"],
    ),
];

/// Copies the model of the workplace.
pub(crate) fn copy_of_model(place: &Workplace, name: &'static str) -> String {
    for entry in std::fs::read_dir(place.path("model")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        place.write(&format!("{name}/{file}"), std::fs::read(&path).unwrap());
    }
    name.to_owned()
}

fn weights(name: &str) -> String {
    format!("{name}/model.safetensors")
}

fn config(place: &Workplace, name: &str, field: &str, value: Value) {
    let path = format!("{name}/config.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(place.path(&path)).unwrap()).unwrap();
    config[field] = value;
    place.write(&path, config.to_string());
}

fn truncated(place: &Workplace, name: &str) {
    let mut bytes = std::fs::read(place.path(&weights(name))).unwrap();
    bytes.truncate(bytes.len() / 2);
    place.write(&weights(name), bytes);
}

fn header_too_long(place: &Workplace, name: &str) {
    let mut bytes = std::fs::read(place.path(&weights(name))).unwrap();
    bytes[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    place.write(&weights(name), bytes);
}

/// Rewrites the header of a file of weights; the values stay.
fn header(place: &Workplace, name: &str, change: impl Fn(&mut Value)) {
    let bytes = std::fs::read(place.path(&weights(name))).unwrap();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = header.to_string();
    let parts = [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &bytes[8 + length..]];
    place.write(&weights(name), parts.concat());
}

fn lying_offsets(place: &Workplace, name: &str) {
    header(place, name, |header| header["model.norm.weight"]["shape"] = json!([1_u64 << 40]));
}

fn overlapping(place: &Workplace, name: &str) {
    header(place, name, |header| {
        let other = header["model.layers.0.input_layernorm.weight"]["data_offsets"].clone();
        header["model.norm.weight"]["data_offsets"] = other;
    });
}

fn no_tokenizer(place: &Workplace, name: &str) {
    std::fs::remove_file(place.path(&format!("{name}/tokenizer.json"))).unwrap();
}

/// The embedding lacks the rows of the tokenizer's last ten tokens.
fn small_embedding(place: &Workplace, name: &str) {
    let rows = village().vocabulary.size() - 10;
    place.write(&weights(name), safetensors_bytes(&shape().initial_weights(rows, 1)).unwrap());
    config(place, name, "vocab_size", json!(rows));
}

fn nan(place: &Workplace, name: &str) {
    let mut tensors = shape().initial_weights(village().vocabulary.size(), 1);
    let norm = tensors.iter_mut().find(|tensor| tensor.name == "model.norm.weight").unwrap();
    norm.values[3] = f32::NAN;
    place.write(&weights(name), safetensors_bytes(&tensors).unwrap());
}

fn outside(place: &Workplace, name: &str) {
    std::fs::remove_file(place.path(&weights(name))).unwrap();
    let index = json!({"metadata": {}, "weight_map": {"model.norm.weight": "../model/model.safetensors"}});
    place.write(&format!("{name}/model.safetensors.index.json"), index.to_string());
}
