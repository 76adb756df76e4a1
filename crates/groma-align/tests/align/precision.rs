//! Training with products in bf16 learns what training in f32 learns.

use crate::support::{Letters, completions, fingerprint, limits, prepared, settings, spec, weights};
use groma_align::{Prepared, Session, evaluate, prepare, setup, train};
use groma_kernels::{Backend, Cpu, Precision};
use groma_model::Transformer;
use serde_json::json;
use std::sync::Arc;

/// Trains on the first rows; the loss on the others, before and after.
fn learn(precision: Precision, seed: u64) -> (f64, f64, groma_run::Digest) {
    let settings = settings("sft", json!({"max_steps": 40, "learning_rate": 3e-3, "seed": seed}));
    let held_out: Prepared = prepare(&settings, &completions()[8..], &Letters::default(), limits()).unwrap();
    let rows = prepare(&settings, &completions()[..8], &Letters::default(), limits()).unwrap();
    let backend = Arc::new(Cpu::new().with_precision(precision));
    let model = Transformer::new(spec(), &weights(&spec(), seed), backend).unwrap();
    let mut model = setup(model, &settings).unwrap();
    let loss = |model: &Transformer| evaluate(model, &settings, &held_out).unwrap()["eval_loss"];
    let before = loss(&model);
    train(&mut model, Session::new(&settings, &rows)).unwrap();
    (before, loss(&model), fingerprint(&model))
}

#[test]
fn bf16_reaches_the_held_out_loss_of_f32() {
    if Cpu::new().with_precision(Precision::Bf16).precision() != Precision::Bf16 {
        println!("SKIPPED: this processor has no instructions for bf16");
        return;
    }
    for seed in 1..=3 {
        let (before, wide, weights) = learn(Precision::F32, seed);
        let (_, narrow, other) = learn(Precision::Bf16, seed);
        println!("seed {seed}: {before:.4} before, {wide:.4} in f32, {narrow:.4} in bf16");
        assert!(weights != other, "bf16 was not used");
        assert!(wide < before - 0.1 && (narrow - wide).abs() < 0.03, "seed {seed}: {before}, {wide}, {narrow}");
    }
}

#[test]
fn bf16_starts_dpo_at_its_closed_form() {
    let settings = settings("dpo", json!({"max_steps": 2}));
    let backend = Arc::new(Cpu::new().with_precision(Precision::Bf16));
    let model = Transformer::new(spec(), &weights(&spec(), 1), backend).unwrap();
    let mut model = setup(model, &settings).unwrap();
    // The pre-flight check compares the loss before the first step with log 2.
    train(&mut model, Session::new(&settings, &prepared(&settings))).unwrap();
}
