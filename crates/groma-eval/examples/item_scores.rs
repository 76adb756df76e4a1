//! Measures a model on a file and writes one JSON line an item, then one a metric; `scripts/compare_lm_eval.py` reads them.
//!
//! `item_scores MODEL_DIRECTORY TASK FILE [FIRST_ROWS]`

#![allow(clippy::print_stdout)]

use groma_data::{ReadOptions, TextUnit, read};
use groma_eval::{EstimateOptions, Subject, evaluate, find, read_items};
use groma_kernels::Cpu;
use groma_lm::{Control, Local, LocalOptions};
use groma_model::{LocalModel, TemplateChoice};
use groma_run::{Cancel, Silent};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, task, file, rest @ ..] = arguments.as_slice() else {
        return Err("usage: item_scores MODEL_DIRECTORY TASK FILE [FIRST_ROWS]".into());
    };
    let task = find(task)?;
    let options = ReadOptions { text_unit: TextUnit::Paragraph, ..ReadOptions::default() };
    let mut table = read(Path::new(file), &options)?;
    if let Some(rows) = rest.first() {
        table = table.limit(rows.parse()?);
    }
    let items = read_items(task, table)?;
    let mut model = LocalModel::open(Path::new(model), &TemplateChoice::default(), Arc::new(Cpu::new()))?;
    model.freeze();
    let local = Local::new(&model, LocalOptions::default());
    let subject = Subject::greedy(&local, "model", 128);
    let control = Control { progress: &Silent, cancel: &Cancel::default() };
    let found = evaluate(task, &items, &subject, &EstimateOptions::default(), control)?;
    for item in &found.items {
        println!("{}", serde_json::to_string(item)?);
    }
    for measurement in &found.measurements {
        println!("{}", serde_json::to_string(measurement)?);
    }
    Ok(())
}
