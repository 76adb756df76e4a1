//! How much memory training will take, before it starts.
//!
//! Per token row and block the tape keeps: the inputs and outputs of both norms (4 hidden), queries, keys and values (after
//! the rotation), the attention's output, and what the MLP multiplies (gate, up and their product). The backward pass holds
//! the gradients of about one block beside them. The head works in chunks, so logits of all rows never exist.

use groma_model::Transformer;
use groma_model::spec::{Mlp, Spec};

/// Copies of a frozen matrix: in the order of the forward, and of the backward product.
const PACKED_COPIES: u64 = 2;
/// Bytes of an f32.
const F32: u64 = 4;
/// Rows of logits that the head holds at once, at most.
const HEAD_ROWS: u64 = 512;
/// What the program needs besides buffers, in bytes.
const BASE: u64 = 64 << 20;

/// Parts of the estimate, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct MemoryEstimate {
    /// Weights, and packed copies of those that do not train.
    pub weights: u64,
    /// Gradients and both moments of the parameters that train.
    pub training: u64,
    /// What the tape keeps of one micro-batch, and gradients on their way.
    pub activations: u64,
    /// Logits in flight.
    pub head: u64,
}

impl MemoryEstimate {
    /// For micro-batches of at most `rows` token rows.
    pub fn new(model: &Transformer, rows: usize) -> Self {
        let parameters = model.parameters();
        let all = parameters.count() as u64;
        let train: u64 = parameters.iter().filter(|(_, p)| p.trainable).map(|(_, p)| p.len() as u64).sum();
        let frozen: u64 = parameters.iter().filter(|(_, p)| p.buffer().is_frozen()).map(|(_, p)| p.len() as u64).sum();
        let spec = model.spec();
        let rows = rows as u64;
        MemoryEstimate {
            weights: F32 * (all + PACKED_COPIES * frozen),
            training: 3 * F32 * train,
            activations: F32 * rows * (row_values(spec) * spec.layers.len() as u64 + transient_values(spec)),
            head: F32 * rows.min(HEAD_ROWS) * spec.vocab_size as u64 * 2,
        }
    }

    /// Their sum, and the program itself.
    pub fn total(&self) -> u64 {
        BASE + self.weights + self.training + self.activations + self.head
    }
}

/// Values that the tape keeps per row and block.
fn row_values(spec: &Spec) -> u64 {
    let (queries, keys) = (spec.heads * spec.head_dim, spec.kv_heads * spec.head_dim);
    let mlp = if spec.mlp == Mlp::Plain { 2 } else { 3 };
    (4 * spec.hidden_size + 2 * queries + 2 * keys + mlp * spec.intermediate_size) as u64
}

/// Values per row that exist at the deepest point of the backward pass besides those kept.
fn transient_values(spec: &Spec) -> u64 {
    let queries = spec.heads * spec.head_dim;
    (4 * spec.hidden_size + 3 * spec.intermediate_size + 4 * queries) as u64
}
