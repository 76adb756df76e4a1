//! Direct logit attribution: what each part of a model writes into the logits of its last token (Elhage et al. 2021; Wang et al.
//! 2022, arXiv 2211.00593).
//!
//! The final residual stream is a sum: embedding, position embedding, and what the heads, the biases and the MLPs of all blocks
//! write. With the scale of the final norm kept as it was, and its weight folded into the unembedding, a logit is linear in that
//! sum, so that each part has its share: `share(c) = s (d . (c - mean c))` for LayerNorm, `s (d . c)` for RMSNorm, with `d` the
//! difference of two unembedding rows times the norm's weight. Biases have shares of their own, the final norm's included; the
//! bias of the value projection goes through the heads and stays with them. Where a block's output is normed (Gemma 2, OLMo-2),
//! that norm's scale is kept as well. Shares add up to the difference of the logits before the final cap.

use groma_model::spec::{Norm, NormKind, NormPlacement};
use groma_model::{HookPoint, Result, Site, Spec, Transformer};

use crate::activations::{Activations, Tokens};
use crate::unembedding::unembedding_rows;

/// A part of a model that writes into the residual stream, or into the logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The token embedding.
    Embedding,
    /// The position embedding.
    Positions,
    /// A head of attention.
    Head {
        /// The block.
        layer: usize,
        /// The query head.
        head: usize,
    },
    /// The bias of attention's output.
    AttentionBias {
        /// The block.
        layer: usize,
    },
    /// What the MLP writes, without its bias.
    Mlp {
        /// The block.
        layer: usize,
    },
    /// The bias of the MLP's output.
    MlpBias {
        /// The block.
        layer: usize,
    },
    /// The bias of the final norm.
    FinalBias,
}

/// Which logits, at the end of which text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The text.
    pub ids: Vec<u32>,
    /// The token whose logit counts.
    pub answer: u32,
    /// The token whose logit is taken off.
    pub foil: u32,
}

/// Shares of logit differences.
#[derive(Clone, Debug, PartialEq)]
pub struct Attribution {
    /// The parts, in forward order.
    pub components: Vec<Component>,
    /// `[question][component]`.
    pub shares: Vec<Vec<f64>>,
    /// The difference of the logits that the shares are to add up to: that of the final normed stream, `[question]`.
    pub differences: Vec<f64>,
}

impl Attribution {
    /// The largest distance between a difference and the sum of its shares.
    pub fn error(&self) -> f64 {
        let apart =
            self.shares.iter().zip(&self.differences).map(|(shares, all)| (shares.iter().sum::<f64>() - all).abs());
        apart.fold(0.0, f64::max)
    }

    /// The shares of one component, question by question.
    pub fn of(&self, index: usize) -> Vec<f64> {
        self.shares.iter().map(|shares| shares[index]).collect()
    }
}

/// Attributes the difference of two logits at the last token of each question's text.
///
/// # Errors
/// Those of the forward pass, and where the model has no unembedding.
pub fn attribute(
    model: &Transformer,
    questions: &[Question],
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Attribution> {
    let spec = model.spec();
    let points = points(spec);
    let texts: Vec<Vec<u32>> = questions.iter().map(|question| question.ids.clone()).collect();
    let read = Activations::read(model, &points, &texts, Tokens::Last, progress)?;
    let at = |point: HookPoint| points.iter().position(|other| *other == point).map(|index| &read[index]);
    let last = HookPoint::block(spec.layers.len().saturating_sub(1), Site::ResidPost);
    let (finals, normed) = (at(last), at(HookPoint { layer: 0, site: Site::NormFinal }));
    let (Some(finals), Some(normed)) = (finals, normed) else {
        return Ok(Attribution { components: Vec::new(), shares: Vec::new(), differences: Vec::new() });
    };
    let apart = unembedding_differences(model, questions)?;
    let end = NormWeights::find(model, "norm_final");
    let slopes: Vec<Slope> =
        apart.iter().enumerate().map(|(row, apart)| end.slope(&spec.norm, apart, finals.row(row))).collect();
    let mut writer = Shares { components: Vec::new(), shares: vec![Vec::new(); questions.len()] };
    for (component, site) in [(Component::Embedding, Site::Embed), (Component::Positions, Site::PosEmbed)] {
        if let Some(found) = at(HookPoint { layer: 0, site }) {
            writer.add(component, |row| slopes[row].of(found.row(row)));
        }
    }
    for layer in 0..spec.layers.len() {
        let of = |site| at(HookPoint::block(layer, site));
        if let (Some(z), Some(mlp)) = (of(Site::Z), of(Site::MlpOut)) {
            heads(model, layer, z, &slopes, &mut writer);
            mlps(model, layer, mlp, &slopes, &mut writer);
        }
    }
    if let Some(bias) = &end.bias {
        writer.add(Component::FinalBias, |row| dot(&apart[row], bias));
    }
    let differences = apart.iter().enumerate().map(|(row, apart)| dot32(apart, normed.row(row))).collect();
    Ok(Attribution { components: writer.components, shares: writer.shares, differences })
}

/// Where a model is read.
fn points(spec: &Spec) -> Vec<HookPoint> {
    let last = spec.layers.len().saturating_sub(1);
    let whole = [Site::Embed, Site::PosEmbed, Site::NormFinal].map(|site| HookPoint { layer: 0, site });
    let blocks =
        (0..spec.layers.len()).flat_map(|layer| [Site::Z, Site::MlpOut].map(|site| HookPoint::block(layer, site)));
    let all = whole.into_iter().chain(blocks).chain([HookPoint::block(last, Site::ResidPost)]);
    all.filter(|point| point.exists_in(spec)).collect()
}

/// Shares as they are found.
struct Shares {
    components: Vec<Component>,
    shares: Vec<Vec<f64>>,
}

impl Shares {
    fn add(&mut self, component: Component, share: impl Fn(usize) -> f64) {
        self.components.push(component);
        self.shares.iter_mut().enumerate().for_each(|(row, shares)| shares.push(share(row)));
    }
}

/// The slope of what is attributed along the residual stream, and what comes to it whatever the stream.
struct Slope {
    along: Vec<f64>,
    always: f64,
}

impl Slope {
    fn of(&self, part: &[f32]) -> f64 {
        dot32(&self.along, part)
    }
}

/// A norm's weight, its offset added, and its bias.
struct NormWeights {
    weight: Vec<f64>,
    bias: Option<Vec<f64>>,
}

impl NormWeights {
    fn find(model: &Transformer, name: &str) -> Self {
        let offset = f64::from(model.spec().norm.weight_offset);
        let weight = vector(model, &format!("{name}.weight")).unwrap_or_default();
        let weight = weight.into_iter().map(|weight| weight + offset).collect();
        NormWeights { weight, bias: vector(model, &format!("{name}.bias")) }
    }

    /// The slope before the norm of what has slope `after` behind it, its scale being that which it has at `x`.
    fn slope(&self, norm: &Norm, after: &[f64], x: &[f32]) -> Slope {
        let count = x.len().max(1) as f64;
        let mean = match norm.kind {
            NormKind::Layer => x.iter().map(|&x| f64::from(x)).sum::<f64>() / count,
            NormKind::Rms => 0.0,
        };
        let square = x.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        let scale = 1.0 / (square + f64::from(norm.eps)).sqrt();
        let mut along: Vec<f64> = after.iter().zip(&self.weight).map(|(a, w)| a * w * scale).collect();
        if norm.kind == NormKind::Layer {
            let mean = along.iter().sum::<f64>() / count;
            along.iter_mut().for_each(|slope| *slope -= mean);
        }
        let always = self.bias.as_ref().map_or(0.0, |bias| dot(after, bias));
        Slope { along, always }
    }
}

/// Shares of a block's heads, and of the bias of its attention.
fn heads(model: &Transformer, layer: usize, z: &Activations, slopes: &[Slope], writer: &mut Shares) {
    let spec = model.spec();
    let module = format!("blocks.{layer}.attention.out");
    let Some(out) = model.merged_weight(&module) else { return };
    let bias = vector(model, &format!("{module}.bias"));
    let output_norm = output_norm(model, &format!("blocks.{layer}.norm_attention_out"));
    // The slope along what attention writes, and from there along each head's own values.
    let before: Vec<Slope> = slopes
        .iter()
        .enumerate()
        .map(|(row, slope)| match &output_norm {
            None => Slope { along: slope.along.clone(), always: 0.0 },
            Some(norm) => {
                let written = product(&out.values, z.row(row), bias.as_deref());
                norm.slope(&spec.norm, &slope.along, &written)
            }
        })
        .collect();
    let along_z: Vec<Vec<f64>> = before.iter().map(|slope| transposed(&out.values, &slope.along, z.width)).collect();
    for head in 0..spec.heads {
        let columns = head * spec.head_dim..(head + 1) * spec.head_dim;
        let share = |row: usize| dot32(&along_z[row][columns.clone()], &z.row(row)[columns.clone()]);
        writer.add(Component::Head { layer, head }, share);
    }
    let always = |row: usize| before[row].always + bias.as_ref().map_or(0.0, |bias| dot(&before[row].along, bias));
    if bias.is_some() || output_norm.is_some_and(|norm| norm.bias.is_some()) {
        writer.add(Component::AttentionBias { layer }, always);
    }
}

/// Shares of a block's MLP and of its bias. Where what it writes is normed, the two cannot be told apart from outside, and the
/// bias stays with the MLP.
fn mlps(model: &Transformer, layer: usize, mlp: &Activations, slopes: &[Slope], writer: &mut Shares) {
    let normed = model.spec().norm_placement != NormPlacement::Pre;
    let bias = vector(model, &format!("blocks.{layer}.mlp.down.bias")).filter(|_| !normed);
    let of_bias = |row: usize| bias.as_ref().map_or(0.0, |bias| dot(&slopes[row].along, bias));
    writer.add(Component::Mlp { layer }, |row| slopes[row].of(mlp.row(row)) - of_bias(row));
    if bias.is_some() {
        writer.add(Component::MlpBias { layer }, of_bias);
    }
}

fn output_norm(model: &Transformer, name: &str) -> Option<NormWeights> {
    (model.spec().norm_placement != NormPlacement::Pre).then(|| NormWeights::find(model, name))
}

/// The unembedding of each question's answer less that of its foil.
fn unembedding_differences(model: &Transformer, questions: &[Question]) -> Result<Vec<Vec<f64>>> {
    let ids: Vec<u32> = questions.iter().flat_map(|question| [question.answer, question.foil]).collect();
    let (rows, width) = (unembedding_rows(model, &ids)?, model.spec().hidden_size);
    let apart = |pair: &[f32]| {
        let (answer, foil) = pair.split_at(width);
        answer.iter().zip(foil).map(|(&a, &b)| f64::from(a) - f64::from(b)).collect()
    };
    Ok(rows.chunks_exact(2 * width.max(1)).map(apart).collect())
}

fn vector(model: &Transformer, name: &str) -> Option<Vec<f64>> {
    let stored = model.parameters().get(model.parameters().id(name)?);
    Some(model.backend().download(stored.buffer()).into_iter().map(f64::from).collect())
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn dot32(a: &[f64], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, &b)| a * f64::from(b)).sum()
}

/// `w x + bias` for `w` `[outputs, inputs]`.
fn product(w: &[f32], x: &[f32], bias: Option<&[f64]>) -> Vec<f32> {
    let row = |(index, row): (usize, &[f32])| {
        let sum: f64 = row.iter().zip(x).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum();
        (sum + bias.map_or(0.0, |bias| bias[index])) as f32
    };
    w.chunks_exact(x.len().max(1)).enumerate().map(row).collect()
}

/// `w^T slope`, for `w` `[outputs, inputs]`.
fn transposed(w: &[f32], slope: &[f64], inputs: usize) -> Vec<f64> {
    let mut along = vec![0.0; inputs];
    for (row, slope) in w.chunks_exact(inputs.max(1)).zip(slope) {
        along.iter_mut().zip(row).for_each(|(along, &w)| *along += slope * f64::from(w));
    }
    along
}
