//! Trains on a file of rows and prints one JSON object a step: for comparison with other trainers.
//!
//! `losses METHOD MODEL_DIR ROWS.jsonl SETTINGS_JSON`. `MODEL_DIR` may be the directory of a PEFT adapter; with `lora` in the
//! settings, training then starts from its factors, and its base model is the reference.

use groma_align::{History, Limits, Method, Session, Settings, estimate_memory, prepare, setup, train};
use groma_data::{ReadOptions, ShapeOptions, read};
use groma_kernels::Cpu;
use groma_lm::Encoder;
use groma_model::{LocalModel, TemplateChoice};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [method, model, rows, settings] = &arguments[..] else {
        return Err("usage: losses METHOD MODEL_DIR ROWS.jsonl SETTINGS_JSON".into());
    };
    let method = Method::find(method).ok_or("no such method")?;
    let settings = Settings::resolve(method, &serde_json::from_str(settings)?)?;
    let model = LocalModel::open(Path::new(model), &TemplateChoice::default(), Arc::new(Cpu::new()))?;
    let spec = model.transformer.spec();
    let limits = Limits { vocab_size: spec.vocab_size, max_positions: spec.max_positions };
    let table = read(Path::new(rows), &ReadOptions::default())?;
    let rows = table.into_rows(&ShapeOptions::default(), method.data)?.rows;
    let prepared = prepare(&settings, &rows, &Encoder::of(&model), limits)?;
    let mut history = History::default();
    let started = std::time::Instant::now();
    let mut transformer = setup(model.transformer, &settings)?;
    let memory_bytes = estimate_memory(&transformer, &settings, &prepared, &[]).total();
    train(&mut transformer, Session { observers: vec![&mut history], ..Session::new(&settings, &prepared) })?;
    let seconds = started.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    for ((step, metrics), report) in history.logged.iter().zip(&history.steps) {
        writeln!(out, "{}", serde_json::json!({"step": step, "loss": report.loss, "metrics": metrics}))?;
    }
    let rows = prepared.groups.len();
    writeln!(out, "{}", serde_json::json!({"seconds": seconds, "rows": rows, "memory_estimate_bytes": memory_bytes}))?;
    Ok(())
}
