//! How much memory training will take, before it starts.
//!
//! Per token row and block the tape keeps: what norms and layers behind no norm read, queries and keys after the rotation,
//! values, the attention's output, and what the MLP's activation reads. With `gradient_checkpointing` it keeps the input
//! of each block, and all of that for one block at a time. The most is held either when the head has run (with the logits
//! that are kept, or those of a chunk, or scores) or in the backward pass of the last block (with gradients on their way).

use groma_kernels::{Buffer, HeadShape, Precision};
use groma_model::spec::{HeadKind, Mlp, NormPlacement, QkNorm, Spec};
use groma_model::{Head, Room, Transformer};

/// Bytes of an f32.
const F32: u64 = 4;
/// Rows, and logits, that the head holds at once where it does not keep them all.
const HEAD_ROWS: u64 = 512;
const HEAD_LOGITS: u64 = 1 << 21;
/// The parameter that is looked up.
const EMBEDDING: &str = "embed.weight";
/// Rows of which logits of student and teacher exist at once, at least.
const DIVERGENCE_ROWS: u64 = 64;
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
    /// Weights of the models that fill roles.
    pub seats: u64,
}

impl MemoryEstimate {
    /// For micro-batches of at most `rows` token rows, and so many values that heads hold.
    pub(crate) fn new(model: &Transformer, rows: usize, head_values: u64, recompute: bool) -> Self {
        let parameters = model.parameters();
        let train: u64 = parameters.iter().filter(|(_, p)| p.trainable).map(|(_, p)| p.len() as u64).sum();
        let spec = model.spec();
        let rows = rows as u64;
        // Of an adapter's layers, what stands between its two factors.
        let ranks: u64 =
            parameters.iter().filter(|(_, p)| p.name.ends_with(".lora_a")).map(|(_, p)| p.rows as u64).sum();
        MemoryEstimate {
            weights: weights(model),
            training: 3 * F32 * train,
            activations: F32 * rows * kept_values(spec, ranks, recompute),
            transient: F32 * head_values.max(rows * backward_values(spec)),
            seats: 0,
        }
    }

    /// With a sampler of so many sequences, whose cache holds so many rows.
    #[must_use]
    pub(crate) fn with_sampling(self, model: &Transformer, sequences: usize, rows: usize) -> Self {
        let logits = Room::default().sequences.min(sequences) * model.spec().vocab_size;
        self.before_the_tape(rows as u64 * Room::row_bytes(model.spec()) / F32 + logits as u64)
    }

    /// With passes of the model itself over so many rows, of which nothing is kept.
    #[must_use]
    pub(crate) fn before_passes(self, model: &Transformer, rows: usize) -> Self {
        self.before_the_tape(rows as u64 * backward_values(model.spec()))
    }

    /// With another model, which reads so many rows at once and keeps nothing of them.
    #[must_use]
    pub(crate) fn beside(self, model: &Transformer, rows: usize) -> Self {
        let estimate = self.before_passes(model, rows);
        let weights: u64 = model.parameters().iter().map(|(_, parameter)| read_one_way(parameter.buffer())).sum();
        MemoryEstimate { seats: estimate.seats + weights, ..estimate }
    }

    /// With the mean of the weights of several models of this size.
    #[must_use]
    pub(crate) fn with_average(self, model: &Transformer) -> Self {
        let values: u64 = model.parameters().iter().map(|(_, parameter)| parameter.len() as u64).sum();
        MemoryEstimate { weights: self.weights + F32 * values, ..self }
    }

    /// With a copy of a model that trains beside, on micro-batches of as many rows.
    #[must_use]
    pub(crate) fn with_critic(self, model: &Transformer, rows: usize, head_values: u64, recompute: bool) -> Self {
        let bytes: u64 = model.parameters().iter().map(|(_, parameter)| read_one_way(parameter.buffer())).sum();
        let values = model.parameters().iter().map(|(_, parameter)| parameter.len() as u64).sum::<u64>();
        let spec = model.spec();
        let of_tape = F32 * rows as u64 * kept_values(spec, 0, recompute);
        MemoryEstimate {
            weights: self.weights + F32 * values,
            training: self.training + 3 * F32 * values,
            activations: self.activations + of_tape,
            transient: self.transient.max(F32 * head_values.max(rows as u64 * backward_values(spec))),
            seats: self.seats + bytes,
        }
    }

    /// With so many values that are gone once the tape is there.
    fn before_the_tape(self, values: u64) -> Self {
        MemoryEstimate { transient: self.transient.max((F32 * values).saturating_sub(self.activations)), ..self }
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
        self.weights + self.training + self.activations + self.transient + self.seats
    }
}

/// Values that the tape keeps per row, with so many between the factors of an adapter's layers.
fn kept_values(spec: &Spec, ranks: u64, recompute: bool) -> u64 {
    let (layers, block) = (spec.layers.len() as u64, row_values(spec));
    let kept = match recompute {
        true => layers * spec.hidden_size as u64 + block + ranks / layers.max(1),
        false => layers * block + ranks,
    };
    kept + 2 * spec.hidden_size as u64
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

/// Bytes of a model's weights, with what training packs beside them. An embedding that is no unembedding is looked up, and
/// never multiplied.
fn weights(model: &Transformer) -> u64 {
    let multiplied = model.spec().tied && model.spec().predicts();
    let bytes = |name: &str, buffer: &Buffer| match name == EMBEDDING && !multiplied {
        true => read_one_way(buffer),
        false => buffer.bytes_in_training() as u64,
    };
    model.parameters().iter().map(|(_, parameter)| bytes(&parameter.name, parameter.buffer())).sum()
}

/// Bytes of what is packed for the forward pass alone.
fn read_one_way(buffer: &Buffer) -> u64 {
    buffer.bytes_in_training() as u64 / if buffer.is_packed() { 2 } else { 1 }
}

/// Values that a head holds of so many rows, or sequences, that it reads: hidden states and its outputs, and the gradients of
/// both.
pub(crate) fn head_values(head: &Head, spec: &Spec, rows: u64) -> u64 {
    match head.kind {
        HeadKind::Unembedding => logp_values(spec, rows),
        HeadKind::Sequence | HeadKind::Token => 2 * rows * (spec.hidden_size + head.width) as u64,
        // The rows of the tokens that were chosen, their products with hidden states, and the gradients of both.
        HeadKind::Action => logp_values(spec, rows) + 4 * rows * spec.hidden_size as u64,
        HeadKind::ActionCopy => 2 * rows * spec.hidden_size as u64,
    }
}

/// Values of a divergence from a teacher at so many rows: both lines of logits of some of them, hidden states of both, and the
/// gradient of the student's.
pub(crate) fn divergence_values(spec: &Spec, teacher: &Spec, rows: u64) -> u64 {
    let logits = (rows * spec.vocab_size as u64).min(HEAD_LOGITS.max(DIVERGENCE_ROWS * spec.vocab_size as u64));
    2 * logits + rows * (2 * spec.hidden_size + teacher.hidden_size) as u64
}

/// Values of log-probabilities among tokens that a copy finds likely: logits of both, raw and finished, and their gradients.
pub(crate) fn masked_values(spec: &Spec, rows: u64) -> u64 {
    4 * rows * spec.vocab_size as u64
}

/// Values that the log-probability head holds: logits, and their gradient's share of hidden states.
fn logp_values(spec: &Spec, rows: u64) -> u64 {
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
