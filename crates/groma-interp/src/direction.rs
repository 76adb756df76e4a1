//! A direction of the residual stream, and what becomes of a model without it (Arditi et al. 2024, arXiv 2406.11717).

use std::path::Path;

use groma_kernels::Edit;
use groma_model::spec::NormPlacement;
use groma_model::{Address, HookPoint, Hooks, Intervention, Site, Spec, Tensor, Transformer, Weights};
use groma_run::read_json;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// Largest file of a direction, in bytes.
const MOST_BYTES: u64 = 64 << 20;
/// The unembedding's weight in files of parameters.
const UNEMBED: &str = "unembed.weight";
const EMBED: &str = "embed.weight";

/// A direction, and where it was found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Direction {
    /// The place whose activations differ by it.
    pub point: HookPoint,
    /// How many tokens before the last one of a prompt.
    pub before_last: usize,
    /// The difference of means itself, not of unit length.
    pub values: Vec<f32>,
}

impl Direction {
    /// A direction from its file, for a model.
    ///
    /// # Errors
    /// [`Error::File`] where the file holds something else, or a direction of another width.
    pub fn load(path: &Path, spec: &Spec) -> Result<Self> {
        let direction: Direction = read_json(path, MOST_BYTES)?;
        let fail = |problem: String| Err(Error::File { path: path.display().to_string(), problem });
        let (given, width) = (direction.values.len(), spec.hidden_size);
        if given != width {
            return fail(format!("the direction has {given} numbers, and the model's residual stream {width}"));
        }
        match direction.values.iter().all(|x| x.is_finite()) && direction.values.iter().any(|x| *x != 0.0) {
            true => Ok(direction),
            false => fail("the direction is zero, or not finite".into()),
        }
    }
}

/// Hooks under which nothing writes along a direction into the residual stream: embeddings, attention and MLPs of all blocks lose
/// their part along it. Then no stream has any, as a stream is the sum of what was written.
pub fn ablated(spec: &Spec, direction: &[f32]) -> Hooks {
    let whole = [Site::Embed, Site::PosEmbed].map(|site| HookPoint { layer: 0, site });
    let blocks = (0..spec.layers.len())
        .flat_map(|layer| [Site::AttentionOut, Site::MlpOut].map(|site| HookPoint::block(layer, site)));
    let points = whole.into_iter().chain(blocks).filter(|point| point.exists_in(spec));
    points.fold(Hooks::new(), |hooks, point| {
        let edit = Edit::ProjectOut { direction: direction.to_vec(), strength: 1.0 };
        hooks.intervene(Intervention { point, address: Address::default(), edit })
    })
}

/// A model in memory whose weights cannot write along a direction: `W <- W - r r^T W` for embeddings and the outputs of attention and
/// MLPs, biases included. It does what [`ablated`] does, without hooks. The unembedding stays as it was, also where it was the
/// embedding; an adapter is merged first.
///
/// # Errors
/// [`Error::Model`] where outputs of blocks are normed before they are added (Gemma 2, OLMo-2): there the weights do not say what is
/// written.
pub fn orthogonalised(model: &Transformer, direction: &[f32]) -> Result<Transformer> {
    let spec = model.spec();
    if spec.norm_placement != NormPlacement::Pre {
        let problem = "outputs of its blocks are normed before they are added, so that no weight writes alone".into();
        return Err(groma_model::Error::Fit { problem }.into());
    }
    let length = direction.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
    let unit: Vec<f64> = direction.iter().map(|&x| f64::from(x) / length).collect();
    let mut weights = model.merged_weights();
    let untied = Spec { tied: false, ..spec.clone() };
    if let Some(embed) = weights.get(EMBED).filter(|_| spec.tied).cloned() {
        weights.insert(UNEMBED.into(), embed);
    }
    for (name, tensor) in &mut weights {
        if name == EMBED || name == "positions.weight" || name.ends_with(".bias") && writes(name) {
            rows_without(tensor, &unit);
        } else if writes(name) {
            columns_without(tensor, &unit);
        }
    }
    build(untied, &weights, model)
}

fn build(spec: Spec, weights: &Weights, like: &Transformer) -> Result<Transformer> {
    let mut made = Transformer::new(spec, weights, like.backend().clone())?;
    made.parameters_mut().set_trainable(|_| false);
    made.freeze();
    Ok(made)
}

/// Whether a layer writes into the residual stream.
fn writes(name: &str) -> bool {
    [".attention.out.", ".mlp.down."].iter().any(|part| name.contains(part))
}

/// Takes a direction out of each row, which is a vector of the stream.
fn rows_without(tensor: &mut Tensor, unit: &[f64]) {
    for row in tensor.values.chunks_exact_mut(unit.len()) {
        let along: f64 = row.iter().zip(unit).map(|(&x, r)| f64::from(x) * r).sum();
        row.iter_mut().zip(unit).for_each(|(x, r)| *x = (f64::from(*x) - along * r) as f32);
    }
}

/// Takes a direction out of each column, for a matrix `[outputs, inputs]` whose outputs are the stream.
fn columns_without(tensor: &mut Tensor, unit: &[f64]) {
    let inputs = tensor.values.len() / unit.len();
    let mut along = vec![0.0; inputs];
    for (row, r) in tensor.values.chunks_exact(inputs).zip(unit) {
        along.iter_mut().zip(row).for_each(|(along, &x)| *along += f64::from(x) * r);
    }
    for (row, r) in tensor.values.chunks_exact_mut(inputs).zip(unit) {
        row.iter_mut().zip(&along).for_each(|(x, along)| *x = (f64::from(*x) - along * r) as f32);
    }
}
