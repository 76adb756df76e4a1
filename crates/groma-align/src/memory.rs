//! How much memory training will take, before it starts.
//!
//! Per token row and block the tape keeps: what norms and layers behind no norm read, queries and keys after the rotation,
//! values, the attention's output, and what the MLP's activation reads. With `gradient_checkpointing` it keeps the input
//! of each block, and all of that for one block at a time. The most is held either when the head has run (with the logits
//! that are kept, or those of a chunk) or in the backward pass of the last block (with gradients on their way).

use groma_kernels::{HeadShape, Precision};
use groma_model::Transformer;
use groma_model::spec::{Mlp, NormPlacement, QkNorm, Spec};

/// Bytes of an f32.
const F32: u64 = 4;
/// Rows, and logits, that the head holds at once where it does not keep them all.
const HEAD_ROWS: u64 = 512;
const HEAD_LOGITS: u64 = 1 << 21;
/// Sequences that the sampler grows at once, at most.
const SAMPLED_AT_ONCE: usize = 256;
/// What the program needs besides buffers, in bytes: itself, tokenizer, rows, and what is kept for the next buffers.
const BASE: u64 = 64 << 20;

/// Parts of the estimate, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MemoryEstimate {
    /// Weights; of those that do not train, two packed copies instead.
    pub weights: u64,
    /// Gradients and both moments of the parameters that train.
    pub training: u64,
    /// What the tape keeps of one micro-batch.
    pub activations: u64,
    /// What exists for a short while: logits, or gradients on their way.
    pub transient: u64,
}

impl MemoryEstimate {
    /// For micro-batches of at most `rows` token rows, of which the head reads `head_rows`.
    pub fn new(model: &Transformer, rows: usize, head_rows: usize, recompute: bool) -> Self {
        let parameters = model.parameters();
        let train: u64 = parameters.iter().filter(|(_, p)| p.trainable).map(|(_, p)| p.len() as u64).sum();
        let spec = model.spec();
        let (rows, layers) = (rows as u64, spec.layers.len() as u64);
        let block = row_values(spec);
        // Of an adapter's layers, what stands between its two factors.
        let ranks: u64 =
            parameters.iter().filter(|(_, p)| p.name.ends_with(".lora_a")).map(|(_, p)| p.rows as u64).sum();
        let kept = match recompute {
            true => layers * spec.hidden_size as u64 + block + ranks / layers.max(1),
            false => layers * block + ranks,
        };
        MemoryEstimate {
            weights: parameters.iter().map(|(_, p)| p.buffer().bytes_in_training() as u64).sum(),
            training: 3 * F32 * train,
            activations: F32 * rows * (kept + 2 * spec.hidden_size as u64),
            transient: F32 * head_values(spec, head_rows as u64).max(rows * backward_values(spec)),
        }
    }

    /// With a sampler whose cache holds so many rows: it is gone before the tape is there.
    #[must_use]
    pub(crate) fn with_sampling(self, model: &Transformer, rows: usize) -> Self {
        let spec = model.spec();
        let keys = 2 * spec.layers.len() * spec.kv_heads * spec.head_dim;
        let logits = SAMPLED_AT_ONCE.min(rows) * spec.vocab_size;
        let sampler = F32 * (rows * keys + logits) as u64;
        MemoryEstimate { transient: self.transient.max(sampler.saturating_sub(self.activations)), ..self }
    }

    /// Bytes of a frozen copy of a model: packed, and beside it the values themselves where products round them.
    pub(crate) fn of_copy(model: &Transformer) -> u64 {
        let bytes = match model.backend().precision() {
            Precision::F32 => F32,
            Precision::Bf16 => F32 + F32 / 2,
        };
        bytes * model.parameters().iter().map(|(_, parameter)| parameter.len() as u64).sum::<u64>()
    }

    /// Their sum, and the program itself.
    pub fn total(&self) -> u64 {
        BASE + self.buffers()
    }

    /// What buffers of the backend hold at the most.
    pub fn buffers(&self) -> u64 {
        self.weights + self.training + self.activations + self.transient
    }
}

/// Values that the tape keeps per row and block, where all layers train or have an adapter.
fn row_values(spec: &Spec) -> u64 {
    let (queries, keys) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
    let norms = match (spec.norm_placement, spec.parallel_residual) {
        (NormPlacement::Sandwich | NormPlacement::Post, _) => 4,
        (NormPlacement::Pre, true) => 1,
        (NormPlacement::Pre, false) => 2,
    };
    let qk_norm = if spec.qk_norm == QkNorm::None { 0 } else { queries + keys };
    let mlp = if spec.mlp == Mlp::Plain { 1 } else { 2 };
    (norms * spec.hidden_size + 2 * queries + 2 * keys + qk_norm + mlp * spec.intermediate_size) as u64
}

/// Values that the head holds: logits, and their gradient's share of hidden states.
fn head_values(spec: &Spec, rows: u64) -> u64 {
    let shape = HeadShape {
        rows: rows as usize,
        width: spec.hidden_size,
        vocab: spec.vocab_size,
        softcap: spec.final_softcap,
        temperature: 1.0,
    };
    let all = rows * spec.vocab_size as u64;
    let logits = if shape.keeps_logits() { all } else { all.min(HEAD_LOGITS.max(HEAD_ROWS * 1024)) };
    logits + 2 * rows * spec.hidden_size as u64
}

/// Values per row that exist at the deepest point of the backward pass besides those kept: gradients in the MLP, one of
/// them packed, and of the residual stream. (What else is packed then is about as large as what is no longer kept.)
fn backward_values(spec: &Spec) -> u64 {
    let mlp = if spec.mlp == Mlp::Plain { 2 } else { 3 };
    (2 * spec.hidden_size + mlp * spec.intermediate_size) as u64
}
