//! How much of activations, and of what a model makes of them, a dictionary keeps.

use groma_kernels::{Edit, Tape, Var};
use groma_model::score::{ScoreOptions, ScoreRequest, score};
use groma_model::{Address, HookPoint, Hooks, Intervention, Result, Transformer, View};
use serde::Serialize;

use crate::{Activations, Dictionary};

/// Rows in one pass through a dictionary.
const PASS_ROWS: usize = 1024;

/// Sums over rows of activations; they do not depend on how these are cut.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Fidelity {
    /// Rows measured.
    pub rows: usize,
    /// Share of the variance about the mean that is not explained: 0 for the identity, 1 for the mean.
    pub fvu: f64,
    /// Active latents a row.
    pub l0: f64,
    /// Share of latents that are active in no row.
    pub dead: f64,
}

/// What a model loses when activations are replaced, in nats a token.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Recovered {
    /// Tokens scored.
    pub tokens: usize,
    /// Cross entropy as it is.
    pub clean: f64,
    /// With the dictionary's reconstruction.
    pub spliced: f64,
    /// With zeros.
    pub ablated: f64,
}

impl Recovered {
    /// `(ablated - spliced) / (ablated - clean)`: 1 for the identity, 0 for zeros.
    pub fn share(&self) -> f64 {
        (self.ablated - self.spliced) / (self.ablated - self.clean)
    }
}

impl Fidelity {
    /// Of a dictionary on activations.
    ///
    /// # Errors
    /// If rows have another width.
    pub fn of(dictionary: &Dictionary, data: &Activations) -> Result<Self> {
        let backend = dictionary.backend();
        let (mut left, mut active, mut seen) = (0.0, 0usize, vec![false; dictionary.latents()]);
        for part in data.values.chunks(PASS_ROWS * data.width.max(1)) {
            let x = Var::constant(backend.upload(part), part.len() / data.width.max(1), data.width);
            let features = dictionary.features(&mut Tape::inference(backend.clone()), &x)?;
            left += backend.squared_error(x.buffer(), features.reconstruction.buffer());
            for row in backend.download(features.latents.buffer()).chunks_exact(seen.len().max(1)) {
                for (seen, _) in seen.iter_mut().zip(row).filter(|(_, latent)| **latent > 0.0) {
                    *seen = true;
                    active += 1;
                }
            }
        }
        let dead = seen.iter().filter(|seen| !**seen).count() as f64 / seen.len().max(1) as f64;
        let (rows, all) = (data.rows(), data.spread(&data.mean()));
        Ok(Fidelity { rows, fvu: left / all, l0: active as f64 / rows.max(1) as f64, dead })
    }
}

impl Recovered {
    /// Of a dictionary in the place of what `model` has at `point`, over the tokens of `texts` behind their first.
    ///
    /// # Errors
    /// Those of scoring.
    pub fn of(model: &Transformer, point: HookPoint, dictionary: &Dictionary, texts: &[Vec<u32>]) -> Result<Self> {
        let of_text = |ids: &Vec<u32>| ScoreRequest { context: vec![], continuation: ids.clone() };
        let requests: Vec<ScoreRequest> = texts.iter().map(of_text).collect();
        let loss = |hooks: Hooks| -> Result<(usize, f64)> {
            let view = View::from(hooks);
            let options = ScoreOptions { view: &view, ..ScoreOptions::default() };
            let scores = score(model, &requests, &options, &mut |_| true)?;
            let tokens = scores.iter().map(|score| score.logps.len()).sum::<usize>();
            Ok((tokens, -scores.iter().map(|score| score.sum()).sum::<f64>() / tokens.max(1) as f64))
        };
        let zero = Intervention { point, address: Address::default(), edit: Edit::Scale { factor: 0.0 } };
        let (tokens, clean) = loss(Hooks::new())?;
        let (_, spliced) = loss(Hooks::new().run(point, dictionary.splice()))?;
        let (_, ablated) = loss(Hooks::new().intervene(zero))?;
        Ok(Recovered { tokens, clean, spliced, ablated })
    }
}
