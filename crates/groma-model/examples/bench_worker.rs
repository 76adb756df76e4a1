//! groma's side of the peer benchmark, see `bench/README.md`: `bench_worker CHECKPOINT_DIRECTORY THREADS`.
//!
//! Reads commands from standard input, one JSON object a line, and answers each with one:
//! `{"workload": "train" | "score" | "decode", "ids": FILE, "repetitions": N, "new_tokens": N}`, where FILE holds a JSON
//! list of rows of token ids and `new_tokens` concerns decoding alone, gets
//! `{"seconds": [...], "results": [...]}`, one entry a repetition: the loss before the step, the sum of the rows'
//! log-probabilities, or the tokens chosen for each row.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use groma_kernels::Cpu;
use groma_model::generate::{GenerationContext, GenerationPrompt, generate};
use groma_model::sampling::SamplingParameters;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::{Checkpoint, Transformer};
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    workload: Workload,
    ids: PathBuf,
    repetitions: usize,
    #[serde(default)]
    new_tokens: usize,
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
        let command: Command = serde_json::from_str(&line?)?;
        let rows: Vec<Vec<u32>> = serde_json::from_reader(std::fs::File::open(&command.ids)?)?;
        worker = worker.prepared(directory, command.workload)?;
        let (mut seconds, mut results) = (Vec::new(), Vec::new());
        for _ in 0..command.repetitions {
            let start = Instant::now();
            results.push(worker.run(&command, &rows)?);
            seconds.push(start.elapsed().as_secs_f64());
        }
        writeln!(std::io::stdout(), "{}", json!({ "seconds": seconds, "results": results }))?;
    }
    Ok(())
}

/// What is in memory; changing from training to anything else, or back, starts from the checkpoint again.
enum Worker {
    Empty,
    Training(Trainer),
    Frozen(Transformer),
}

impl Worker {
    fn prepared(self, directory: &Path, workload: Workload) -> Outcome<Worker> {
        match (&self, workload) {
            (Worker::Training(_), Workload::Train) | (Worker::Frozen(_), Workload::Score | Workload::Decode) => {
                return Ok(self);
            }
            _ => drop(self),
        }
        let checkpoint = Checkpoint::open(directory)?;
        let mut model = Transformer::new(checkpoint.spec().clone(), &checkpoint.weights()?, Arc::new(Cpu::new()))?;
        if workload == Workload::Train {
            return Ok(Worker::Training(Trainer::new(model)));
        }
        model.parameters_mut().set_trainable(|_| false);
        model.freeze();
        Ok(Worker::Frozen(model))
    }

    fn run(&mut self, command: &Command, rows: &[Vec<u32>]) -> Outcome<Value> {
        match (self, command.workload) {
            (Worker::Training(trainer), Workload::Train) => Ok(json!(trainer.step(rows)?)),
            (Worker::Frozen(model), Workload::Score) => total_logp(model, rows),
            (Worker::Frozen(model), Workload::Decode) => greedy(model, rows, command.new_tokens),
            _ => Err("the worker was prepared for another workload".into()),
        }
    }
}

fn total_logp(model: &Transformer, rows: &[Vec<u32>]) -> Outcome<Value> {
    let request = |row: &Vec<u32>| {
        let (first, rest) = row.split_first().ok_or("a row without tokens")?;
        Ok(ScoreRequest { context: vec![*first], continuation: rest.to_vec() })
    };
    let requests = rows.iter().map(request).collect::<Outcome<Vec<_>>>()?;
    let scores = score(model, &requests, &ScoreOptions::default(), &mut |_| true)?;
    Ok(json!(scores.iter().map(groma_model::score::ContinuationScore::sum).sum::<f64>()))
}

fn greedy(model: &Transformer, rows: &[Vec<u32>], new_tokens: usize) -> Outcome<Value> {
    let parameters = SamplingParameters::greedy(new_tokens);
    let context = GenerationContext { parameters: &parameters, decode: &|_| String::new(), adapter: true };
    let prompts: Vec<_> = rows.iter().map(|row| GenerationPrompt { ids: row.clone(), seed: Seed::new(0) }).collect();
    let generations = generate(model, &prompts, &context, &mut |_| true)?;
    Ok(json!(generations.into_iter().flatten().map(|generation| generation.ids).collect::<Vec<_>>()))
}
