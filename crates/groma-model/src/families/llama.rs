//! Llama 1 to 3, and all that share its class: SmolLM, TinyLlama, Vicuna and many more.

use super::common::{DecoderDefaults, finish_decoder, layer_count, read_decoder};
use super::family::{Family, TokenClass};
use super::names::{LLAMA_MODULES, PRE_NORMS};
use super::rope;
use crate::error::Result;
use crate::spec::Spec;
use crate::weights::config::Fields;

pub(super) static FAMILY: Family = Family {
    id: "llama",
    architecture: "LlamaForCausalLM",
    score_architectures: &["LlamaForSequenceClassification"],
    token_class: Some(TokenClass { architecture: "LlamaForTokenClassification", head: "score" }),
    model_type: "llama",
    base_prefix: "model.",
    rules: &[LLAMA_MODULES, PRE_NORMS],
    read,
};

const DEFAULTS: DecoderDefaults = DecoderDefaults {
    family: "llama",
    kv_heads: None,
    head_dim: None,
    norm_eps: 1e-6,
    max_positions: 2048,
    tied: false,
    activation: ("hidden_act", "silu"),
};

fn read(fields: &Fields<'_>) -> Result<Spec> {
    let mut spec = read_decoder(fields, &DEFAULTS)?;
    let bias = fields.flag_or("attention_bias", false)?;
    spec.qkv_bias = bias;
    spec.attention_out_bias = bias;
    spec.mlp_bias = fields.flag_or("mlp_bias", false)?;
    let layers = layer_count(fields, "num_hidden_layers")?;
    finish_decoder(&mut spec, fields, &rope::PLAIN, vec![None; layers])?;
    Ok(spec)
}
