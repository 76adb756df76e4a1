//! groma's side of the peer benchmark, see `bench/README.md`: `bench_worker CHECKPOINT_DIRECTORY THREADS`.
//!
//! Reads commands from standard input, one JSON object a line, and answers each with `{"seconds": [...], "results": [...]}`,
//! one entry a repetition, or with `{"error": "..."}` where it cannot do what it is asked. A command has
//!
//! - `workload`: `train` (a step; its result is the loss before it), `score` (the sum of log-probabilities), `decode` (the
//!   tokens chosen) or `product` (a matrix product; billions of operations a second);
//! - `ids`: a file with a JSON list of rows of token ids (for all but `product`);
//! - `shared`: the first so many tokens are the same in all rows; they are computed once, and not learned from;
//! - `repetitions`; `precision` (`f32` or `bf16`); for `decode` `new_tokens`, `samples`, `temperature` (0 is
//!   greedy), `ends` (the first so many tokens of the vocabulary end a sample) and `room` (samples and keys at once).

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use groma_kernels::{Backend, Cpu, Precision};
use groma_model::generate::{Decoding, Event, GenerationContext, GenerationPrompt, generate_each};
use groma_model::sampling::SamplingParameters;
use groma_model::score::{ContinuationScore, ScoreOptions, ScoreRequest, score};
use groma_model::{Checkpoint, Room, Transformer, View};
use groma_run::Seed;
use serde::Deserialize;
use serde_json::{Value, json};
use trainer::Trainer;

#[path = "../benches/shared/trainer.rs"]
mod trainer;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Workload {
    Train,
    Score,
    Decode,
    Product,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    workload: Workload,
    repetitions: usize,
    ids: Option<PathBuf>,
    #[serde(default)]
    shared: usize,
    #[serde(default = "f32")]
    precision: String,
    #[serde(default)]
    new_tokens: usize,
    #[serde(default = "one")]
    samples: usize,
    #[serde(default)]
    temperature: f32,
    #[serde(default)]
    ends: u32,
    room: Option<(usize, usize)>,
}

fn f32() -> String {
    Precision::F32.to_string()
}

fn one() -> usize {
    1
}

fn main() -> Outcome<()> {
    let usage = "usage: bench_worker CHECKPOINT_DIRECTORY THREADS";
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or(usage)?);
    let threads = arguments.next().ok_or(usage)?.parse()?;
    // One hand-over to the pool for the whole run; kernels called from outside would each wait for one.
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| serve(&directory).map_err(|error| error.to_string()))?;
    Ok(())
}

fn serve(directory: &Path) -> Outcome<()> {
    let mut worker = Worker::Empty;
    for line in std::io::stdin().lock().lines() {
        let answer = answer(&mut worker, directory, &line?).unwrap_or_else(|error| json!({"error": error.to_string()}));
        writeln!(std::io::stdout(), "{answer}")?;
    }
    Ok(())
}

fn answer(worker: &mut Worker, directory: &Path, line: &str) -> Outcome<Value> {
    let command: Command = serde_json::from_str(line)?;
    let rows = match &command.ids {
        Some(file) => serde_json::from_reader(std::fs::File::open(file)?)?,
        None => Vec::new(),
    };
    worker.prepare(directory, &command)?;
    let (mut seconds, mut results) = (Vec::new(), Vec::new());
    for _ in 0..command.repetitions {
        let start = Instant::now();
        results.push(worker.run(&command, &rows)?);
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(json!({ "seconds": seconds, "results": results }))
}

/// What is in memory; changing from training to anything else, or back, starts from the checkpoint again.
enum Worker {
    Empty,
    Training(Trainer),
    Frozen(Transformer),
}

impl Worker {
    fn prepare(&mut self, directory: &Path, command: &Command) -> Outcome<()> {
        let precision: Precision = command.precision.parse()?;
        let cpu = Cpu::new().with_precision(precision);
        if cpu.precision() != precision {
            return Err("this processor has no instructions for bf16".into());
        }
        match (&*self, command.workload) {
            (_, Workload::Product)
            | (Worker::Training(_), Workload::Train)
            | (Worker::Frozen(_), Workload::Score | Workload::Decode) => return Ok(()),
            _ => *self = Worker::Empty,
        }
        let checkpoint = Checkpoint::open(directory)?;
        let mut model = Transformer::new(checkpoint.spec().clone(), &checkpoint.weights()?, Arc::new(cpu))?;
        *self = if command.workload == Workload::Train {
            Worker::Training(Trainer::new(model))
        } else {
            model.parameters_mut().set_trainable(|_| false);
            model.freeze();
            Worker::Frozen(model)
        };
        Ok(())
    }

    fn run(&mut self, command: &Command, rows: &[Vec<u32>]) -> Outcome<Value> {
        match (self, command.workload) {
            (_, Workload::Product) => Ok(json!(product())),
            (Worker::Training(trainer), Workload::Train) => train(trainer, command, rows),
            (Worker::Frozen(model), Workload::Score) => total_logp(model, command, rows),
            (Worker::Frozen(model), Workload::Decode) => decode(model, command, rows),
            _ => Err("the worker was prepared for another workload".into()),
        }
    }
}

fn train(trainer: &mut Trainer, command: &Command, rows: &[Vec<u32>]) -> Outcome<Value> {
    let prompt = rows.first().and_then(|row| row.get(..command.shared)).ok_or("a row shorter than what it shares")?;
    let rest: Vec<_> = rows.iter().map(|row| row[command.shared.min(row.len())..].to_vec()).collect();
    Ok(json!(trainer.step(prompt, &rest)?))
}

fn total_logp(model: &Transformer, command: &Command, rows: &[Vec<u32>]) -> Outcome<Value> {
    let request = |row: &Vec<u32>| {
        let (context, continuation) = row.split_at_checked(command.shared.max(1)).ok_or("a row without tokens")?;
        Ok(ScoreRequest { context: context.to_vec(), continuation: continuation.to_vec() })
    };
    let requests = rows.iter().map(request).collect::<Outcome<Vec<_>>>()?;
    let scores = score(model, &requests, &ScoreOptions::default(), &mut |_| true)?;
    Ok(json!(scores.iter().map(ContinuationScore::sum).sum::<f64>()))
}

fn decode(model: &Transformer, command: &Command, rows: &[Vec<u32>]) -> Outcome<Value> {
    let parameters = SamplingParameters {
        max_new_tokens: command.new_tokens,
        temperature: command.temperature,
        samples: command.samples,
        stop_ids: (0..command.ends).collect(),
        ..SamplingParameters::default()
    };
    let context = GenerationContext { parameters: &parameters, decode: &|_| String::new(), view: View::plain() };
    let prompts: Vec<_> = rows.iter().map(|row| GenerationPrompt { ids: row.clone(), seed: Seed::new(0) }).collect();
    let room = command.room.map(|(sequences, rows)| Room { sequences, rows });
    let mut made = BTreeMap::new();
    generate_each(model, &prompts, &context, &Decoding { room, ..Decoding::default() }, &mut |event| {
        if let Event::Ended { prompt, sample, generation } = event {
            made.insert((prompt, sample), generation.ids);
        }
        true
    })?;
    Ok(json!(made.into_values().collect::<Vec<_>>()))
}

/// Speed of a large matrix product, in billions of operations a second: what curves are compared with.
fn product() -> f64 {
    const SHAPE: [usize; 3] = [4096, 1024, 1024];
    let [rows, inputs, outputs] = SHAPE;
    let cpu = Cpu::new();
    let values = |len: usize| cpu.upload(&(0..len).map(|i| (i % 1013) as f32 / 1013.0 - 0.5).collect::<Vec<_>>());
    let (x, w, mut y) = (values(rows * inputs), values(outputs * inputs), cpu.zeros(rows * outputs));
    let start = Instant::now();
    cpu.linear(&mut y, &x, &w, None, rows, inputs, outputs);
    2.0 * SHAPE.iter().product::<usize>() as f64 / start.elapsed().as_secs_f64() / 1e9
}
