//! Gemma 2: Gemma with norms before and after, capped attention scores and logits, and every other layer sliding.

use super::common::{DecoderDefaults, finish_decoder, layer_windows, read_decoder, root_scale, sliding_window};
use super::family::{Family, TokenClass};
use super::gemma::apply_gemma;
use super::names::{LLAMA_MODULES, SANDWICH_NORMS};
use super::rope;
use crate::error::Result;
use crate::spec::{NormPlacement, Spec};
use crate::weights::config::Fields;

pub(super) static FAMILY: Family = Family {
    id: "gemma2",
    architecture: "Gemma2ForCausalLM",
    score_architectures: &["Gemma2ForSequenceClassification"],
    token_class: Some(TokenClass { architecture: "Gemma2ForTokenClassification", head: "score" }),
    model_type: "gemma2",
    base_prefix: "model.",
    rules: &[LLAMA_MODULES, SANDWICH_NORMS],
    read,
};

const DEFAULTS: DecoderDefaults = DecoderDefaults {
    family: "gemma2",
    kv_heads: Some(4),
    head_dim: Some(256),
    norm_eps: 1e-6,
    max_positions: 8192,
    tied: true,
    activation: ("hidden_activation", "gelu_pytorch_tanh"),
};

fn read(fields: &Fields<'_>) -> Result<Spec> {
    let mut spec = read_decoder(fields, &DEFAULTS)?;
    // Older files repeat the activation under Llama's name; the class reads the other.
    fields.accept(&["hidden_act"]);
    apply_gemma(&mut spec, fields)?;
    spec.norm_placement = NormPlacement::Sandwich;
    spec.attention_scale = root_scale(fields.positive_or("query_pre_attn_scalar", 256.0)?);
    spec.attention_softcap = softcap(fields, "attn_logit_softcapping", Some(50.0))?;
    spec.final_softcap = softcap(fields, "final_logit_softcapping", Some(30.0))?;
    let window = sliding_window(fields, Some(4096))?;
    let windows = layer_windows(fields, window, |layer| layer % 2 == 0)?;
    finish_decoder(&mut spec, fields, &rope::PLAIN, windows)?;
    Ok(spec)
}

/// A cap, with the class's default where the field is absent; null means none.
pub(super) fn softcap(fields: &Fields<'_>, name: &str, default: Option<f32>) -> Result<Option<f32>> {
    let cap = fields.optional_positive(name)?.map(|cap| cap as f32);
    Ok(if fields.has(name) { cap } else { default })
}
