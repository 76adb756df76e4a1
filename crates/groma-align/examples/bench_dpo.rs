//! groma's side of the DPO rows of the peer benchmark, see `bench/README.md`: `bench_dpo CHECKPOINT_DIRECTORY THREADS`.
//!
//! Reads commands from standard input, one JSON object a line: `{"pairs": FILE, "settings": {...}, "repetitions": N}`,
//! where FILE holds rows of `prompt`, `chosen` and `rejected`, and answers each with
//! `{"seconds": [...], "results": [...]}`: how long it took from the rows and the untrained model in memory to the trained
//! model (tokenising and the reference's log-probabilities included), and the losses of all steps.

use groma_align::{Error, History, Limits, Method, Session, Settings, prepare, setup, train};
use groma_data::{ReadOptions, Row, Shape, ShapeOptions, read};
use groma_lm::Encoder;
use groma_model::LocalModel;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

#[path = "bench/serving.rs"]
mod serving;
use serving::{Outcome, repeat, serve};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    pairs: PathBuf,
    settings: Map<String, Value>,
    repetitions: usize,
}

fn main() -> Outcome<()> {
    serve("usage: bench_dpo CHECKPOINT_DIRECTORY THREADS", answer)
}

fn answer(directory: &Path, line: &str) -> Outcome<Value> {
    let command: Command = serde_json::from_str(line)?;
    let settings = Settings::resolve(Method::require("dpo")?, &command.settings)?;
    let pairs =
        read(&command.pairs, &ReadOptions::default())?.into_rows(&ShapeOptions::default(), &[Shape::Preference])?.rows;
    repeat(directory, command.repetitions, |model| Ok(json!(dpo(model, &settings, &pairs)?)))
}

/// Trains a model; returns the losses.
fn dpo(model: LocalModel, settings: &Settings, pairs: &[Row]) -> Result<Vec<f64>, Error> {
    let prepared = prepare(settings, pairs, &Encoder::of(&model), Limits::of(model.transformer.spec()))?;
    let mut history = History::default();
    let mut policy = setup(model.transformer, settings)?;
    train(&mut policy, Session { observers: vec![&mut history], ..Session::new(settings, &prepared) })?;
    Ok(history.steps.iter().map(|report| report.loss).collect())
}
