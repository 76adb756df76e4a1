//! Gemma 3, text only: Gemma 2 with norms on queries and keys instead of the caps, one global layer after each few local
//! ones, and another rotary base for each of the two kinds.

use super::common::{DecoderDefaults, layer_windows, read_decoder, root_scale, sliding_window};
use super::family::Family;
use super::gemma::apply_gemma;
use super::gemma2::softcap;
use super::names::{LLAMA_MODULES, SANDWICH_NORMS};
use super::rope::{Base, Tables, check_theta};
use crate::error::Result;
use crate::spec::{Layer, NormPlacement, QkNorm, Rotary, Spec};
use crate::weights::config::Fields;

pub(super) static FAMILY: Family = Family {
    id: "gemma3",
    architecture: "Gemma3ForCausalLM",
    score_architectures: &["Gemma3TextForSequenceClassification"],
    token_class: None,
    model_type: "gemma3_text",
    base_prefix: "model.",
    rules: &[LLAMA_MODULES, SANDWICH_NORMS],
    read,
};

const DEFAULTS: DecoderDefaults = DecoderDefaults {
    family: "gemma3",
    kv_heads: Some(4),
    head_dim: Some(256),
    norm_eps: 1e-6,
    max_positions: 131_072,
    tied: true,
    activation: ("hidden_activation", "gelu_pytorch_tanh"),
};

/// Base of the rotary embedding of global and of local layers.
const GLOBAL_THETA: f64 = 1_000_000.0;
const LOCAL_THETA: f64 = 10_000.0;

fn read(fields: &Fields<'_>) -> Result<Spec> {
    let mut spec = read_decoder(fields, &DEFAULTS)?;
    apply_gemma(&mut spec, fields)?;
    spec.norm_placement = NormPlacement::Sandwich;
    spec.qk_norm = QkNorm::PerHead;
    spec.attention_scale = root_scale(fields.positive_or("query_pre_attn_scalar", 256.0)?);
    spec.final_softcap = softcap(fields, "final_logit_softcapping", None)?;
    let why = "transformers does not apply it in this family, so that its meaning is not certain";
    fields.require_neutral("attn_logit_softcapping", &serde_json::Value::Null, why)?;
    let window = sliding_window(fields, Some(4096))?;
    let pattern = fields.size_or("sliding_window_pattern", 6)?;
    let windows = layer_windows(fields, window, |layer| (layer + 1) % pattern != 0)?;
    spec.rotaries = rotaries(fields, &spec)?;
    let layer = |window: Option<usize>| Layer { window, rotary: Some(usize::from(window.is_some())) };
    spec.layers = windows.into_iter().map(layer).collect();
    Ok(spec)
}

/// The global embedding, then the local one. `rope_scaling` is the global one's; `rope_parameters` has one object each.
fn rotaries(fields: &Fields<'_>, spec: &Spec) -> Result<Vec<Rotary>> {
    let by_kind = fields.object("rope_parameters")?;
    let object = |kind: &str| by_kind.as_ref().map_or(Ok(None), |objects| objects.object(kind));
    let old = fields.object("rope_scaling")?.filter(|object| !object.is_empty());
    let (global, local) = (object("full_attention")?, object("sliding_attention")?);
    if let (Some(_), Some(_)) = (&old, &global) {
        return Err(fields.error("rope_scaling", "is given beside `rope_parameters`; keep one of them"));
    }
    let global = rotary(fields, old.or(global), spec, ("rope_theta", GLOBAL_THETA))?;
    let local = rotary(fields, local, spec, ("rope_local_base_freq", LOCAL_THETA))?;
    if let Some(objects) = by_kind {
        objects.finish(&[])?;
    }
    Ok(vec![global, local])
}

fn rotary(fields: &Fields<'_>, object: Option<Fields<'_>>, spec: &Spec, default: (&str, f64)) -> Result<Rotary> {
    let outer = fields.positive_or(default.0, default.1)?;
    let within = |name: &str| object.as_ref().map_or(Ok(None), |object| object.optional_positive(name));
    let theta = within("rope_theta")?.unwrap_or(outer);
    check_theta(fields, default.0, theta)?;
    let original =
        object.as_ref().map_or(Ok(None), |object| object.optional_size("original_max_position_embeddings"))?;
    let base = Base {
        theta,
        width: spec.head_dim,
        max_positions: spec.max_positions,
        original_positions: original.unwrap_or(spec.max_positions),
        longrope_aliases: false,
    };
    if spec.head_dim % 2 == 1 {
        return Err(fields.error("head_dim", format!("is {}; heads are rotated in pairs", spec.head_dim)));
    }
    match base.tables(fields, object)? {
        Tables { rotary, long: None } => Ok(rotary),
        Tables { long: Some(_), .. } => Err(fields.error("rope_parameters", "longrope is not supported here")),
    }
}
