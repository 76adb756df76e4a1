//! The first step of GCG is that of nanoGCG: `fixtures/nanogcg.json` was made by `scripts/compare_nanogcg.py --fixture` on the checkpoint
//! `stories260K`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may fail and say so")]

use std::path::Path;
use std::sync::Arc;

use groma_attack::{Frame, Loss, one_hot};
use groma_kernels::Cpu;
use groma_model::{AdapterChoice, LocalModel, TemplateChoice};
use serde::Deserialize;

#[derive(Deserialize)]
struct Fixture {
    before: Vec<u32>,
    suffix: Vec<u32>,
    after: Vec<u32>,
    target: Vec<u32>,
    loss: f64,
    /// By position of the suffix and token.
    gradient: Vec<Vec<f32>>,
}

#[test]
fn loss_and_token_gradient_are_those_of_nanogcg() {
    let crate_directory = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkpoint = crate_directory.join("../../../shared/weights/stories260K-hf");
    if !checkpoint.exists() {
        println!("SKIPPED: {} is not there", checkpoint.display());
        return;
    }
    let text = std::fs::read_to_string(crate_directory.join("fixtures/nanogcg.json")).unwrap();
    let Fixture { before, suffix, after, target, loss, gradient } = serde_json::from_str(&text).unwrap();
    let choice = TemplateChoice::parse("user-bot").unwrap();
    let model = LocalModel::open(&checkpoint, &choice, Arc::new(Cpu::new())).unwrap();
    let frame = Frame { before, after, target };
    let found = one_hot(&model.transformer, &AdapterChoice::default(), &frame, &suffix, Loss::CrossEntropy).unwrap();
    assert!((found.loss - loss).abs() < 1e-4, "{} for {loss}", found.loss);
    assert_eq!(found.slopes.len(), gradient.concat().len());
    let off = found.slopes.iter().zip(gradient.concat()).map(|(own, other)| (own - other).abs()).fold(0.0, f32::max);
    assert!(off < 1e-4, "the gradient is off by {off}");
}
