//! A small transformer of its own, made from nothing and taught by any method: what experiments on learning are done with.

use std::path::Path;
use std::sync::Arc;

use groma_kernels::Backend;
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::{Config, Spec, Tensor, Transformer, Weights, families, parameters};
use groma_run::{Cancel, Seed};
use serde_json::{Map, Value};

use crate::Error;
use crate::group::{Group, digest};
use crate::lengths::LengthStatistics;
use crate::method::Method;
use crate::prepare::Prepared;
use crate::session::Session;
use crate::settings::Settings;
use crate::setup::setup;
use crate::trainer::train;

/// A model over tokens that mean what its teacher wants.
#[derive(Debug)]
pub struct Apprentice(Transformer);

impl Apprentice {
    /// One that has learned nothing: of a `config.json`, with norms of 1 and uniform weights of a standard deviation.
    ///
    /// # Errors
    /// Where the configuration describes no model.
    pub fn new(
        config: Map<String, Value>,
        deviation: f64,
        seed: Seed,
        backend: Arc<dyn Backend>,
    ) -> Result<Self, Error> {
        let spec = families::read(&Config::new(Path::new("config.json"), config))?;
        let weights = weights(&spec, deviation, seed);
        Ok(Apprentice(Transformer::new(spec, &weights, backend)?))
    }

    /// The same, to be taught something else.
    ///
    /// # Errors
    /// Those of the model.
    pub fn copied(&self) -> Result<Self, Error> {
        let (spec, weights) = (self.0.spec().clone(), self.0.weights());
        Ok(Apprentice(Transformer::new(spec, &weights, self.0.backend().clone())?))
    }

    /// The model.
    pub fn transformer(&self) -> &Transformer {
        &self.0
    }

    /// Learns groups by a method with these settings, in the one training loop.
    ///
    /// # Errors
    /// Those of [`Settings::resolve`] and [`train`].
    pub fn learn(
        &mut self,
        method: &str,
        given: &Map<String, Value>,
        groups: Vec<Group>,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let settings = Settings::resolve(Method::require(method)?, given)?;
        let (lengths, digest) = (LengthStatistics::of(&groups), digest(&groups));
        let prepared = Prepared { groups, findings: Vec::new(), lengths, digest };
        let mut model = setup(self.copied()?.0, &settings)?;
        train(&mut model, Session { cancel: cancel.clone(), ..Session::new(&settings, &prepared) })?;
        model.parameters_mut().set_trainable(|_| false);
        model.freeze();
        self.0 = model;
        Ok(())
    }

    /// For each context the natural log-probabilities of some next tokens, `[contexts][tokens]`.
    ///
    /// # Errors
    /// Those of scoring, and a request to stop.
    pub fn next(&self, contexts: &[Vec<u32>], tokens: &[u32], cancel: &Cancel) -> Result<Vec<Vec<f64>>, Error> {
        let request =
            |context: &Vec<u32>, token: u32| ScoreRequest { context: context.clone(), continuation: vec![token] };
        let requests: Vec<ScoreRequest> =
            contexts.iter().flat_map(|context| tokens.iter().map(|&token| request(context, token))).collect();
        let scores = score(&self.0, &requests, &ScoreOptions::default(), &mut |_| !cancel.is_requested());
        cancel.check()?;
        let sums: Vec<f64> = scores?.iter().map(|score| score.sum()).collect();
        Ok(sums.chunks(tokens.len().max(1)).map(<[f64]>::to_vec).collect())
    }
}

fn weights(spec: &Spec, deviation: f64, seed: Seed) -> Weights {
    let bound = 3.0_f64.sqrt() * deviation;
    let fill = |parameter: groma_model::Parameter| {
        let mut random = seed.named(&parameter.name).rng();
        let is_norm = parameter.shape.len() == 1;
        let mut value = || {
            if is_norm { 1.0 } else { ((2.0 * groma_data::uniform(&mut random) - 1.0) * bound) as f32 }
        };
        let values = (0..parameter.shape.iter().product()).map(|_| value()).collect();
        (parameter.name, Tensor { shape: parameter.shape, values })
    };
    parameters(spec).into_iter().map(fill).collect()
}
