//! Qwen3, dense: Qwen2 without biases, with a norm on each head's queries and keys.

use super::common::{DecoderDefaults, finish_decoder, read_decoder};
use super::family::{Family, TokenClass};
use super::names::{LLAMA_MODULES, PRE_NORMS};
use super::qwen2::upper_windows;
use super::rope;
use crate::error::Result;
use crate::spec::{QkNorm, Spec};
use crate::weights::config::Fields;

pub(super) static FAMILY: Family = Family {
    id: "qwen3",
    architecture: "Qwen3ForCausalLM",
    score_architectures: &["Qwen3ForSequenceClassification"],
    token_class: Some(TokenClass { architecture: "Qwen3ForTokenClassification", head: "score" }),
    model_type: "qwen3",
    base_prefix: "model.",
    rules: &[LLAMA_MODULES, PRE_NORMS],
    read,
};

const DEFAULTS: DecoderDefaults = DecoderDefaults {
    family: "qwen3",
    kv_heads: Some(32),
    head_dim: Some(128),
    norm_eps: 1e-6,
    max_positions: 32768,
    tied: false,
    activation: ("hidden_act", "silu"),
};

fn read(fields: &Fields<'_>) -> Result<Spec> {
    let mut spec = read_decoder(fields, &DEFAULTS)?;
    let bias = fields.flag_or("attention_bias", false)?;
    spec.qkv_bias = bias;
    spec.attention_out_bias = bias;
    spec.qk_norm = QkNorm::PerHead;
    let windows = upper_windows(fields)?;
    finish_decoder(&mut spec, fields, &rope::PLAIN, windows)?;
    Ok(spec)
}
