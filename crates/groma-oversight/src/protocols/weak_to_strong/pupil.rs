//! A small transformer that learns labels by the one training loop.

use std::sync::Arc;

use groma_align::{Apprentice, Group, Sequence};
use groma_kernels::Backend;
use groma_organism::Shape;
use groma_run::{Cancel, Seed};
use serde_json::json;

use super::evidence::{Case, LONGEST, VOCABULARY, View, token};
use crate::Error;

/// Cases in a step.
const BATCH: usize = 64;
const LEARNING_RATE: f64 = 1e-2;

/// How large a pupil is.
#[derive(Clone, Copy)]
pub(super) enum Size {
    Small,
    Large,
}

/// What is learned, and how long.
pub(super) struct Lesson<'a> {
    pub(super) view: View,
    pub(super) cases: &'a [Case],
    pub(super) labels: &'a [bool],
    pub(super) steps: u64,
}

/// A model of labels.
pub(super) struct Pupil(Apprentice);

impl Size {
    fn shape(self) -> Shape {
        let (hidden_size, layers) = match self {
            Size::Small => (8, 1),
            Size::Large => (16, 2),
        };
        Shape {
            hidden_size,
            layers,
            heads: 2,
            kv_heads: 2,
            intermediate_size: 2 * hidden_size,
            max_positions: LONGEST,
            initial_deviation: 0.2,
        }
    }
}

impl Pupil {
    /// One that has learned nothing.
    pub(super) fn new(size: Size, seed: Seed, backend: Arc<dyn Backend>) -> Result<Self, Error> {
        let shape = size.shape();
        let config = shape.config_json(VOCABULARY).as_object().cloned().unwrap_or_default();
        Ok(Pupil(Apprentice::new(config, shape.initial_deviation, seed, backend)?))
    }

    /// Learns a lesson.
    pub(super) fn learn(&mut self, lesson: &Lesson<'_>, seed: Seed, cancel: &Cancel) -> Result<(), Error> {
        let given = json!({
            "max_steps": lesson.steps, "per_device_train_batch_size": BATCH, "learning_rate": LEARNING_RATE,
            "lr_scheduler_type": "cosine", "warmup_steps": lesson.steps.min(10), "adam_beta2": 0.98,
            "seed": seed.bits() >> 32,
        });
        let group = |(index, (case, label)): (usize, (&Case, &bool))| {
            Group::of(format!("case {index}"), Sequence::completion(&case.tokens(lesson.view), &[token(*label)]))
        };
        let groups = lesson.cases.iter().zip(lesson.labels).enumerate().map(group).collect();
        Ok(self.0.learn("sft", &given.as_object().cloned().unwrap_or_default(), groups, cancel)?)
    }

    /// The likelier label of each case.
    pub(super) fn labels(&self, view: View, cases: &[Case], cancel: &Cancel) -> Result<Vec<bool>, Error> {
        let contexts: Vec<Vec<u32>> = cases.iter().map(|case| case.tokens(view)).collect();
        let logps = self.0.next(&contexts, &[token(false), token(true)], cancel)?;
        Ok(logps.iter().map(|logps| logps[1] > logps[0]).collect())
    }
}
