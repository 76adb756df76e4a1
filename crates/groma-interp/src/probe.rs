//! A linear probe of one place in a model: learned once, kept in a file, read in passes, in generation and in training.

use std::path::Path;

use groma_kernels::Backend;
use groma_model::{HookPoint, Hooks, Spec, Transformer};
use groma_run::read_json;
use serde::{Deserialize, Serialize};

use crate::activations::{Activations, Tokens};
use crate::error::{Error, Result};
use crate::logistic::Logistic;

/// Largest file of a probe, in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// A direction at a place, and a threshold along it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probe {
    /// The place.
    pub point: HookPoint,
    /// What it tells apart: the first class, which has positive log-odds.
    pub first: String,
    /// The other class.
    pub second: String,
    /// One number a column.
    pub weights: Vec<f64>,
    /// Added to the sum.
    pub bias: f64,
}

/// What a probe reads off one token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReadOff {
    /// The sequence, as in [`groma_model::Address`].
    pub sequence: usize,
    /// The token's position in it.
    pub position: usize,
    /// The log-odds of the first class.
    pub logit: f64,
}

impl Probe {
    /// What was learned at a place.
    pub fn new(point: HookPoint, [first, second]: [&str; 2], learned: Logistic) -> Self {
        let Logistic { weights, bias } = learned;
        Probe { point, first: first.to_owned(), second: second.to_owned(), weights, bias }
    }

    /// A probe from its file, for a model.
    ///
    /// # Errors
    /// [`Error::File`] where the file holds something else, or a probe that does not fit the model.
    pub fn load(path: &Path, spec: &Spec) -> Result<Self> {
        let probe: Probe = read_json(path, MOST_BYTES)?;
        let fail = |problem: String| Err(Error::File { path: path.display().to_string(), problem });
        if let Err(error) = HookPoint::find(&probe.point.to_string(), spec) {
            return fail(error.to_string());
        }
        let width = probe.point.width(spec).unwrap_or(0);
        if probe.weights.len() != width {
            let given = probe.weights.len();
            return fail(format!("the probe has {given} weights, and a row of {} has {width} numbers", probe.point));
        }
        let is_finite = probe.weights.iter().chain([&probe.bias]).all(|number| number.is_finite());
        if is_finite { Ok(probe) } else { fail("a number of the probe is not finite".into()) }
    }

    /// The log-odds of the first class for a row of its place.
    pub fn logit(&self, row: &[f32]) -> f64 {
        self.bias + self.weights.iter().zip(row).map(|(w, &x)| w * f64::from(x)).sum::<f64>()
    }

    /// What it reads off the last token of each text.
    ///
    /// # Errors
    /// Those of the forward pass.
    pub fn read(&self, model: &Transformer, texts: &[Vec<u32>]) -> Result<Vec<f64>> {
        let found = Activations::read(model, &[self.point], texts, Tokens::Last, &mut |_| true)?;
        let rows = found.first().into_iter().flat_map(|all| (0..all.rows()).map(|row| self.logit(all.row(row))));
        Ok(rows.collect())
    }

    /// Hooks under which a pass, scoring or generation keeps what the probe reads.
    pub fn watching(&self, hooks: Hooks) -> Hooks {
        hooks.read(self.point)
    }

    /// What it reads off each token of the last call under [`Probe::watching`].
    pub fn seen(&self, hooks: &Hooks, backend: &dyn Backend) -> Vec<ReadOff> {
        let readings = hooks.readings(self.point, backend).into_iter();
        let read = readings.map(|reading| ReadOff {
            sequence: reading.sequence,
            position: reading.position,
            logit: self.logit(&reading.values),
        });
        read.collect()
    }
}
