//! GPT-2: learned positions, LayerNorm, one fused projection; matrices are stored as `[inputs, outputs]`.

use serde_json::json;

use super::common::{PlainSizes, activation, head_width, layer_count, layer_norm_decoder};
use super::family::{Family, TokenClass};
use super::module_rule::{ModuleRule, rule, transposed};
use crate::error::Result;
use crate::spec::{Layer, Qkv, Spec};
use crate::weights::config::Fields;

pub(super) static FAMILY: Family = Family {
    id: "gpt2",
    architecture: "GPT2LMHeadModel",
    score_architectures: &["GPT2ForSequenceClassification"],
    token_class: Some(TokenClass { architecture: "GPT2ForTokenClassification", head: "classifier" }),
    model_type: "gpt2",
    base_prefix: "transformer.",
    rules: &[MODULES],
    read,
};

const MODULES: &[ModuleRule] = &[
    rule("embed", &["transformer.wte"]),
    rule("positions", &["transformer.wpe"]),
    rule("blocks.{i}.norm_attention", &["transformer.h.{i}.ln_1"]),
    rule("blocks.{i}.norm_mlp", &["transformer.h.{i}.ln_2"]),
    transposed("blocks.{i}.attention.qkv", &["transformer.h.{i}.attn.c_attn"]),
    transposed("blocks.{i}.attention.out", &["transformer.h.{i}.attn.c_proj"]),
    transposed("blocks.{i}.mlp.up", &["transformer.h.{i}.mlp.c_fc"]),
    transposed("blocks.{i}.mlp.down", &["transformer.h.{i}.mlp.c_proj"]),
    rule("norm_final", &["transformer.ln_f"]),
    rule("unembed", &["lm_head"]),
];

fn read(fields: &Fields<'_>) -> Result<Spec> {
    let hidden_size = fields.size(fields.spelling(&["n_embd", "hidden_size"]))?;
    let heads_field = fields.spelling(&["n_head", "num_attention_heads"]);
    let heads = fields.size(heads_field)?;
    let sizes = PlainSizes {
        vocab_size: fields.size("vocab_size")?,
        hidden_size,
        heads,
        head_dim: head_width(fields, heads_field, hidden_size, heads)?,
        intermediate_size: fields.size_or("n_inner", 4 * hidden_size)?,
        max_positions: fields.size_or(fields.spelling(&["n_positions", "max_position_embeddings"]), 1024)?,
    };
    let eps = fields.positive_or("layer_norm_epsilon", 1e-5)?;
    let mut spec = layer_norm_decoder("gpt2", sizes, eps, activation(fields, "activation_function", "gelu_new")?);
    spec.qkv = Qkv::Concatenated;
    spec.tied = fields.flag_or("tie_word_embeddings", true)?;
    if !fields.flag_or("scale_attn_weights", true)? {
        spec.attention_scale = 1.0;
    }
    fields.require_neutral("scale_attn_by_inverse_layer_idx", &json!(false), "the scale differs between layers")?;
    accept_without_influence(fields);
    let layers = layer_count(fields, fields.spelling(&["n_layer", "num_hidden_layers"]))?;
    spec.layers = vec![Layer { window: None, rotary: None }; layers];
    Ok(spec)
}

/// Order and precision of a product that is in f32 anyway; the old name of the context; what older versions of transformers
/// wrote; the heads of other classes.
fn accept_without_influence(fields: &Fields<'_>) {
    fields.accept(&["reorder_and_upcast_attn", "n_ctx", "n_special", "output_past", "predict_special_tokens"]);
    accept_summary(fields);
}

/// Settings of the multiple-choice head.
pub(super) fn accept_summary(fields: &Fields<'_>) {
    fields.accept(&[
        "summary_activation",
        "summary_first_dropout",
        "summary_proj_to_labels",
        "summary_type",
        "summary_use_proj",
    ]);
}
