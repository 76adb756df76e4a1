//! OLMo-2: Llama with the norms after attention and MLP, and norms over all heads of the queries and of the keys.

use super::common::{DecoderDefaults, finish_decoder, layer_count, read_decoder};
use super::family::Family;
use super::module_rule::{ModuleRule, rule};
use super::names::LLAMA_MODULES;
use super::rope;
use crate::error::Result;
use crate::spec::{NormPlacement, QkNorm, Spec};
use crate::weights::config::Fields;

pub(super) static FAMILY: Family = Family {
    id: "olmo2",
    architecture: "Olmo2ForCausalLM",
    score_architectures: &["Olmo2ForSequenceClassification"],
    token_class: None,
    model_type: "olmo2",
    base_prefix: "model.",
    rules: &[LLAMA_MODULES, POST_NORMS],
    read,
};

const POST_NORMS: &[ModuleRule] = &[
    rule("blocks.{i}.norm_attention_out", &["model.layers.{i}.post_attention_layernorm"]),
    rule("blocks.{i}.norm_mlp_out", &["model.layers.{i}.post_feedforward_layernorm"]),
];

const DEFAULTS: DecoderDefaults = DecoderDefaults {
    family: "olmo2",
    kv_heads: None,
    head_dim: None,
    norm_eps: 1e-5,
    max_positions: 2048,
    tied: false,
    activation: ("hidden_act", "silu"),
};

fn read(fields: &Fields<'_>) -> Result<Spec> {
    let mut spec = read_decoder(fields, &DEFAULTS)?;
    let bias = fields.flag_or("attention_bias", false)?;
    spec.qkv_bias = bias;
    spec.attention_out_bias = bias;
    spec.norm_placement = NormPlacement::Post;
    spec.qk_norm = QkNorm::FullWidth;
    let layers = layer_count(fields, "num_hidden_layers")?;
    finish_decoder(&mut spec, fields, &rope::PLAIN, vec![None; layers])?;
    Ok(spec)
}
