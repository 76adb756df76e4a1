//! The seam between the transformer and the hardware: every kernel the tape calls, on device buffers.
//!
//! All buffers hold `f32`, row-major and densely packed. A kernel whose name ends in `_backward` **adds** to the gradient
//! buffers that it is given, so that a tensor which is used twice gets the sum of both gradients; forward kernels overwrite
//! their output. Results never depend on the number of threads, and the result of one row never depends on the other rows
//! of the batch (reductions over rows, as in weight gradients, run in a fixed order).

mod activation;
mod adamw;
mod attention;
mod divergence;
mod edit;
mod head;
mod linear;
mod norm;
mod rotary;
mod threshold;

pub use activation::Activation;
pub use adamw::AdamW;
pub use attention::{AttentionShape, KEY_PANEL, KeyOrder};
pub(crate) use divergence::Shares;
pub use divergence::{Comparison, Divergence, DivergenceOutput, Support, Teacher};
pub use edit::Edit;
pub use head::{HeadOutput, HeadShape, HeadWants, TopTokens};
pub use linear::{LinearOutput, WeightGradient};
pub use norm::{NormKind, NormShape};
pub use rotary::{RotaryShape, RotaryStyle};
pub use threshold::{Threshold, ThresholdShape};

use std::ops::Range;

use crate::layout::AttentionLayout;
use crate::{Buffer, Precision};
use std::borrow::Cow;
use std::io;

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
        comparison: Comparison,
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
        comparison: Comparison,
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
