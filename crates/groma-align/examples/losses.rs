//! Trains on a file of rows and prints one JSON object a step: for comparison with other trainers.
//!
//! `losses METHOD MODEL_DIR ROWS.jsonl SETTINGS_JSON`. `MODEL_DIR` may be the directory of a PEFT adapter; with `lora` in the
//! settings, training then starts from its factors, and its base model is the reference.

use groma_align::{History, Limits, Method, Session, Settings, Voice, estimate_memory, prepare, setup, train};
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
    let stop_ids = model.stop_ids();
    let LocalModel { transformer, tokenizer, chat, .. } = model;
    let encoder = Encoder { tokenizer: &tokenizer, chat: &chat, stop_ids };
    let table = read(Path::new(rows), &ReadOptions::default())?;
    let rows = table.into_rows(&ShapeOptions::default(), method.data)?.rows;
    let prepared = prepare(&settings, &rows, &encoder, Limits::of(transformer.spec()))?;
    let decode = |ids: &[u32]| tokenizer.decode(ids, true).unwrap_or_default();
    let stop_ids = encoder.stop_ids.clone();
    let voice = Voice { decode: &decode, encoder: &encoder, stop_ids, stop_strings: Vec::new() };
    let mut history = History::default();
    let started = std::time::Instant::now();
    let mut transformer = setup(transformer, &settings)?;
    let memory_bytes = estimate_memory(&transformer, &settings, &prepared, &[]).total();
    let session = Session { voice: Some(voice), observers: vec![&mut history], ..Session::new(&settings, &prepared) };
    train(&mut transformer, session)?;
    let seconds = started.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    for ((step, metrics), report) in history.logged.iter().zip(&history.steps) {
        writeln!(out, "{}", serde_json::json!({"step": step, "loss": report.loss, "metrics": metrics}))?;
    }
    let rows = prepared.groups.len();
    writeln!(out, "{}", serde_json::json!({"seconds": seconds, "rows": rows, "memory_estimate_bytes": memory_bytes}))?;
    Ok(())
}
