//! The seam between the transformer and the hardware: every kernel the tape calls, on device buffers.
//!
//! All buffers hold `f32`, row-major and densely packed. A kernel whose name ends in `_backward` **adds** to the gradient
//! buffers that it is given, so that a tensor which is used twice gets the sum of both gradients; forward kernels overwrite
//! their output. Results never depend on the number of threads, and the result of one row never depends on the other rows
//! of the batch (reductions over rows, as in weight gradients, run in a fixed order).

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::layout::AttentionLayout;
use crate::{Buffer, Precision};
use std::borrow::Cow;
use std::io;

/// Root-mean-square or mean-and-variance normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `x / sqrt(mean(x^2) + eps)` (Zhang & Sennrich 2019).
    Rms,
    /// `(x - mean) / sqrt(var + eps)` with the biased variance (Ba et al. 2016).
    Layer,
}

/// A normalisation over the last axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormShape {
    /// Number of rows normalised.
    pub rows: usize,
    /// Length of a row.
    pub width: usize,
    /// Which statistics are used.
    pub kind: NormKind,
    /// Added under the square root.
    pub eps: f32,
    /// Added to each weight before it multiplies: 1 for Gemma, 0 elsewhere.
    pub weight_offset: f32,
}

/// One of the linear layers that read the same input, see [`Backend::linears`].
#[derive(Debug)]
pub struct LinearOutput<'a> {
    /// Receives `[rows, outputs]`.
    pub y: &'a mut Buffer,
    /// `[outputs, inputs]`, as Hugging Face's Linear.
    pub w: &'a Buffer,
    /// One value an output.
    pub bias: Option<&'a Buffer>,
    /// Width of `y`.
    pub outputs: usize,
}

/// The weight gradient of one of them, see [`Backend::linear_backward_weights`].
#[derive(Debug)]
pub struct WeightGradient<'a> {
    /// `[outputs, inputs]`.
    pub dw: &'a mut Buffer,
    /// Whether `dw` is overwritten.
    pub fresh: bool,
    /// `[rows, outputs]`.
    pub dy: &'a Buffer,
    /// Width of `dy`.
    pub outputs: usize,
}

/// How the rotated pairs of a rotary embedding lie in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotaryStyle {
    /// Element `i` pairs with `i + rotated / 2` (Llama, NeoX and all Hugging Face families).
    Halves,
    /// Element `2 i` pairs with `2 i + 1` (the RoFormer paper, GPT-J).
    Interleaved,
}

/// A rotary embedding applied to `rows x heads x head_dim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotaryShape {
    /// Number of rows (tokens).
    pub rows: usize,
    /// Number of heads in a row.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// How many leading elements of a head are rotated; even, at most `head_dim`.
    pub rotated: usize,
    /// Pairing of the elements.
    pub style: RotaryStyle,
}

/// Everything of an attention call but the buffers and the layout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Multiplies `q . k`.
    pub scale: f32,
    /// Gemma 2's `cap * tanh(score / cap)`, before the mask.
    pub softcap: Option<f32>,
    /// A query at position `p` sees keys at positions `> p - window`.
    pub window: Option<usize>,
    /// How keys and values lie in their buffers.
    pub key_order: KeyOrder,
}

/// Keys of a panel of [`KeyOrder::Cached`].
pub const KEY_PANEL: usize = 32;

/// How keys and values lie in their buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyOrder {
    /// Row after row, `kv_heads * head_dim` values each.
    #[default]
    Rows,
    /// As a cache keeps them that is read at every step, and [`Backend::cache_rows`] writes them. Keys in panels of
    /// [`KEY_PANEL`] rows, each turned, as products read them: element `d` (of all heads) of row `r` at
    /// `(r / KEY_PANEL * width + d) * KEY_PANEL + r % KEY_PANEL`. Values head by head: element `d` of row `r` of head `h` at
    /// `(h * rows + r) * head_dim + d`. The rows are a multiple of `KEY_PANEL`, and the last panel is never used. For
    /// forward passes only.
    Cached,
}

/// The elementwise non-linearities of the supported families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// The exact `x * Phi(x)`.
    Gelu,
    /// The tanh approximation (`gelu_new`, `gelu_pytorch_tanh`).
    GeluTanh,
    /// `max(0, x)`.
    Relu,
}

/// What a threshold lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// `x` where `x > theta`, else 0 (JumpReLU).
    Jump,
    /// 1 where `x > theta`, else 0: what is counted for an L0 norm.
    Step,
}

/// Thresholds of the columns of a matrix, see [`Backend::threshold`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThresholdShape {
    /// Length of a row, and number of thresholds.
    pub width: usize,
    /// What is let through.
    pub kind: Threshold,
    /// Width of the window around a threshold in which its gradient sees values.
    pub bandwidth: f32,
}

/// Shape of a log-probability head call: `rows` hidden states of `width` against a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeadShape {
    /// Number of hidden states.
    pub rows: usize,
    /// Width of a hidden state.
    pub width: usize,
    /// Number of rows of the unembedding matrix.
    pub vocab: usize,
    /// Gemma's final `cap * tanh(logit / cap)`.
    pub softcap: Option<f32>,
    /// Divides the logits (after the cap); 1 for none.
    pub temperature: f32,
}

/// Most logits that a recorded head keeps for its backward pass, 64 MiB: computing them anew is a fifth of what a head's
/// training costs.
const KEPT_LOGITS: usize = 1 << 24;

impl HeadShape {
    /// Whether a recorded head keeps its logits: there are not many, and they are neither capped nor divided.
    pub fn keeps_logits(&self) -> bool {
        let few = self.rows.checked_mul(self.vocab).is_some_and(|logits| logits <= KEPT_LOGITS);
        few && self.softcap.is_none() && self.temperature == 1.0
    }
}

/// What the log-probability head computes for each row besides the log-sum-exp, which it always does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadWants {
    /// Entropy of the predicted distribution, in nats.
    pub entropy: bool,
    /// Mean of the logits over the vocabulary (TRL's `logits/*`).
    pub mean_logit: bool,
    /// Index of the largest logit (the lowest index among ties).
    pub argmax: bool,
}

/// Per-row results of the log-probability head. Fields not asked for are empty.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeadOutput {
    /// `log p(target)`, one per row.
    pub logp: Vec<f32>,
    /// `log sum exp` of the logits, one per row; the backward pass reads it.
    pub log_sum_exp: Vec<f32>,
    /// See [`HeadWants::entropy`].
    pub entropy: Vec<f32>,
    /// See [`HeadWants::mean_logit`].
    pub mean_logit: Vec<f32>,
    /// See [`HeadWants::argmax`].
    pub argmax: Vec<u32>,
}

/// The most likely tokens of each row: the largest logits first, the lowest id first among equals.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopTokens {
    /// `[rows, count]`.
    pub ids: Vec<u32>,
    /// Their log-probabilities `[rows, count]`, and the log-sum-exp of each row.
    pub output: HeadOutput,
}

/// How the head's distribution `p` differs from a teacher's `q` over the same vocabulary, with the mixture
/// `m = (1 - beta) p + beta q` (Agarwal et al. 2024, arXiv 2306.13649, equation 1; TRL's GKD).
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Divergence {
    /// `KL(q|p)`: the student covers what the teacher does. TRL's `beta = 0`.
    ForwardKl,
    /// `KL(p|q)`: the student keeps to what the teacher does. TRL's `beta = 1`.
    ReverseKl,
    /// `beta KL(q|m) + (1 - beta) KL(p|m)`; at 1/2 the Jensen-Shannon divergence.
    JensenShannon {
        /// Share of the teacher in the mixture, from 1e-6 to 1 - 1e-6.
        beta: f32,
    },
}

impl Divergence {
    /// That of TRL's `beta`, between 0 and 1.
    pub fn of_beta(beta: f32) -> Divergence {
        match beta {
            0.0 => Divergence::ForwardKl,
            1.0 => Divergence::ReverseKl,
            _ => Divergence::JensenShannon { beta: beta.clamp(1e-6, 1.0 - 1e-6) },
        }
    }
}

/// A teacher: what the head's distributions are compared with, row by row, at the head's temperature.
#[derive(Clone, Copy, Debug)]
pub struct Teacher<'a> {
    /// Its hidden states `[rows, width]`.
    pub hidden: &'a Buffer,
    /// Its unembedding `[vocab, width]`.
    pub unembed: &'a Buffer,
    /// Width of its hidden states.
    pub width: usize,
    /// Its own cap on logits.
    pub softcap: Option<f32>,
}

/// Per-row results of [`Backend::divergence`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DivergenceOutput {
    /// The divergence, in nats.
    pub value: Vec<f32>,
    /// Log-sum-exp of the student's logits. This and what follows is for the backward pass.
    pub log_sum_exp: Vec<f64>,
    /// Log-sum-exp of the teacher's logits.
    pub teacher_log_sum_exp: Vec<f64>,
    /// The mean under `p` of how the divergence changes with `p`; 0 for the forward one, which needs none.
    pub mean_score: Vec<f32>,
}

/// One AdamW step (Loshchilov & Hutter 2019, as PyTorch writes it).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Steps done, this one included; starts at 1.
    pub step: u64,
    /// The gradient is multiplied by this first (clipping, accumulation).
    pub gradient_scale: f32,
}

/// A declarative edit of activations, applied to listed rows of a `rows x width` buffer, there to a range of columns (all,
/// or those of a head). What is said of a row below is said of those columns.
///
/// Each has an exact backward: see [`Backend::edit_backward`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Edit {
    /// `x + coefficient * vector`.
    Add {
        /// Direction, of the columns' number.
        vector: Vec<f32>,
        /// Its multiplier.
        coefficient: f32,
    },
    /// `x - strength * (x . u) u` for the unit vector `u` along `direction` (directional ablation at strength 1).
    ProjectOut {
        /// Direction, of the columns' number; normalised by the kernel, must not be zero.
        direction: Vec<f32>,
        /// Share removed.
        strength: f32,
    },
    /// The row becomes the given one; `values` holds one row for all, or one per listed row.
    Replace {
        /// New values.
        values: Vec<f32>,
    },
    /// `factor * x`.
    Scale {
        /// The multiplier; 0 is zero ablation.
        factor: f32,
    },
    /// Every element is clamped to `[low, high]`.
    Clamp {
        /// Lower bound.
        low: f32,
        /// Upper bound.
        high: f32,
    },
}

/// The kernels. One implementation per kind of device; [`crate::Naive`] is the one that the others are held against.
///
/// Shapes in the method comments are `[rows, columns]`. Lengths are checked by `debug_assert` in kernels and by the tape
/// before it calls them.
pub trait Backend: Send + Sync + std::fmt::Debug {
    /// Short name for manifests, e.g. `cpu avx512f`.
    fn name(&self) -> String;
    /// In which numbers products are computed.
    fn precision(&self) -> Precision;
    /// A buffer of `len` values, all zero.
    fn zeros(&self, len: usize) -> Buffer;
    /// A buffer of `len` unspecified values, for a kernel that overwrites all of it.
    fn scratch(&self, len: usize) -> Buffer;
    /// Copies host values to the device, to stay: they take no memory that is far larger than they are.
    fn upload(&self, values: &[f32]) -> Buffer;
    /// A weight `[rows, width]` that is read often and changed hardly ever (in inference, or as the base under LoRA), which a
    /// backend may keep in the order in which products read it, and in the fewest bits that hold its values. `next` fills a
    /// run of whole rows with the values that follow, so that the weight need never lie anywhere else. All results are those
    /// of an uploaded weight, to the bit; a kernel that writes to it makes it one.
    ///
    /// # Errors
    /// Those of `next`.
    fn weight(
        &self,
        rows: usize,
        width: usize,
        next: &mut dyn FnMut(&mut [f32]) -> io::Result<()>,
    ) -> io::Result<Buffer> {
        let mut values = vec![0.0; rows * width];
        next(&mut values)?;
        Ok(self.upload(&values))
    }
    /// The values on the host: those of a buffer themselves where it lies there, else a copy.
    fn read<'a>(&self, buffer: &'a Buffer) -> Cow<'a, [f32]>;
    /// Copies a buffer to the host.
    fn download(&self, buffer: &Buffer) -> Vec<f32> {
        self.read(buffer).into_owned()
    }

    /// `out[t] = table[ids[t]]`; table `[vocab, width]`, out `[ids.len(), width]`.
    fn embed(&self, out: &mut Buffer, table: &Buffer, ids: &[u32], width: usize);
    /// `d_table[ids[t]] += d_out[t]`, in row order.
    fn embed_backward(&self, d_table: &mut Buffer, d_out: &Buffer, ids: &[u32], width: usize);

    /// `y = x wᵀ + bias` for each of some layers that read the same x `[rows, inputs]`.
    /// Every element is a chain of fused multiply-adds over `inputs` in an order that depends on `inputs` alone.
    fn linears(&self, layers: &mut [LinearOutput<'_>], x: &Buffer, rows: usize, inputs: usize);
    /// [`Backend::linears`] of one layer.
    #[allow(clippy::too_many_arguments, reason = "operands and shape of a kernel")]
    fn linear(
        &self,
        y: &mut Buffer,
        x: &Buffer,
        w: &Buffer,
        bias: Option<&Buffer>,
        rows: usize,
        inputs: usize,
        outputs: usize,
    ) {
        self.linears(&mut [LinearOutput { y, w, bias, outputs }], x, rows, inputs);
    }
    /// `dx += dy w`, or `dx = dy w` if the gradient is `fresh`, whatever `dx` holds.
    #[allow(clippy::too_many_arguments, reason = "operands and shape of a kernel")]
    fn linear_backward_input(
        &self,
        dx: &mut Buffer,
        fresh: bool,
        dy: &Buffer,
        w: &Buffer,
        rows: usize,
        inputs: usize,
        outputs: usize,
    );
    /// `dw += dyᵀ x`, or `dw = dyᵀ x` if the gradient is `fresh`, whatever `dw` holds, for each of some layers that read the
    /// same x `[rows, inputs]`.
    fn linear_backward_weights(&self, layers: &mut [WeightGradient<'_>], x: &Buffer, rows: usize, inputs: usize);
    /// [`Backend::linear_backward_weights`] of one layer.
    #[allow(clippy::too_many_arguments, reason = "operands and shape of a kernel")]
    fn linear_backward_weight(
        &self,
        dw: &mut Buffer,
        fresh: bool,
        dy: &Buffer,
        x: &Buffer,
        rows: usize,
        inputs: usize,
        outputs: usize,
    ) {
        self.linear_backward_weights(&mut [WeightGradient { dw, fresh, dy, outputs }], x, rows, inputs);
    }

    /// `db += sum over rows of dy`, dy `[rows, width]`.
    fn sum_rows(&self, db: &mut Buffer, dy: &Buffer, rows: usize, width: usize);

    /// Normalises rows; `stats` `[rows, 2]` receives (mean or 0, reciprocal deviation) for the backward pass.
    fn norm(
        &self,
        y: &mut Buffer,
        stats: &mut Buffer,
        x: &Buffer,
        weight: Option<&Buffer>,
        bias: Option<&Buffer>,
        shape: NormShape,
    );
    /// Gradients of [`Backend::norm`]; `dx`, `dw`, `db` may each be absent when nobody wants them.
    #[allow(clippy::too_many_arguments)]
    fn norm_backward(
        &self,
        dx: Option<&mut Buffer>,
        dw: Option<&mut Buffer>,
        db: Option<&mut Buffer>,
        dy: &Buffer,
        x: &Buffer,
        stats: &Buffer,
        weight: Option<&Buffer>,
        shape: NormShape,
    );

    /// Rotates the heads of each row by its position. `table` `[positions, rotated]` holds for each position `rotated/2`
    /// cosines, then `rotated/2` sines (scaling already applied).
    fn rotary(&self, y: &mut Buffer, x: &Buffer, table: &Buffer, positions: &[u32], shape: RotaryShape);
    /// `dx += R⁻¹ dy` scaled as the forward was.
    fn rotary_backward(&self, dx: &mut Buffer, dy: &Buffer, table: &Buffer, positions: &[u32], shape: RotaryShape);

    /// Causal attention over a forest of segments; see [`AttentionLayout`].
    /// q, out `[query rows, heads * head_dim]`; k, v `[key rows, kv_heads * head_dim]`; `lse` `[query rows, heads]`
    /// receives the log-sum-exp of the scores. Streams over keys in blocks aligned to *path positions*, so that a row's
    /// result does not depend on how its path is cut into segments.
    #[allow(clippy::too_many_arguments)]
    fn attention(
        &self,
        out: &mut Buffer,
        lse: &mut Buffer,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        layout: &AttentionLayout,
        shape: AttentionShape,
    );
    /// Gradients of [`Backend::attention`], accumulated into shared spans in a fixed order.
    #[allow(clippy::too_many_arguments)]
    fn attention_backward(
        &self,
        dq: &mut Buffer,
        dk: &mut Buffer,
        dv: &mut Buffer,
        d_out: &Buffer,
        out: &Buffer,
        lse: &Buffer,
        q: &Buffer,
        k: &Buffer,
        v: &Buffer,
        layout: &AttentionLayout,
        shape: AttentionShape,
    );
    /// The attention probabilities themselves, `[heads, query rows, key rows]` with zeros where a key is not visible;
    /// for looking inside short inputs only.
    fn attention_pattern(
        &self,
        pattern: &mut Buffer,
        q: &Buffer,
        k: &Buffer,
        layout: &AttentionLayout,
        shape: AttentionShape,
    );

    /// What attention makes of its values with probabilities that are given: `out[q] = sum over keys of pattern v`, each head
    /// for itself; pattern as [`Backend::attention_pattern`] leaves it, v in the order of the shape.
    fn apply_pattern(&self, out: &mut Buffer, pattern: &Buffer, v: &Buffer, queries: usize, shape: AttentionShape);
    /// Gradients of [`Backend::apply_pattern`], of values that lie in rows.
    #[allow(clippy::too_many_arguments)]
    fn apply_pattern_backward(
        &self,
        d_pattern: Option<&mut Buffer>,
        dv: Option<&mut Buffer>,
        d_out: &Buffer,
        pattern: &Buffer,
        v: &Buffer,
        queries: usize,
        shape: AttentionShape,
    );

    /// `y = f(x)` elementwise.
    fn activation(&self, y: &mut Buffer, x: &Buffer, kind: Activation);
    /// `dx += dy f'(x)`.
    fn activation_backward(&self, dx: &mut Buffer, dy: &Buffer, x: &Buffer, kind: Activation);
    /// `y = f(gate) * up` elementwise.
    fn gated(&self, y: &mut Buffer, gate: &Buffer, up: &Buffer, kind: Activation);
    /// `d_gate = dy * up * f'(gate)`, `d_up = dy * f(gate)`.
    fn gated_backward(
        &self,
        d_gate: &mut Buffer,
        d_up: &mut Buffer,
        dy: &Buffer,
        gate: &Buffer,
        up: &Buffer,
        kind: Activation,
    );

    /// `y = a + b`.
    fn add(&self, y: &mut Buffer, a: &Buffer, b: &Buffer);
    /// `y += factor * x`.
    fn add_scaled(&self, y: &mut Buffer, x: &Buffer, factor: f32);
    /// `y = factor * x`.
    fn scale(&self, y: &mut Buffer, x: &Buffer, factor: f32);
    /// `y = a * b` elementwise.
    fn multiply(&self, y: &mut Buffer, a: &Buffer, b: &Buffer);
    /// `y += a * b` elementwise: the gradient of a product, too.
    fn add_product(&self, y: &mut Buffer, a: &Buffer, b: &Buffer);
    /// `sum (a - b)^2` in f64, in a fixed order.
    fn squared_error(&self, a: &Buffer, b: &Buffer) -> f64;
    /// `y = e^x / sum e^x` of each row of `width` values.
    fn softmax(&self, y: &mut Buffer, x: &Buffer, width: usize);
    /// `dx += y (dy - sum dy y)` of each row.
    fn softmax_backward(&self, dx: &mut Buffer, dy: &Buffer, y: &Buffer, width: usize);
    /// `y = x` where `x` is among the `k` largest of its row (the first ones among equals), else 0.
    fn top_k(&self, y: &mut Buffer, x: &Buffer, width: usize, k: usize);
    /// `dx += dy` where `x` is among the `k` largest of its row.
    fn top_k_backward(&self, dx: &mut Buffer, dy: &Buffer, x: &Buffer, width: usize, k: usize);
    /// Lets through what is above its column's threshold; theta `[1, width]`.
    fn threshold(&self, y: &mut Buffer, x: &Buffer, theta: &Buffer, shape: ThresholdShape);
    /// `dx += dy [x > theta]` (for [`Threshold::Step`] nothing), and the pseudo-derivative of thresholds with a rectangular
    /// window of width `e` (Rajamanoharan et al. 2024, arXiv 2407.14435): `d_theta -= sum over rows of dy theta / e` (for
    /// [`Threshold::Step`] `dy / e`) where `|x - theta| < e / 2`.
    fn threshold_backward(
        &self,
        dx: Option<&mut Buffer>,
        d_theta: Option<&mut Buffer>,
        dy: &Buffer,
        x: &Buffer,
        theta: &Buffer,
        shape: ThresholdShape,
    );
    /// Takes `groups` runs of `run` columns, `stride` apart and starting at `start`, out of rows of `width`:
    /// `y[t, g * run + j] = x[t, start + g * stride + j]`. Splits fused projections.
    #[allow(clippy::too_many_arguments)]
    fn columns(
        &self,
        y: &mut Buffer,
        x: &Buffer,
        rows: usize,
        width: usize,
        start: usize,
        stride: usize,
        groups: usize,
        run: usize,
    );
    /// `dx[t, start + g * stride + j] += dy[t, g * run + j]`.
    #[allow(clippy::too_many_arguments)]
    fn columns_backward(
        &self,
        dx: &mut Buffer,
        dy: &Buffer,
        rows: usize,
        width: usize,
        start: usize,
        stride: usize,
        groups: usize,
        run: usize,
    );
    /// `y[i] = x[index[i]]`, rows of `width`.
    fn gather_rows(&self, y: &mut Buffer, x: &Buffer, index: &[u32], width: usize);
    /// `dx[index[i]] += dy[i]`, in order.
    fn gather_rows_backward(&self, dx: &mut Buffer, dy: &Buffer, index: &[u32], width: usize);
    /// `dst[index[i]] = src[i]`, rows of `width`; fills a key/value cache.
    fn scatter_rows(&self, dst: &mut Buffer, src: &Buffer, index: &[u32], width: usize);
    /// Writes rows `index` of a cache in [`KeyOrder::Cached`]; k and v `[index.len(), kv_heads * head_dim]`.
    fn cache_rows(
        &self,
        keys: &mut Buffer,
        values: &mut Buffer,
        k: &Buffer,
        v: &Buffer,
        index: &[u32],
        kv_heads: usize,
    );
    /// `y = x * mask / keep`, where element `i`'s mask is drawn from `(seed, i)` alone with probability `keep`.
    /// The backward pass calls it again on the gradient with the same seed.
    fn dropout(&self, y: &mut Buffer, x: &Buffer, keep: f32, seed: u64);

    /// Edits `columns` of rows of `x` in place.
    fn edit(&self, x: &mut Buffer, rows: &[u32], width: usize, columns: Range<usize>, edit: &Edit);
    /// Turns the gradient after an edit into the gradient before it, in place; `before` is the unedited buffer.
    fn edit_backward(
        &self,
        dx: &mut Buffer,
        before: &Buffer,
        rows: &[u32],
        width: usize,
        columns: Range<usize>,
        edit: &Edit,
    );

    /// From hidden states to log-probabilities of `targets`, in chunks of rows; no buffer of `rows x vocab` ever exists,
    /// but for `logits`, which receives all of them in an order of the backend's, for [`Backend::head_backward`].
    /// hidden `[rows, width]`, unembed `[vocab, width]`.
    fn head(
        &self,
        hidden: &Buffer,
        unembed: &Buffer,
        targets: &[u32],
        shape: HeadShape,
        wants: HeadWants,
        logits: Option<&mut Buffer>,
    ) -> HeadOutput;
    /// Gradient of `sum d_logp[i] * logp[i] + sum d_entropy[i] * entropy[i]` (`d_entropy` empty: none). Logits that the
    /// forward pass did not keep are computed anew; the result is the same to the bit. There may be several targets a row,
    /// `[rows, count]`, with as many `d_logp`; of `output` only what belongs to rows is read.
    #[allow(clippy::too_many_arguments)]
    fn head_backward(
        &self,
        d_hidden: Option<&mut Buffer>,
        d_unembed: Option<&mut Buffer>,
        hidden: &Buffer,
        unembed: &Buffer,
        targets: &[u32],
        output: &HeadOutput,
        logits: Option<Buffer>,
        d_logp: &[f32],
        d_entropy: &[f32],
        shape: HeadShape,
    );

    /// The `count` most likely tokens of each row, 1 to `vocab`; chunks and bits as in [`Backend::head`], whose backward pass
    /// is theirs too.
    fn top_tokens(&self, hidden: &Buffer, unembed: &Buffer, count: usize, shape: HeadShape) -> TopTokens;

    /// How each row's distribution differs from the teacher's, in chunks; no buffer of `rows x vocab` ever exists.
    fn divergence(
        &self,
        hidden: &Buffer,
        unembed: &Buffer,
        teacher: Teacher<'_>,
        kind: Divergence,
        shape: HeadShape,
    ) -> DivergenceOutput;
    /// Gradient of `sum d_value[i] * value[i]` with respect to the student; logits are computed anew.
    #[allow(clippy::too_many_arguments)]
    fn divergence_backward(
        &self,
        d_hidden: Option<&mut Buffer>,
        d_unembed: Option<&mut Buffer>,
        hidden: &Buffer,
        unembed: &Buffer,
        teacher: Teacher<'_>,
        kind: Divergence,
        output: &DivergenceOutput,
        d_value: &[f32],
        shape: HeadShape,
    );

    /// Finishes raw logits, rows of `width`, in place (`cap * tanh(x / cap)`), and returns the log-sum-exp of each row divided
    /// by `temperature`. With `(x * (1 / temperature)) as f64 - log_sum_exp`, rounded to f32, a sampler has the
    /// log-probabilities of [`Backend::head`] to the bit.
    fn distributions(&self, x: &mut Buffer, width: usize, softcap: Option<f32>, temperature: f32) -> Vec<f64>;

    /// One AdamW step on one tensor; `m` and `v` are its moments.
    fn adamw(&self, w: &mut Buffer, g: &Buffer, m: &mut Buffer, v: &mut Buffer, step: AdamW);
    /// Sum of squares in f64, in a fixed order; NaN and infinities come through.
    fn sum_of_squares(&self, x: &Buffer) -> f64;
}
