//! Phi-3, 3.5 and 4 (mini): Llama with fused projections, longrope and partly rotated heads.

use serde_json::{Value, json};

use super::common::{DecoderDefaults, finish_decoder, layer_windows, read_decoder, sliding_window};
use super::family::{Family, TokenClass};
use super::module_rule::{ModuleRule, rule};
use super::names::{LLAMA_MODULES, PRE_NORMS};
use super::rope::{PLAIN, RopeDefaults};
use crate::error::Result;
use crate::spec::{Mlp, Qkv, Spec};
use crate::weights::config::Fields;

pub(super) static FAMILY: Family = Family {
    id: "phi3",
    architecture: "Phi3ForCausalLM",
    score_architectures: &["Phi3ForSequenceClassification"],
    token_class: Some(TokenClass { architecture: "Phi3ForTokenClassification", head: "score" }),
    model_type: "phi3",
    base_prefix: "model.",
    rules: &[LLAMA_MODULES, PRE_NORMS, FUSED],
    read,
};

const FUSED: &[ModuleRule] = &[
    rule("blocks.{i}.attention.qkv", &["model.layers.{i}.self_attn.qkv_proj"]),
    rule("blocks.{i}.mlp.gate_up", &["model.layers.{i}.mlp.gate_up_proj"]),
];

const DEFAULTS: DecoderDefaults = DecoderDefaults {
    family: "phi3",
    kv_heads: None,
    head_dim: None,
    norm_eps: 1e-5,
    max_positions: 4096,
    tied: false,
    activation: ("hidden_act", "silu"),
};

/// The class has 4096 original positions where a configuration says nothing.
const ROPE: RopeDefaults =
    RopeDefaults { partial_allowed: true, original_positions: Some(4096), longrope_aliases: true, ..PLAIN };

fn read(fields: &Fields<'_>) -> Result<Spec> {
    let mut spec = read_decoder(fields, &DEFAULTS)?;
    spec.qkv = Qkv::Concatenated;
    spec.mlp = Mlp::GatedConcatenated;
    check_remote_code_fields(fields)?;
    let window = sliding_window(fields, None)?;
    let windows = layer_windows(fields, window, |_| window.is_some())?;
    if windows.iter().any(|of_layer| *of_layer != window) {
        return Err(fields.error("layer_types", "differs between layers, which this architecture does not do"));
    }
    finish_decoder(&mut spec, fields, &ROPE, windows)?;
    Ok(spec)
}

/// Fields of the code that came with the releases, which transformers' class does not have.
fn check_remote_code_fields(fields: &Fields<'_>) -> Result<()> {
    let neutral: [(&str, Value); 5] = [
        ("attention_bias", json!(false)),
        ("mlp_bias", json!(false)),
        ("lm_head_bias", json!(false)),
        ("full_attn_mod", json!(1)),
        ("interpolate_factor", json!(1)),
    ];
    neutral.iter().try_for_each(|(name, value)| fields.require_neutral(name, value, "transformers ignores it"))
}
