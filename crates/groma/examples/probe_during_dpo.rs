//! A linear probe on a hook point, read at every tenth step of a DPO run: can harm be told from what looks like it?
//!
//! The probe only looks on: the weights at the end are those of a run without it, and other steps do no extra work.
#![allow(clippy::print_stdout, reason = "an example shows what it finds")]

use std::error::Error;
use std::sync::Arc;

use groma_align::{Every, Limits, Observer, Session, Settings, StepReport, prepare, setup, train};
use groma_data::{Content, Message};
use groma_interp::logistic::Logistic;
use groma_interp::{Activations, Tokens};
use groma_kernels::Cpu;
use groma_lm::Encoder;
use groma_model::{HookPoint, LocalModel, Site, TemplateChoice, Transformer, Weights};
use groma_organism::{Config, Recipe, Shape, Village, shaped};
use serde_json::json;

/// Learns a probe of the stream behind the second block at the last token of half of the prompts; its accuracy on the others. Even
/// prompts are harmful.
fn probe(model: &Transformer, prompts: &[Vec<u32>]) -> groma_interp::Result<f64> {
    let (learned, others): (Vec<usize>, Vec<usize>) = (0..prompts.len()).partition(|i| i % 4 < 2);
    let point = HookPoint::block(1, Site::ResidPost);
    let read = |which: &[usize]| {
        let texts: Vec<Vec<u32>> = which.iter().map(|&i| prompts[i].clone()).collect();
        Activations::read(model, &[point], &texts, Tokens::Last, &mut |_| true)
    };
    let harmful = |which: &[usize]| which.iter().map(|i| i % 2 == 0).collect::<Vec<bool>>();
    let probe = Logistic::fit(&read(&learned)?[0], &harmful(&learned), 0.01)?;
    let (rows, labels) = (&read(&others)?[0], harmful(&others));
    let right = labels.iter().enumerate().filter(|(row, label)| (probe.logit(rows.row(*row)) > 0.0) == **label);
    Ok(right.count() as f64 / labels.len() as f64)
}

/// A hundred steps of DPO, from the same start each time.
fn dpo(village: &Village, model: LocalModel, mut watcher: impl Observer) -> Result<Weights, Box<dyn Error>> {
    let given = json!({ "max_steps": 100, "per_device_train_batch_size": 4, "learning_rate": 1e-3 });
    let settings = Settings::resolve(groma_align::Method::require("dpo")?, given.as_object().ok_or("a table")?)?;
    let pairs = shaped("train/preferences.jsonl", &village.train.preferences);
    let limits = Limits { vocab_size: model.transformer.spec().vocab_size, max_positions: 256 };
    let rows = prepare(&settings, &pairs, &Encoder::of(&model), limits)?;
    let mut trained = setup(model.transformer, &settings)?;
    train(&mut trained, Session { observers: vec![&mut watcher], ..Session::new(&settings, &rows) })?;
    Ok(trained.weights())
}

fn main() -> Result<(), Box<dyn Error>> {
    let (village, place) = (Village::build(&Config::default())?, tempfile::tempdir()?);
    let shape = Shape { hidden_size: 64, layers: 2, intermediate_size: 128, ..Recipe::default().shape };
    let directory = place.path().join("model");
    village.export_model(&Recipe { shape, ..Recipe::default() }, &directory)?;
    let open = || LocalModel::open(&directory, &TemplateChoice::default(), Arc::new(Cpu::new()));
    let model = open()?;
    let pairs = village.held_out.harmful.iter().zip(&village.held_out.look_alike);
    let encoder = Encoder::of(&model);
    let ids = |text: &str| encoder.prompt(&Content::from(vec![Message::new("user", text)]));
    let questions = pairs.flat_map(|(harmful, harmless)| [harmful.question(), harmless.question()]);
    let prompts = questions.map(ids).collect::<Result<Vec<_>, _>>()?;

    let (mut steps, mut accuracies) = (Vec::new(), Vec::new());
    let look = |report: &StepReport, model: &Transformer| {
        accuracies.push(probe(model, &prompts).map_err(|error| error.to_string())?);
        steps.push(report.step);
        Ok(())
    };
    let probed = dpo(&village, open()?, Every { steps: 10, call: look })?;
    println!("the probe's accuracy at steps {steps:?}: {accuracies:.3?}");
    assert!(steps.into_iter().eq((10..=100).step_by(10)), "it reads at every tenth step, and at no other");
    assert!(
        probed == dpo(&village, open()?, groma_align::History::default())?,
        "the probe changes no bit of the weights"
    );
    Ok(())
}
