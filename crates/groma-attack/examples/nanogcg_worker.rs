//! groma's side of `scripts/compare_nanogcg.py`: `nanogcg_worker CHECKPOINT_DIRECTORY TEMPLATE`.
//!
//! Reads a JSON object a line from standard input and answers each with one. `{"before": [..], "suffix": [..], "after": [..], "target":
//! [..]}`: the loss of the suffix and its gradient by the one-hot coordinates, row by row. `{"prompt": "..", "target": "..",
//! "settings": {..}}`: a search with these settings of `gcg`, the loss after each step and the seconds of all steps.
#![allow(clippy::print_stdout, reason = "a worker answers on standard output")]

use std::error::Error;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use groma_attack::{Arena, Attack, Budget, ByRules, Drawn, Frame, Keep, Loss, Target, assault, goals, one_hot};
use groma_kernels::Cpu;
use groma_lm::{Control, Local, LocalOptions, SamplingParameters};
use groma_model::{AdapterChoice, LocalModel, TemplateChoice};
use groma_run::{Cancel, Seed, Silent};
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(untagged)]
enum Job {
    Gradient { before: Vec<u32>, suffix: Vec<u32>, after: Vec<u32>, target: Vec<u32> },
    Search { prompt: String, target: String, settings: Map<String, Value> },
}

fn search(local: &Local, prompt: &str, target: &str, settings: &Map<String, Value>) -> Result<Value, Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("goals.jsonl");
    std::fs::write(&file, json!({ "id": "goal", "prompt": prompt, "target": target }).to_string())?;
    let goals = goals(&file, None, Drawn::default(), Seed::new(1))?;
    let judge = ByRules::new(Box::new(|_| true));
    let arena = Arena {
        target: Target { asked: local, weights: Some(local.clone()), shield: None },
        judge: &judge,
        sampling: SamplingParameters::greedy(1),
        budget: Budget::default(),
        control: Control { progress: &Silent, cancel: &Cancel::default() },
    };
    let found = assault(&Attack::find("gcg")?.method(settings)?, &arena, &goals, Seed::new(1), &Keep::default())?;
    let attempt = found.first().ok_or("nothing was attacked")?;
    let losses: Vec<f64> = attempt.curve.iter().filter_map(|point| point.loss).collect();
    Ok(json!({ "losses": losses, "seconds": attempt.spent.seconds, "queries": attempt.spent.queries }))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (directory, template) = (arguments.next().ok_or("no checkpoint")?, arguments.next().ok_or("no template")?);
    let directory: PathBuf = Path::new(&directory).into();
    let mut model = LocalModel::open(&directory, &TemplateChoice::parse(&template)?, Arc::new(Cpu::new()))?;
    model.freeze();
    let local = Local::new(&model, LocalOptions::default());
    for line in std::io::stdin().lines() {
        let answer = match serde_json::from_str(&line?)? {
            Job::Gradient { before, suffix, after, target } => {
                let frame = Frame { before, after, target };
                let found =
                    one_hot(&model.transformer, &AdapterChoice::default(), &frame, &suffix, Loss::CrossEntropy)?;
                json!({ "loss": found.loss, "slopes": found.slopes })
            }
            Job::Search { prompt, target, settings } => search(&local, &prompt, &target, &settings)?,
        };
        println!("{answer}");
        std::io::stdout().flush()?;
    }
    Ok(())
}
