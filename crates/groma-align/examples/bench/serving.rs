//! What workers of the peer benchmark share: a command a line from standard input, an answer a line to standard output.

use groma_kernels::Cpu;
use groma_model::{LocalModel, TemplateChoice};
use serde_json::{Value, json};
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

pub(crate) type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Answers commands about the checkpoint and with the threads that the program's arguments name.
pub(crate) fn serve(usage: &'static str, answer: impl Fn(&Path, &str) -> Outcome<Value> + Sync) -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().ok_or(usage)?);
    let threads = arguments.next().ok_or(usage)?.parse()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let answer_all = || -> Outcome<()> {
        for line in std::io::stdin().lock().lines() {
            let answer = answer(&directory, &line?).unwrap_or_else(|error| json!({"error": error.to_string()}));
            writeln!(std::io::stdout(), "{answer}")?;
        }
        Ok(())
    };
    Ok(pool.install(|| answer_all().map_err(|error| error.to_string()))?)
}

/// Does something with the untrained model so many times; loading it is not timed.
pub(crate) fn repeat(
    directory: &Path,
    repetitions: usize,
    mut work: impl FnMut(LocalModel) -> Outcome<Value>,
) -> Outcome<Value> {
    let (mut seconds, mut results) = (Vec::new(), Vec::new());
    for _ in 0..repetitions {
        // The rows are no conversations; a template that is named spares the search for one.
        let template = TemplateChoice { built_in: Some("chatml".into()), ..TemplateChoice::default() };
        let model = LocalModel::open(directory, &template, Arc::new(Cpu::new()))?;
        let start = Instant::now();
        results.push(work(model)?);
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(json!({ "seconds": seconds, "results": results }))
}
