//! groma's side of the DPO rows of the peer benchmark, see `bench/README.md`: `bench_dpo CHECKPOINT_DIRECTORY THREADS`.
//!
//! Reads commands from standard input, one JSON object a line: `{"pairs": FILE, "settings": {...}, "repetitions": N}`,
//! where FILE holds rows of `prompt`, `chosen` and `rejected`, and answers each with
//! `{"seconds": [...], "results": [...]}`: how long it took from the rows and the untrained model in memory to the trained
//! model (tokenising and the reference's log-probabilities included), and the losses of all steps.

use groma_align::{Error, History, Limits, Method, Session, Settings, prepare, setup, train};
use groma_data::{ReadOptions, Row, Shape, ShapeOptions, read};
use groma_kernels::Cpu;
use groma_lm::Encoder;
use groma_model::{LocalModel, TemplateChoice};
use serde_json::{Map, Value, json};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    pairs: PathBuf,
    settings: Map<String, Value>,
    repetitions: usize,
}

fn main() -> Outcome<()> {
    let usage = "usage: bench_dpo CHECKPOINT_DIRECTORY THREADS";
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or(usage)?);
    let threads = arguments.next().ok_or(usage)?.parse()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| serve(&directory).map_err(|error| error.to_string()))?;
    Ok(())
}

fn serve(directory: &Path) -> Outcome<()> {
    for line in std::io::stdin().lock().lines() {
        let answer = answer(directory, &line?).unwrap_or_else(|error| json!({"error": error.to_string()}));
        writeln!(std::io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn answer(directory: &Path, line: &str) -> Outcome<Value> {
    let command: Command = serde_json::from_str(line)?;
    let settings = Settings::resolve(Method::require("dpo")?, &command.settings)?;
    let pairs =
        read(&command.pairs, &ReadOptions::default())?.into_rows(&ShapeOptions::default(), &[Shape::Preference])?.rows;
    let (mut seconds, mut results) = (Vec::new(), Vec::new());
    for _ in 0..command.repetitions {
        // The rows are no conversations; a template that is named spares the search for one.
        let template = TemplateChoice { built_in: Some("chatml".into()), ..TemplateChoice::default() };
        let model = LocalModel::open(directory, &template, Arc::new(Cpu::new()))?;
        let start = Instant::now();
        results.push(dpo(model, &settings, &pairs)?);
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(json!({ "seconds": seconds, "results": results }))
}

/// Trains a model; returns the losses.
fn dpo(model: LocalModel, settings: &Settings, pairs: &[Row]) -> Result<Vec<f64>, Error> {
    let spec = model.transformer.spec();
    let limits = Limits { vocab_size: spec.vocab_size, max_positions: spec.max_positions };
    let prepared = prepare(settings, pairs, &Encoder::of(&model), limits)?;
    let mut history = History::default();
    let mut policy = setup(model.transformer, settings)?;
    train(&mut policy, Session { observers: vec![&mut history], ..Session::new(settings, &prepared) })?;
    Ok(history.steps.iter().map(|report| report.loss).collect())
}
