//! Trains on a file of rows and prints one JSON object a step: for comparison with other trainers.
//!
//! `losses METHOD MODEL_DIR ROWS.jsonl SETTINGS_JSON [whole]`. `MODEL_DIR` may be the directory of a PEFT adapter; with `lora` in the
//! settings, training then starts from its factors, and its base model is the reference. Models that the settings name for roles are
//! directories. Of methods that sample, all that is sampled is printed as well, before the steps that learn from it, so that the
//! other trainer can be given the same; with `whole`, no completion ends before `max_completion_length`.

use groma_align::{
    Collected, Filler, History, Limits, Member, Method, Observer, Role, Seat, Session, Settings, Voice,
    estimate_memory, prepare, setup, train,
};
use groma_data::{ReadOptions, ShapeOptions, read};
use groma_kernels::Cpu;
use groma_lm::Encoder;
use groma_model::{LocalModel, TemplateChoice};
use groma_run::Digest;
use serde_json::{Value, json};
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

type Outcome<T> = Result<T, Box<dyn Error>>;

/// What was sampled: each time, of each prompt, each completion that is learned from.
#[derive(Default)]
struct Sampled(Vec<Value>);

impl Observer for Sampled {
    fn collected(&mut self, report: &Collected<'_>) {
        let member = |member: &Member| {
            let Member { sequence, reward, advantage, ended, .. } = member;
            json!({"ids": sequence.ids, "prompt": sequence.prompt().len(), "reward": reward, "advantage": advantage, "ended": ended})
        };
        let groups: Vec<Vec<Value>> =
            report.groups.iter().map(|group| group.members.iter().map(member).collect()).collect();
        self.0.push(json!({"step": report.step, "sampled": groups}));
    }
}

fn open(directory: &str) -> Outcome<LocalModel> {
    Ok(LocalModel::open(Path::new(directory), &TemplateChoice::default(), Arc::new(Cpu::new()))?)
}

/// Who fills a role beside the policy.
type Other = (Role, String, LocalModel);

fn seat<'a>(((role, name, model), encoder): (&'a Other, &'a Encoder<'_>)) -> Seat<'a> {
    let filler = Filler::Weights(&model.transformer, encoder);
    Seat { role: *role, name: name.clone(), digest: Digest::of_bytes(name.as_bytes()), filler }
}

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (method, model, rows, settings, whole) = match &arguments[..] {
        [method, model, rows, settings] => (method, model, rows, settings, false),
        [method, model, rows, settings, whole] if whole == "whole" => (method, model, rows, settings, true),
        _ => return Err("usage: losses METHOD MODEL_DIR ROWS.jsonl SETTINGS_JSON [whole]".into()),
    };
    let method = Method::find(method).ok_or("no such method")?;
    let settings = Settings::resolve(method, &serde_json::from_str(settings)?)?;
    let model = open(model)?;
    let limits = Limits::of(model.transformer.spec());
    let table = read(Path::new(rows), &ReadOptions::default())?;
    let rows = table.into_rows(&ShapeOptions::default(), method.data)?.rows;
    let prepared = prepare(&settings, &rows, &Encoder::of(&model), limits)?;
    let others = settings.seats().into_iter().map(|(role, name)| Ok((role, name.clone(), open(&name)?)));
    let others: Vec<Other> = others.collect::<Outcome<_>>()?;
    let encoders: Vec<Encoder<'_>> = others.iter().map(|(.., model)| Encoder::of(model)).collect();
    let stop_ids = if whole { Vec::new() } else { model.stop_ids() };
    let LocalModel { transformer, tokenizer, chat, .. } = model;
    let encoder = Encoder { tokenizer: &tokenizer, chat: &chat, stop_ids: stop_ids.clone() };
    let decode = |ids: &[u32]| encoder.decode(ids);
    let voice = Some(Voice { decode: &decode, encoder: &encoder, stop_ids, stop_strings: Vec::new() });
    let (mut history, mut sampled) = (History::default(), Sampled::default());
    let started = std::time::Instant::now();
    let mut transformer = setup(transformer, &settings)?;
    let seats: Vec<Seat<'_>> = others.iter().zip(&encoders).map(seat).collect();
    let memory_bytes = estimate_memory(&transformer, &settings, &prepared, &seats).total();
    let observers: Vec<&mut dyn Observer> = vec![&mut history, &mut sampled];
    train(&mut transformer, Session { observers, voice, seats, ..Session::new(&settings, &prepared) })?;
    let seconds = started.elapsed().as_secs_f64();
    let mut out = std::io::stdout().lock();
    for collected in sampled.0.iter().filter(|_| method.samples()) {
        writeln!(out, "{collected}")?;
    }
    for ((step, metrics), report) in history.logged.iter().zip(&history.steps) {
        writeln!(out, "{}", json!({"step": step, "loss": report.loss, "metrics": metrics}))?;
    }
    let rows = prepared.groups.len();
    writeln!(out, "{}", json!({"seconds": seconds, "rows": rows, "memory_estimate_bytes": memory_bytes}))?;
    Ok(())
}
