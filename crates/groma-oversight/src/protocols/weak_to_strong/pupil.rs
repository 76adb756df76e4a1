//! A small transformer that learns labels by the one training loop.

use std::path::Path;
use std::sync::Arc;

use groma_align::{Group, LengthStatistics, Method, Prepared, Sequence, Session, Settings, setup, train};
use groma_kernels::Backend;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::{Config, Spec, Tensor, Transformer, Weights, families, parameters};
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
pub(super) struct Pupil(Transformer);

impl Size {
    fn shape(self) -> Shape {
        let (hidden_size, layers) = match self {
            Size::Small => (8, 1),
            Size::Large => (16, 2),
        };
        let (heads, kv_heads, max_positions) = (2, 2, LONGEST);
        Shape {
            hidden_size,
            layers,
            heads,
            kv_heads,
            intermediate_size: 2 * hidden_size,
            max_positions,
            initial_deviation: 0.2,
        }
    }
}

impl Pupil {
    /// One that has learned nothing.
    pub(super) fn new(size: Size, seed: Seed, backend: Arc<dyn Backend>) -> Result<Self, Error> {
        let shape = size.shape();
        let config = shape.config_json(VOCABULARY).as_object().cloned().unwrap_or_default();
        let spec = families::read(&Config::new(Path::new("config.json"), config))?;
        let weights = weights(&spec, shape.initial_deviation, seed);
        Ok(Pupil(Transformer::new(spec, &weights, backend)?))
    }

    /// Learns a lesson.
    pub(super) fn learn(&mut self, lesson: &Lesson<'_>, seed: Seed, cancel: &Cancel) -> Result<(), Error> {
        let given = json!({
            "max_steps": lesson.steps, "per_device_train_batch_size": BATCH, "learning_rate": LEARNING_RATE,
            "lr_scheduler_type": "cosine", "warmup_steps": lesson.steps.min(10), "adam_beta2": 0.98,
            "seed": seed.bits() >> 32,
        });
        let given = given.as_object().cloned().unwrap_or_default();
        let settings = Settings::resolve(Method::require("sft")?, &given)?;
        let group = |(index, (case, label)): (usize, (&Case, &bool))| {
            Group::of(format!("case {index}"), Sequence::completion(&case.tokens(lesson.view), &[token(*label)]))
        };
        let groups: Vec<Group> = lesson.cases.iter().zip(lesson.labels).enumerate().map(group).collect();
        let (lengths, digest) = (LengthStatistics::of(&groups), groma_align::group::digest(&groups));
        let prepared = Prepared { groups, findings: Vec::new(), lengths, digest };
        let parts = (self.0.spec().clone(), self.0.weights(), self.0.backend().clone());
        let mut model = setup(Transformer::new(parts.0, &parts.1, parts.2)?, &settings)?;
        train(&mut model, Session { cancel: cancel.clone(), ..Session::new(&settings, &prepared) })?;
        model.parameters_mut().set_trainable(|_| false);
        model.freeze();
        self.0 = model;
        Ok(())
    }

    /// The likelier label of each case.
    pub(super) fn labels(&self, view: View, cases: &[Case], cancel: &Cancel) -> Result<Vec<bool>, Error> {
        let request =
            |case: &Case, label| ScoreRequest { context: case.tokens(view), continuation: vec![token(label)] };
        let requests: Vec<ScoreRequest> =
            cases.iter().flat_map(|case| [false, true].map(|label| request(case, label))).collect();
        let scores = score(&self.0, &requests, &ScoreOptions::default(), &mut |_| !cancel.is_requested());
        cancel.check()?;
        let scores = scores?;
        Ok(scores.chunks(2).map(|both| both[1].sum() > both[0].sum()).collect())
    }
}

/// First weights: norms of 1, and uniform numbers of a deviation elsewhere.
fn weights(spec: &Spec, deviation: f64, seed: Seed) -> Weights {
    let bound = 3.0_f64.sqrt() * deviation;
    let fill = |parameter: groma_model::Parameter| {
        let mut random = seed.named(&parameter.name).rng();
        let is_norm = parameter.shape.len() == 1;
        let mut value = || if is_norm { 1.0 } else { ((2.0 * groma_data::uniform(&mut random) - 1.0) * bound) as f32 };
        let values = (0..parameter.shape.iter().product()).map(|_| value()).collect();
        (parameter.name, Tensor { shape: parameter.shape, values })
    };
    parameters(spec).into_iter().map(fill).collect()
}
