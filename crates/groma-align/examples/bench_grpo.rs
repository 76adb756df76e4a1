//! groma's side of the GRPO rows of the peer benchmark, see `bench/README.md`: `bench_grpo CHECKPOINT_DIRECTORY THREADS`.
//!
//! Reads commands from standard input, one JSON object a line: `{"prompts": FILE, "settings": {...}, "whole": BOOLEAN,
//! "repetitions": N}`, where FILE holds rows of `prompt`, and answers each with `{"seconds": [...], "results": [...]}`: how long
//! it took from the rows and the untrained model in memory to the trained model (tokenising included), and, of each completion
//! that was sampled before the first step, how many tokens it has and their summed log-probability. Where `whole` is set, no
//! completion ends before `max_completion_length`.

use groma_align::{Collected, Limits, Method, Observer, Session, Settings, Voice, prepare, setup, train};
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
    prompts: PathBuf,
    settings: Map<String, Value>,
    #[serde(default)]
    whole: bool,
    repetitions: usize,
}

/// Lengths and log-probabilities of what was sampled before the first step.
#[derive(Default)]
struct First(Vec<(usize, f64)>);

impl Observer for First {
    fn collected(&mut self, report: &Collected<'_>) {
        let members = report.groups.iter().flat_map(|group| &group.members);
        if report.step == 1 {
            let sum = |logps: &[f32]| logps.iter().map(|&logp| f64::from(logp)).sum();
            self.0.extend(members.map(|member| (member.sampled.len(), sum(&member.sampled))));
        }
    }
}

fn main() -> Outcome<()> {
    serve("usage: bench_grpo CHECKPOINT_DIRECTORY THREADS", answer)
}

fn answer(directory: &Path, line: &str) -> Outcome<Value> {
    let command: Command = serde_json::from_str(line)?;
    let settings = Settings::resolve(Method::require("grpo")?, &command.settings)?;
    let shapes = [Shape::PromptOnly];
    let prompts = read(&command.prompts, &ReadOptions::default())?.into_rows(&ShapeOptions::default(), &shapes)?.rows;
    repeat(directory, command.repetitions, |model| grpo(model, &settings, &prompts, command.whole))
}

fn grpo(model: LocalModel, settings: &Settings, prompts: &[Row], whole: bool) -> Outcome<Value> {
    let stop_ids = model.stop_ids();
    let LocalModel { transformer, tokenizer, chat, .. } = model;
    let encoder = Encoder { tokenizer: &tokenizer, chat: &chat, stop_ids };
    let prepared = prepare(settings, prompts, &encoder, Limits::of(transformer.spec()))?;
    let stop_ids = if whole { Vec::new() } else { encoder.stop_ids.clone() };
    let decode = |ids: &[u32]| encoder.decode(ids);
    let voice = Voice { decode: &decode, encoder: &encoder, stop_ids, stop_strings: Vec::new() };
    let mut first = First::default();
    let mut policy = setup(transformer, settings)?;
    let session = Session { voice: Some(voice), observers: vec![&mut first], ..Session::new(settings, &prepared) };
    train(&mut policy, session)?;
    Ok(json!(first.0))
}
