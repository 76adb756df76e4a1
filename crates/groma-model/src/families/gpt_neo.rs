//! GPT-Neo: GPT-2 with separate projections without biases, unscaled attention, and local layers.

use serde_json::Value;

use super::common::{PlainSizes, activation, head_width, layer_count, layer_norm_decoder};
use super::family::{Family, TokenClass};
use super::gpt2::accept_summary;
use super::module_rule::{ModuleRule, rule};
use crate::error::Result;
use crate::spec::{Layer, Spec};
use crate::weights::config::Fields;

pub(super) static FAMILY: Family = Family {
    id: "gpt_neo",
    architecture: "GPTNeoForCausalLM",
    score_architectures: &["GPTNeoForSequenceClassification"],
    token_class: Some(TokenClass { architecture: "GPTNeoForTokenClassification", head: "classifier" }),
    model_type: "gpt_neo",
    base_prefix: "transformer.",
    rules: &[MODULES],
    read,
};

const MODULES: &[ModuleRule] = &[
    rule("embed", &["transformer.wte"]),
    rule("positions", &["transformer.wpe"]),
    rule("blocks.{i}.norm_attention", &["transformer.h.{i}.ln_1"]),
    rule("blocks.{i}.norm_mlp", &["transformer.h.{i}.ln_2"]),
    rule("blocks.{i}.attention.q", &["transformer.h.{i}.attn.attention.q_proj"]),
    rule("blocks.{i}.attention.k", &["transformer.h.{i}.attn.attention.k_proj"]),
    rule("blocks.{i}.attention.v", &["transformer.h.{i}.attn.attention.v_proj"]),
    rule("blocks.{i}.attention.out", &["transformer.h.{i}.attn.attention.out_proj"]),
    rule("blocks.{i}.mlp.up", &["transformer.h.{i}.mlp.c_fc"]),
    rule("blocks.{i}.mlp.down", &["transformer.h.{i}.mlp.c_proj"]),
    rule("norm_final", &["transformer.ln_f"]),
    rule("unembed", &["lm_head"]),
];

fn read(fields: &Fields<'_>) -> Result<Spec> {
    let hidden_size = fields.size("hidden_size")?;
    let heads_field = fields.spelling(&["num_heads", "num_attention_heads"]);
    let heads = fields.size(heads_field)?;
    let sizes = PlainSizes {
        vocab_size: fields.size("vocab_size")?,
        hidden_size,
        heads,
        head_dim: head_width(fields, heads_field, hidden_size, heads)?,
        intermediate_size: fields.size_or("intermediate_size", 4 * hidden_size)?,
        max_positions: fields.size_or("max_position_embeddings", 2048)?,
    };
    let eps = fields.positive_or("layer_norm_epsilon", 1e-5)?;
    let mut spec = layer_norm_decoder("gpt_neo", sizes, eps, activation(fields, "activation_function", "gelu_new")?);
    spec.qkv_bias = false;
    spec.attention_scale = 1.0;
    spec.tied = fields.flag_or("tie_word_embeddings", true)?;
    accept_summary(fields);
    let layers = layer_count(fields, fields.spelling(&["num_layers", "num_hidden_layers"]))?;
    spec.layers = attention_layers(fields, layers)?;
    Ok(spec)
}

/// `attention_types` is a list of `[[kind, ...], repetitions]`; `attention_layers`, where given, must be its expansion.
fn attention_layers(fields: &Fields<'_>, layers: usize) -> Result<Vec<Layer>> {
    let window = fields.size_or("window_size", 256)?;
    let default = ["global", "local"].repeat(12);
    let kinds = match fields.list("attention_types")? {
        None => default,
        Some(groups) => expand(fields, groups, layers)?,
    };
    if kinds.len() != layers {
        let problem = format!("describes {}, but there are {layers}", groma_run::counted(kinds.len(), "layer"));
        return Err(fields.error("attention_types", problem));
    }
    if fields.texts("attention_layers")?.is_some_and(|listed| listed != kinds) {
        return Err(fields.error("attention_layers", "contradicts `attention_types`"));
    }
    let layer = |kind: &str| match kind {
        "global" => Ok(Layer { window: None, rotary: None }),
        "local" => Ok(Layer { window: Some(window), rotary: None }),
        other => Err(fields.error("attention_types", format!("has \"{other}\"; supported are global and local"))),
    };
    kinds.into_iter().map(layer).collect()
}

fn expand<'a>(fields: &Fields<'_>, groups: &'a [Value], layers: usize) -> Result<Vec<&'a str>> {
    let malformed = || fields.error("attention_types", "must be a list of [[kind, ...], repetitions]");
    let mut kinds = Vec::new();
    for group in groups {
        let [Value::Array(names), repetitions] = group.as_array().map(Vec::as_slice).ok_or_else(malformed)? else {
            return Err(malformed());
        };
        let repetitions = repetitions.as_u64().ok_or_else(malformed)?;
        let names = names.iter().map(|name| name.as_str().ok_or_else(malformed)).collect::<Result<Vec<_>>>()?;
        let added = (names.len() as u64).saturating_mul(repetitions);
        if added.saturating_add(kinds.len() as u64) > layers as u64 {
            return Err(
                fields.error("attention_types", format!("describes more than {}", groma_run::counted(layers, "layer")))
            );
        }
        kinds.extend((0..repetitions).flat_map(|_| names.iter().copied()));
    }
    Ok(kinds)
}
