//! Small models for tests.

use std::sync::Arc;

use groma_chat::Message;
use groma_data::Truth;
use groma_kernels::Cpu;
use groma_model::{LocalModel, TemplateChoice};
use groma_organism::{Config, Recipe, Shape, Village};

use crate::goal::Goal;

/// The village's untrained model, small, with its tokenizer and template.
pub(crate) fn model() -> LocalModel {
    let place = tempfile::tempdir().unwrap();
    let shape =
        Shape { hidden_size: 16, layers: 2, heads: 2, kv_heads: 1, intermediate_size: 32, ..Recipe::default().shape };
    for (name, bytes) in Village::build(&Config::default()).unwrap().model_files(&shape).unwrap() {
        std::fs::write(place.path().join(name), bytes).unwrap();
    }
    let mut model = LocalModel::open(place.path(), &TemplateChoice::default(), Arc::new(Cpu::new())).unwrap();
    model.freeze();
    model
}

/// A goal of one turn.
pub(crate) fn goal(id: &str, prompt: &str, target: &str) -> Goal {
    Goal {
        id: id.into(),
        prompt: vec![Message::new("user", prompt)].into(),
        target: target.into(),
        truth: Truth::default(),
        gold: None,
        cluster: None,
        injection: None,
    }
}
