//! Trains on a file of rows and prints one JSON object a step: for comparison with other trainers.
//!
//! `losses METHOD MODEL_DIR ROWS.jsonl SETTINGS_JSON`. Models that settings name are directories. `MODEL_DIR` may be the directory of a PEFT adapter; with `lora` in the
//! settings, training then starts from its factors, and its base model is the reference.

use groma_align::{
    Filler, History, Limits, Method, Seat, Session, Settings, Voice, estimate_memory, prepare, setup, train,
};
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
    let open = |path: &str| LocalModel::open(Path::new(path), &TemplateChoice::default(), Arc::new(Cpu::new()));
    let model = open(model)?;
    let others = settings.seats().iter().map(|(_, name)| open(name)).collect::<Result<Vec<_>, _>>()?;
    let limits = Limits::of(model.transformer.spec());
    let table = read(Path::new(rows), &ReadOptions::default())?;
    let rows = table.into_rows(&ShapeOptions::default(), method.data)?.rows;
    let stop_ids = model.stop_ids();
    let LocalModel { transformer, tokenizer, chat, .. } = model;
    let encoder = Encoder { tokenizer: &tokenizer, chat: &chat, stop_ids: stop_ids.clone() };
    let prepared = prepare(&settings, &rows, &encoder, limits)?;
    let mut history = History::default();
    let started = std::time::Instant::now();
    let mut transformer = setup(transformer, &settings)?;
    let encoders: Vec<Encoder<'_>> = others.iter().map(Encoder::of).collect();
    let mut seats = Vec::new();
    for (((role, name), other), encoder) in settings.seats().into_iter().zip(&others).zip(&encoders) {
        let filler = Filler::Weights(&other.transformer, encoder);
        seats.push(Seat { role, name, digest: other.digest()?, filler });
    }
    let memory_bytes = estimate_memory(&transformer, &settings, &prepared, &seats).total();
    let decode = |ids: &[u32]| encoder.decode(ids);
    let voice = Some(Voice { decode: &decode, encoder: &encoder, stop_ids, stop_strings: Vec::new() });
    let session = Session { seats, voice, observers: vec![&mut history], ..Session::new(&settings, &prepared) };
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
