//! A sparse dictionary of activations: `x = W_dec latents(W_enc (x - b_dec) + b_enc) + b_dec`, and how it is learned.
//!
//! The decoder's columns, the features' directions, have unit length; the encoder begins as its transpose, and `b_dec` at
//! the mean of the data. Activations are scaled by one number, so that the mean square of an element is 1.

use std::path::Path;
use std::sync::Arc;

use groma_kernels::{Backend, Tape, Var};
use groma_model::hooks::Cell;
use groma_model::training::{Fit, FitSettings};
use groma_model::{Error, ParameterStore, Result};
use groma_run::{Files, Seed};
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Activations;
use crate::dictionaries::{Kind, Moment, Sparsity};

/// The set of parameters that dictionaries are, beside a model's on one tape.
const SET: u8 = 1;
const ENCODER: &str = "encoder.weight";
const ENCODER_BIAS: &str = "encoder.bias";
const DECODER: &str = "decoder.weight";
const DECODER_BIAS: &str = "decoder.bias";
/// Rows since each latent was last active.
const IDLE: &str = "idle";

/// How a dictionary is learned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DictionarySettings {
    /// Id of its [`Kind`].
    pub kind: String,
    /// The kind's own parameters.
    #[serde(default)]
    pub parameters: Map<String, Value>,
    /// Number of latents.
    pub latents: usize,
    /// Rows of activations in a step.
    pub batch_rows: usize,
    /// Seed of the first decoder and of the batches.
    pub seed: u64,
    /// Steps, learning rate, optimizer.
    pub fit: FitSettings,
}

/// A dictionary.
#[derive(Clone, Debug)]
pub struct Dictionary {
    backend: Arc<dyn Backend>,
    parameters: ParameterStore,
    sparsity: Arc<dyn Sparsity>,
    /// Multiplies activations.
    scale: f32,
}

/// What a dictionary makes of rows of activations.
#[derive(Clone, Debug)]
pub struct Features {
    /// What the encoder leaves, `[rows, latents]`.
    pub pre: Var,
    /// The sparse latents, `[rows, latents]`.
    pub latents: Var,
    /// The activations that they stand for, `[rows, width]`.
    pub reconstruction: Var,
}

/// What a dictionary is made of, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct DictionaryWeights {
    /// `[latents, width]`.
    pub encoder: Vec<f32>,
    /// `[latents]`.
    pub encoder_bias: Vec<f32>,
    /// `[width, latents]`.
    pub decoder: Vec<f32>,
    /// `[width]`, taken off what is encoded and added to what is decoded.
    pub decoder_bias: Vec<f32>,
}

impl Dictionary {
    /// One that was trained elsewhere, of a kind that learns nothing beside encoder and decoder. Activations are taken as they are.
    ///
    /// # Errors
    /// If the kind is unknown or learns more, or lengths do not fit each other.
    pub fn of(
        backend: Arc<dyn Backend>,
        kind: &str,
        parameters: &Map<String, Value>,
        weights: &DictionaryWeights,
    ) -> Result<Self> {
        let sparsity = Kind::find(kind)?.build(parameters)?;
        let (latents, width) = (weights.encoder_bias.len(), weights.decoder_bias.len());
        let fit = [&weights.encoder, &weights.decoder].iter().all(|matrix| matrix.len() == latents * width);
        if latents == 0 || width == 0 || !fit || sparsity.learned().is_some() {
            let problem =
                format!("a {kind} dictionary of {latents} latents and rows of {width} cannot be made of these weights");
            return Err(Error::Fit { problem });
        }
        let mut store = ParameterStore::numbered(SET);
        let mut add = |name: &str, rows, width, values: &[f32]| {
            store.insert(name.into(), rows, width, false, backend.upload(values));
        };
        add(ENCODER, latents, width, &weights.encoder);
        add(ENCODER_BIAS, 1, latents, &weights.encoder_bias);
        add(DECODER, width, latents, &weights.decoder);
        add(DECODER_BIAS, 1, width, &weights.decoder_bias);
        Ok(Dictionary { backend, parameters: store, sparsity, scale: 1.0 })
    }

    /// An untrained one: random directions of unit length.
    fn random(backend: Arc<dyn Backend>, data: &Activations, settings: &DictionarySettings) -> Result<Self> {
        let sparsity = Kind::find(&settings.kind)?.build(&settings.parameters)?;
        let (width, latents) = (data.width, settings.latents);
        if latents == 0 || settings.batch_rows == 0 || data.rows() == 0 || data.values.iter().any(|x| !x.is_finite()) {
            let problem = "a dictionary needs latents, rows in a batch, and activations that are finite".into();
            return Err(Error::Fit { problem });
        }
        let squares: f64 = data.values.iter().map(|&x| f64::from(x).powi(2)).sum();
        let scale = ((data.values.len() as f64 / squares.max(f64::MIN_POSITIVE)).sqrt()) as f32;
        let atoms = directions(Seed::new(settings.seed).named("decoder"), latents, width);
        let turned = (0..width).flat_map(|d| atoms.iter().skip(d).step_by(width).copied()).collect::<Vec<_>>();
        let mean: Vec<f32> = data.mean().iter().map(|mean| *mean as f32 * scale).collect();
        let mut parameters = ParameterStore::numbered(SET);
        let mut add = |name: &str, rows, width, trains, values: &[f32]| {
            parameters.insert(name.into(), rows, width, trains, backend.upload(values));
        };
        add(ENCODER, latents, width, true, &atoms);
        add(ENCODER_BIAS, 1, latents, true, &vec![0.0; latents]);
        add(DECODER, width, latents, true, &turned);
        add(DECODER_BIAS, 1, width, true, &mean);
        if let Some((name, value)) = sparsity.learned() {
            add(name, 1, latents, true, &vec![value; latents]);
        }
        add(IDLE, 1, latents, false, &vec![0.0; latents]);
        Ok(Dictionary { backend, parameters, sparsity, scale })
    }

    /// Where it runs.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// Its parameters: `encoder.weight` `[latents, width]`, `encoder.bias`, `decoder.weight` `[width, latents]`,
    /// `decoder.bias`, and what its kind learns.
    pub fn parameters(&self) -> &ParameterStore {
        &self.parameters
    }

    /// Number of latents.
    pub fn latents(&self) -> usize {
        self.parameters.id(ENCODER).map_or(0, |id| self.parameters.get(id).rows)
    }

    /// The direction of each latent, `[latents][width]`.
    pub fn directions(&self) -> Vec<Vec<f32>> {
        let Some(id) = self.parameters.id(DECODER) else { return Vec::new() };
        let decoder = self.backend.download(self.parameters.get(id).buffer());
        (0..self.latents())
            .map(|latent| decoder.iter().skip(latent).step_by(self.latents()).copied().collect())
            .collect()
    }

    /// What it makes of activations `[rows, width]`.
    ///
    /// # Errors
    /// If a row has another width.
    pub fn features(&self, tape: &mut Tape, x: &Var) -> Result<Features> {
        let scaled = tape.scale(x, self.scale);
        let found = features(tape, &self.parameters, &*self.sparsity, &scaled)?;
        let reconstruction = tape.scale(&found.reconstruction, 1.0 / self.scale);
        Ok(Features { reconstruction, ..found })
    }

    /// Code for a hook point that puts the reconstruction in the place of the activation; rows of another width pass.
    pub fn splice(&self) -> impl for<'m> Fn(&mut Tape<'m>, Var, &[Cell]) -> Var + Send + Sync + 'static {
        let dictionary = self.clone();
        move |tape, x, _| dictionary.features(tape, &x).map_or(x, |features| features.reconstruction)
    }
}

fn features(tape: &mut Tape, parameters: &ParameterStore, sparsity: &dyn Sparsity, x: &Var) -> Result<Features> {
    let var = |name: &str| match parameters.id(name) {
        Some(id) => Ok(parameters.var(id)),
        None => Err(Error::Fit { problem: format!("the dictionary has no {name}") }),
    };
    let (encoder, bias, decoder, centre) = (var(ENCODER)?, var(ENCODER_BIAS)?, var(DECODER)?, var(DECODER_BIAS)?);
    if x.width() != encoder.width() {
        let problem = format!("the dictionary is of rows of {}, not {}", encoder.width(), x.width());
        return Err(Error::Fit { problem });
    }
    let centre_of_all = tape.gather_rows(&centre, &vec![0; x.rows()].into());
    let centred = tape.add_scaled(x, &centre_of_all, -1.0);
    let pre = tape.linear(&centred, &encoder, Some(&bias));
    let latents = sparsity.latents(tape, parameters, &pre);
    let reconstruction = tape.linear(&latents, &decoder, Some(&centre));
    Ok(Features { pre, latents, reconstruction })
}

/// `count` directions of unit length, one after the other.
fn directions(seed: Seed, count: usize, width: usize) -> Vec<f32> {
    let mut rng = seed.rng();
    // A sum of twelve uniform numbers is normal enough for a direction.
    let mut normal = || (0..12).map(|_| f64::from(rng.next_u32()) / 4_294_967_296.0).sum::<f64>() - 6.0;
    let mut values: Vec<f32> = (0..count * width).map(|_| normal() as f32).collect();
    values.chunks_exact_mut(width.max(1)).for_each(to_unit);
    values
}

fn to_unit(row: &mut [f32]) {
    let norm = row.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    row.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
}

/// A dictionary being learned; killed and resumed, it ends in the same bits.
#[derive(Debug)]
pub struct DictionaryTraining<'a> {
    data: &'a Activations,
    settings: &'a DictionarySettings,
    dictionary: Dictionary,
    fit: Fit,
    variance: f32,
}

impl<'a> DictionaryTraining<'a> {
    /// Begins.
    ///
    /// # Errors
    /// If settings or activations do not fit.
    pub fn new(backend: Arc<dyn Backend>, data: &'a Activations, settings: &'a DictionarySettings) -> Result<Self> {
        let dictionary = Dictionary::random(backend.clone(), data, settings)?;
        let spread = data.spread(&data.mean()) / data.values.len() as f64;
        let variance = (spread * f64::from(dictionary.scale).powi(2)).max(f64::MIN_POSITIVE) as f32;
        let mut own = dictionary.clone();
        let fit = Fit::new(backend, std::mem::take(&mut own.parameters), settings.fit);
        Ok(DictionaryTraining { data, settings, dictionary: own, fit, variance })
    }

    /// Steps done.
    pub fn done(&self) -> u64 {
        self.fit.done()
    }

    /// Whether all steps are done.
    pub fn is_done(&self) -> bool {
        self.fit.is_done()
    }

    /// One step; the share of the batch's variance that was not explained, with the penalty.
    ///
    /// # Errors
    /// Where a number is not finite.
    pub fn step(&mut self) -> Result<f64> {
        let backend = self.dictionary.backend.clone();
        let (x, rows) = (self.batch(), self.settings.batch_rows);
        let idle = self.values(IDLE);
        let (sparsity, variance) = (&*self.dictionary.sparsity, self.variance);
        let mut active = Vec::new();
        let loss = self.fit.step(|tape, parameters| {
            let found = features(tape, parameters, sparsity, &x)?;
            active = backend.download(found.latents.buffer());
            let error = tape.mean_squared_error(&found.reconstruction, &x);
            let unexplained = tape.scale(&error, 1.0 / variance);
            let left = tape.add_scaled(&x, &found.reconstruction.detached(), -1.0);
            let decoder = parameters.id(DECODER).map_or_else(|| x.clone(), |id| parameters.var(id));
            let moment = Moment { pre: &found.pre, error: &left, idle: &idle, decoder: &decoder, variance };
            Ok(match sparsity.penalty(tape, parameters, &moment) {
                Some(penalty) => tape.add(&unexplained, &penalty).into(),
                None => unexplained.into(),
            })
        })?;
        self.set(IDLE, &idle_after(idle, &active, rows))?;
        let decoder = unit_columns(self.values(DECODER), self.settings.latents);
        self.set(DECODER, &decoder)?;
        Ok(loss)
    }

    /// Writes a checkpoint.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn save(&self, files: &Files, path: &Path) -> Result<()> {
        self.fit.save(files, path)
    }

    /// Goes on from a checkpoint.
    ///
    /// # Errors
    /// If it does not fit.
    pub fn resume(&mut self, path: &Path) -> Result<()> {
        self.fit.resume(path)
    }

    /// Ends; the dictionary as it is now.
    pub fn finish(self) -> Dictionary {
        Dictionary { parameters: self.fit.finish(), ..self.dictionary }
    }

    /// The rows of the next step: drawn by its number.
    fn batch(&self) -> Var {
        let mut rng = Seed::new(self.settings.seed).named("batch").index(self.fit.done()).rng();
        let rows = self.data.rows() as u64;
        let mut values = Vec::with_capacity(self.settings.batch_rows * self.data.width);
        for _ in 0..self.settings.batch_rows {
            let row = self.data.row((rng.next_u64() % rows) as usize);
            values.extend(row.iter().map(|x| x * self.dictionary.scale));
        }
        Var::constant(self.dictionary.backend.upload(&values), self.settings.batch_rows, self.data.width)
    }

    fn values(&self, name: &str) -> Vec<f32> {
        let parameters = self.fit.parameters();
        parameters.id(name).map_or_else(Vec::new, |id| self.dictionary.backend.download(parameters.get(id).buffer()))
    }

    fn set(&mut self, name: &str, values: &[f32]) -> Result<()> {
        let held = || Error::ParameterHeld { name: name.into() };
        let parameters = self.fit.parameters_mut();
        let id = parameters.id(name).ok_or_else(held)?;
        *parameters.get_mut(id).buffer_mut().ok_or_else(held)? = self.dictionary.backend.upload(values);
        Ok(())
    }
}

/// Rows since each latent was last active, after a batch of which `active` are the latents.
fn idle_after(idle: Vec<f32>, active: &[f32], rows: usize) -> Vec<f32> {
    let mut after: Vec<f32> = idle.iter().map(|before| before + rows as f32).collect();
    for row in active.chunks_exact(after.len().max(1)) {
        after.iter_mut().zip(row).filter(|(_, latent)| **latent > 0.0).for_each(|(after, _)| *after = 0.0);
    }
    after
}

/// A decoder with columns of unit length.
fn unit_columns(mut decoder: Vec<f32>, columns: usize) -> Vec<f32> {
    let mut squares = vec![0.0f64; columns];
    for row in decoder.chunks_exact(columns) {
        squares.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x).powi(2));
    }
    let norms: Vec<f64> = squares.into_iter().map(|square| square.sqrt().max(f64::MIN_POSITIVE)).collect();
    for row in decoder.chunks_exact_mut(columns) {
        row.iter_mut().zip(&norms).for_each(|(x, norm)| *x = (f64::from(*x) / norm) as f32);
    }
    decoder
}

impl DictionaryTraining<'_> {
    /// The untrained dictionary with which training began: what a trained one is to be compared with.
    ///
    /// # Errors
    /// As for [`DictionaryTraining::new`].
    pub fn control(&self) -> Result<Dictionary> {
        Dictionary::random(self.dictionary.backend.clone(), self.data, self.settings)
    }
}
