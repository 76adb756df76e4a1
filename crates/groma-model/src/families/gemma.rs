//! Gemma 1: Llama with a GELU gate, norm weights stored as `weight - 1`, scaled embeddings and wide heads.

use super::common::{DecoderDefaults, finish_decoder, layer_count, read_decoder};
use super::family::{Family, TokenClass};
use super::names::{LLAMA_MODULES, PRE_NORMS};
use super::rope;
use crate::error::Result;
use crate::spec::{Activation, Spec};
use crate::weights::config::Fields;

pub(super) static FAMILY: Family = Family {
    id: "gemma",
    architecture: "GemmaForCausalLM",
    score_architectures: &["GemmaForSequenceClassification"],
    token_class: Some(TokenClass { architecture: "GemmaForTokenClassification", head: "score" }),
    model_type: "gemma",
    base_prefix: "model.",
    rules: &[LLAMA_MODULES, PRE_NORMS],
    read,
};

const DEFAULTS: DecoderDefaults = DecoderDefaults {
    family: "gemma",
    kv_heads: Some(16),
    head_dim: Some(256),
    norm_eps: 1e-6,
    max_positions: 8192,
    tied: true,
    activation: ("hidden_act", "gelu_pytorch_tanh"),
};

fn read(fields: &Fields<'_>) -> Result<Spec> {
    let mut spec = read_decoder(fields, &DEFAULTS)?;
    if spec.activation == Activation::Gelu {
        // The first releases say `gelu` and mean the tanh form; transformers reads them so.
        spec.activation = Activation::GeluTanh;
    }
    if let Some(other) = fields.text("hidden_activation")?
        && !matches!(other, "gelu_pytorch_tanh" | "gelu_new" | "gelu")
    {
        return Err(fields.error("hidden_activation", format!("is \"{other}\", which transformers ignores here")));
    }
    apply_gemma(&mut spec, fields)?;
    let layers = layer_count(fields, "num_hidden_layers")?;
    finish_decoder(&mut spec, fields, &rope::PLAIN, vec![None; layers])?;
    Ok(spec)
}

/// What all Gemmas share.
pub(super) fn apply_gemma(spec: &mut Spec, fields: &Fields<'_>) -> Result<()> {
    let bias = fields.flag_or("attention_bias", false)?;
    spec.qkv_bias = bias;
    spec.attention_out_bias = bias;
    spec.norm.weight_offset = 1.0;
    spec.embedding_scale = (spec.hidden_size as f64).sqrt() as f32;
    Ok(())
}
