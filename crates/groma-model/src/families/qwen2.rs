//! Qwen2 and Qwen2.5: Llama with biases on q, k and v, and optional sliding windows in the upper layers.

use super::common::{DecoderDefaults, finish_decoder, layer_windows, read_decoder, sliding_window};
use super::family::{Family, TokenClass};
use super::names::{LLAMA_MODULES, PRE_NORMS};
use super::rope;
use crate::error::Result;
use crate::spec::Spec;
use crate::weights::config::Fields;

pub(super) static FAMILY: Family = Family {
    id: "qwen2",
    architecture: "Qwen2ForCausalLM",
    score_architectures: &["Qwen2ForSequenceClassification"],
    token_class: Some(TokenClass { architecture: "Qwen2ForTokenClassification", head: "score" }),
    model_type: "qwen2",
    base_prefix: "model.",
    rules: &[LLAMA_MODULES, PRE_NORMS],
    read,
};

const DEFAULTS: DecoderDefaults = DecoderDefaults {
    family: "qwen2",
    kv_heads: Some(32),
    head_dim: None,
    norm_eps: 1e-6,
    max_positions: 32768,
    tied: false,
    activation: ("hidden_act", "silu"),
};

fn read(fields: &Fields<'_>) -> Result<Spec> {
    let mut spec = read_decoder(fields, &DEFAULTS)?;
    spec.qkv_bias = true;
    let windows = upper_windows(fields)?;
    finish_decoder(&mut spec, fields, &rope::PLAIN, windows)?;
    Ok(spec)
}

/// Windows of the layers from `max_window_layers` up, if `use_sliding_window`.
pub(super) fn upper_windows(fields: &Fields<'_>) -> Result<Vec<Option<usize>>> {
    let window = sliding_window(fields, Some(4096))?;
    let window = if fields.flag_or("use_sliding_window", false)? { window } else { None };
    let first = fields.count_or("max_window_layers", 28)?;
    layer_windows(fields, window, |layer| window.is_some() && layer >= first)
}
