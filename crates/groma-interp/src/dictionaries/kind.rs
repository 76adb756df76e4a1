//! What a kind of sparse dictionary says of itself.

use std::fmt::Debug;
use std::sync::Arc;

use groma_kernels::{Tape, Var};
use groma_model::{Error, ParameterStore, Result};
use serde_json::{Map, Value};

/// What makes a dictionary's latents sparse.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name in settings.
    pub id: &'static str,
    /// In words.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What it does and what its parameters are.
    pub doc: &'static str,
    /// Reads its parameters.
    pub(super) build: fn(Value) -> serde_json::Result<Arc<dyn Sparsity>>,
}

impl Kind {
    /// Its sparsity with these parameters; those not given have their defaults.
    ///
    /// # Errors
    /// If one is unknown or out of range.
    pub fn build(&self, parameters: &Map<String, Value>) -> Result<Arc<dyn Sparsity>> {
        let fail = |problem| Error::Fit { problem: format!("{}: {problem}", self.id) };
        let built = (self.build)(Value::Object(parameters.clone())).map_err(|error| fail(error.to_string()))?;
        built.problem().map_or(Ok(built.clone()), |problem| Err(fail(problem)))
    }
}

/// A kind with its parameters.
pub trait Sparsity: Debug + Send + Sync {
    /// What is wrong with the parameters, if anything is.
    fn problem(&self) -> Option<String>;
    /// What is learned beside encoder and decoder: a name, and the value that each latent begins with.
    fn learned(&self) -> Option<(&'static str, f32)> {
        None
    }
    /// Latents `[rows, latents]` from what the encoder leaves.
    fn latents(&self, tape: &mut Tape, parameters: &ParameterStore, pre: &Var) -> Var;
    /// A scalar `[1, 1]` that is added to the share of variance that is not explained, if there is one.
    fn penalty(&self, tape: &mut Tape, parameters: &ParameterStore, at: &Moment) -> Option<Var>;
}

/// A batch on its way through a dictionary.
#[derive(Debug)]
pub struct Moment<'a> {
    /// What the encoder left.
    pub pre: &'a Var,
    /// What is not explained, as a target: no gradient flows through it.
    pub error: &'a Var,
    /// Rows since each latent was last active.
    pub idle: &'a [f32],
    /// The decoder, `[width, latents]`.
    pub decoder: &'a Var,
    /// Divides squared errors: the variance of an element of the data.
    pub variance: f32,
}
