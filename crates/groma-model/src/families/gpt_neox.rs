//! GPT-NeoX and Pythia: parallel residual, partly rotated heads, one projection fused head by head.

use super::common::{PlainSizes, activation, finish_decoder, head_width, layer_count, layer_norm_decoder};
use super::family::{Family, TokenClass};
use super::module_rule::{ModuleRule, rule};
use super::rope::{PLAIN, RopeDefaults};
use crate::error::Result;
use crate::spec::{Qkv, Spec};
use crate::weights::config::Fields;

pub(super) static FAMILY: Family = Family {
    id: "gpt_neox",
    architecture: "GPTNeoXForCausalLM",
    score_architectures: &["GPTNeoXForSequenceClassification"],
    token_class: Some(TokenClass { architecture: "GPTNeoXForTokenClassification", head: "classifier" }),
    model_type: "gpt_neox",
    base_prefix: "gpt_neox.",
    rules: &[MODULES],
    read,
};

const MODULES: &[ModuleRule] = &[
    rule("embed", &["gpt_neox.embed_in"]),
    rule("blocks.{i}.norm_attention", &["gpt_neox.layers.{i}.input_layernorm"]),
    rule("blocks.{i}.norm_mlp", &["gpt_neox.layers.{i}.post_attention_layernorm"]),
    rule("blocks.{i}.attention.qkv", &["gpt_neox.layers.{i}.attention.query_key_value"]),
    rule("blocks.{i}.attention.out", &["gpt_neox.layers.{i}.attention.dense"]),
    rule("blocks.{i}.mlp.up", &["gpt_neox.layers.{i}.mlp.dense_h_to_4h"]),
    rule("blocks.{i}.mlp.down", &["gpt_neox.layers.{i}.mlp.dense_4h_to_h"]),
    rule("norm_final", &["gpt_neox.final_layer_norm"]),
    // The classes of version 5 call it `lm_head`.
    rule("unembed", &["embed_out", "lm_head"]),
];

const ROPE: RopeDefaults = RopeDefaults {
    theta: ("rotary_emb_base", 10_000.0),
    partial: ("rotary_pct", 0.25),
    partial_allowed: true,
    ..PLAIN
};

fn read(fields: &Fields<'_>) -> Result<Spec> {
    let hidden_size = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    let sizes = PlainSizes {
        vocab_size: fields.size("vocab_size")?,
        hidden_size,
        heads,
        head_dim: head_width(fields, "num_attention_heads", hidden_size, heads)?,
        intermediate_size: fields.size("intermediate_size")?,
        max_positions: fields.size_or("max_position_embeddings", 2048)?,
    };
    let eps = fields.positive_or("layer_norm_eps", 1e-5)?;
    let mut spec = layer_norm_decoder("gpt_neox", sizes, eps, activation(fields, "hidden_act", "gelu")?);
    spec.learned_positions = false;
    spec.qkv = Qkv::PerHead;
    let bias = fields.flag_or("attention_bias", true)?;
    spec.qkv_bias = bias;
    spec.attention_out_bias = bias;
    spec.tied = fields.flag_or("tie_word_embeddings", false)?;
    spec.parallel_residual = fields.flag_or("use_parallel_residual", true)?;
    require_same(fields, "rope_theta", ROPE.theta)?;
    require_same(fields, "partial_rotary_factor", ROPE.partial)?;
    let layers = layer_count(fields, "num_hidden_layers")?;
    finish_decoder(&mut spec, fields, &ROPE, vec![None; layers])?;
    Ok(spec)
}

/// Some versions of transformers write a value under two names; the class reads only its own.
fn require_same(fields: &Fields<'_>, alias: &str, (field, default): (&str, f64)) -> Result<()> {
    let own = fields.positive_or(field, default)?;
    match fields.optional_positive(alias)? {
        Some(other) if other != own => Err(fields.error(alias, format!("is {other}, but `{field}` is {own}"))),
        _ => Ok(()),
    }
}
