//! What the readers of several families share.

use serde_json::{Value, json};

use super::rope::{self, RopeDefaults};
use crate::error::Result;
use crate::spec::{Activation, Layer, Mlp, Norm, NormKind, NormPlacement, QkNorm, Qkv, Spec};
use crate::weights::config::Fields;

/// Switches that any configuration may carry and that turn the model into another function.
pub(super) fn check_common(fields: &Fields<'_>) -> Result<()> {
    let refusals: [(&str, Value, &str); 9] = [
        ("quantization_config", Value::Null, "the weights are quantised; use the original checkpoint"),
        ("is_encoder_decoder", json!(false), "only decoders are"),
        ("add_cross_attention", json!(false), "only decoders without cross attention are"),
        ("pruned_heads", json!({}), "heads are removed"),
        ("token_classification_bias", json!(true), "heads of tokens have a bias"),
        ("per_layer_config", Value::Null, "layers differ in size"),
        ("use_bidirectional_attention", json!(false), "only causal attention is"),
        ("use_mrope", json!(false), "rotary positions of several dimensions"),
        ("rope_interleaved", json!(false), "transformers ignores it, so that its meaning is not certain"),
    ];
    refusals.iter().try_for_each(|(name, neutral, why)| fields.require_neutral(name, neutral, why))
}

/// What a family's class takes where a configuration is silent.
pub(super) struct DecoderDefaults {
    pub(super) family: &'static str,
    /// Key/value heads where the field is absent; `None`: as many as query heads. Null always means the latter.
    pub(super) kv_heads: Option<usize>,
    /// `None`: `hidden_size / num_attention_heads`.
    pub(super) head_dim: Option<usize>,
    pub(super) norm_eps: f64,
    pub(super) max_positions: usize,
    pub(super) tied: bool,
    /// Name of the field of the activation, and its default.
    pub(super) activation: (&'static str, &'static str),
}

/// A decoder with RMSNorm, rotary positions, separate projections and a gated MLP, as Llama has it; without layers and
/// rotary tables, which [`finish_decoder`] adds.
pub(super) fn read_decoder(fields: &Fields<'_>, defaults: &DecoderDefaults) -> Result<Spec> {
    let (field, default) = defaults.activation;
    let hidden_size = fields.size("hidden_size")?;
    let heads = fields.size("num_attention_heads")?;
    let kv_default = if fields.has("num_key_value_heads") { heads } else { defaults.kv_heads.unwrap_or(heads) };
    let kv_heads = fields.size_or("num_key_value_heads", kv_default)?;
    let head_dim = match fields.optional_size("head_dim")?.or(defaults.head_dim.filter(|_| !fields.has("head_dim"))) {
        Some(head_dim) => head_dim,
        None => head_width(fields, "num_attention_heads", hidden_size, heads)?,
    };
    check_heads(fields, heads, kv_heads, head_dim)?;
    Ok(Spec {
        family: defaults.family,
        vocab_size: fields.size("vocab_size")?,
        hidden_size,
        heads,
        kv_heads,
        head_dim,
        intermediate_size: fields.size("intermediate_size")?,
        max_positions: fields.size_or("max_position_embeddings", defaults.max_positions)?,
        norm: Norm {
            kind: NormKind::Rms,
            eps: fields.positive_or("rms_norm_eps", defaults.norm_eps)? as f32,
            weight_offset: 0.0,
            bias: false,
        },
        norm_placement: NormPlacement::Pre,
        parallel_residual: false,
        rotaries: Vec::new(),
        learned_positions: false,
        qkv: Qkv::Separate,
        qk_norm: QkNorm::None,
        qkv_bias: false,
        attention_out_bias: false,
        attention_scale: root_scale(head_dim as f64),
        attention_softcap: None,
        mlp: Mlp::Gated,
        mlp_bias: false,
        activation: activation(fields, field, default)?,
        embedding_scale: 1.0,
        final_softcap: None,
        tied: fields.flag_or("tie_word_embeddings", defaults.tied)?,
        outputs: Vec::new(),
        long_context: None,
        layers: Vec::new(),
    })
}

/// A decoder with LayerNorm, biases, learned positions and a plain MLP, as GPT-2 has it.
pub(super) fn layer_norm_decoder(family: &'static str, sizes: PlainSizes, eps: f64, activation: Activation) -> Spec {
    let PlainSizes { vocab_size, hidden_size, heads, head_dim, intermediate_size, max_positions } = sizes;
    Spec {
        family,
        vocab_size,
        hidden_size,
        heads,
        kv_heads: heads,
        head_dim,
        intermediate_size,
        max_positions,
        norm: Norm { kind: NormKind::Layer, eps: eps as f32, weight_offset: 0.0, bias: true },
        norm_placement: NormPlacement::Pre,
        parallel_residual: false,
        rotaries: Vec::new(),
        learned_positions: true,
        qkv: Qkv::Separate,
        qk_norm: QkNorm::None,
        qkv_bias: true,
        attention_out_bias: true,
        attention_scale: root_scale(head_dim as f64),
        attention_softcap: None,
        mlp: Mlp::Plain,
        mlp_bias: true,
        activation,
        embedding_scale: 1.0,
        final_softcap: None,
        tied: true,
        outputs: Vec::new(),
        long_context: None,
        layers: Vec::new(),
    }
}

/// Sizes of a decoder with as many key/value heads as query heads.
pub(super) struct PlainSizes {
    pub(super) vocab_size: usize,
    pub(super) hidden_size: usize,
    pub(super) heads: usize,
    pub(super) head_dim: usize,
    pub(super) intermediate_size: usize,
    pub(super) max_positions: usize,
}

/// Adds one rotary embedding for all layers, and the layers with their windows.
pub(super) fn finish_decoder(
    spec: &mut Spec,
    fields: &Fields<'_>,
    rope: &RopeDefaults,
    windows: Vec<Option<usize>>,
) -> Result<()> {
    rope::read_into(spec, fields, rope)?;
    spec.layers = windows.into_iter().map(|window| Layer { window, rotary: Some(0) }).collect();
    Ok(())
}

/// `width / heads`, which must be whole.
pub(super) fn head_width(fields: &Fields<'_>, name: &str, width: usize, heads: usize) -> Result<usize> {
    if !width.is_multiple_of(heads) {
        return Err(fields.error(name, format!("is {heads}, which does not divide the hidden size {width}")));
    }
    Ok(width / heads)
}

fn check_heads(fields: &Fields<'_>, heads: usize, kv_heads: usize, head_dim: usize) -> Result<()> {
    if !heads.is_multiple_of(kv_heads) {
        let problem = format!("is {kv_heads}, which does not divide the {heads} attention heads");
        return Err(fields.error("num_key_value_heads", problem));
    }
    const WIDTH_LIMIT: usize = 1 << 24;
    match heads.checked_mul(head_dim) {
        Some(0..=WIDTH_LIMIT) => Ok(()),
        _ => Err(fields.error("head_dim", format!("is {head_dim}, too large for {heads} heads"))),
    }
}

/// Number of layers, limited so that a list of them can be made.
pub(super) fn layer_count(fields: &Fields<'_>, name: &str) -> Result<usize> {
    const LAYER_LIMIT: usize = 4096;
    match fields.size(name)? {
        count @ 0..=LAYER_LIMIT => Ok(count),
        count => Err(fields.error(name, format!("is {count}; the limit is {LAYER_LIMIT}"))),
    }
}

/// One over the root, as the scale of attention scores.
pub(super) fn root_scale(width: f64) -> f32 {
    width.powf(-0.5) as f32
}

/// An activation by its name in transformers.
pub(super) fn activation(fields: &Fields<'_>, field: &str, default: &str) -> Result<Activation> {
    match fields.text(field)?.unwrap_or(default) {
        "silu" | "swish" => Ok(Activation::Silu),
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "gelu_new" | "gelu_fast" | "gelu_accurate" | "gelu_pytorch_tanh" | "gelu_python_tanh" => {
            Ok(Activation::GeluTanh)
        }
        "relu" => Ok(Activation::Relu),
        other => Err(fields.error(
            field,
            format!("is \"{other}\"; supported are silu, gelu, gelu_new, gelu_fast, gelu_pytorch_tanh and relu"),
        )),
    }
}

/// `sliding_window`, with the class's default where it is absent; null means none.
pub(super) fn sliding_window(fields: &Fields<'_>, default: Option<usize>) -> Result<Option<usize>> {
    let window = fields.optional_size("sliding_window")?;
    Ok(if fields.has("sliding_window") { window } else { default })
}

/// The window of each layer by `layer_types`, or by `slides` where that is absent.
pub(super) fn layer_windows(
    fields: &Fields<'_>,
    window: Option<usize>,
    slides: impl Fn(usize) -> bool,
) -> Result<Vec<Option<usize>>> {
    let count = layer_count(fields, "num_hidden_layers")?;
    let sliding: Vec<bool> = match fields.texts("layer_types")? {
        None => (0..count).map(slides).collect(),
        Some(types) => layer_types(fields, &types, count)?,
    };
    if window.is_none() && sliding.contains(&true) {
        return Err(fields.error("sliding_window", "is missing, but there are layers of sliding attention"));
    }
    Ok(sliding.into_iter().map(|slides| window.filter(|_| slides)).collect())
}

fn layer_types(fields: &Fields<'_>, types: &[&str], count: usize) -> Result<Vec<bool>> {
    if types.len() != count {
        let problem =
            format!("has {} for {}", groma_run::counted(types.len(), "entry"), groma_run::counted(count, "layer"));
        return Err(fields.error("layer_types", problem));
    }
    let slides =
        |kind: &&str| match *kind {
            "full_attention" => Ok(false),
            "sliding_attention" => Ok(true),
            other => Err(fields
                .error("layer_types", format!("has \"{other}\"; supported are full_attention and sliding_attention"))),
        };
    types.iter().map(slides).collect()
}
