//! A configuration made from nothing.

use serde_json::{Map, Value, json};

use super::llama::FAMILY;
use crate::error::{Error, Result};
use crate::spec::{Activation, Head, Spec};
use crate::weights::config::Config;

/// The `config.json` of a Llama made from nothing, with plain rotary positions of base `rope_theta`.
///
/// # Errors
/// Where the description is not a Llama's, i.e. reading the result would not give it back.
pub fn config_of(spec: &Spec, rope_theta: f64) -> Result<Map<String, Value>> {
    let activation = match spec.activation {
        Activation::Silu => "silu",
        Activation::Gelu => "gelu",
        Activation::GeluTanh => "gelu_pytorch_tanh",
        Activation::Relu => "relu",
    };
    let value = json!({
        "architectures": [FAMILY.architecture],
        "model_type": FAMILY.model_type,
        "vocab_size": spec.vocab_size,
        "hidden_size": spec.hidden_size,
        "intermediate_size": spec.intermediate_size,
        "num_hidden_layers": spec.layers.len(),
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.kv_heads,
        "head_dim": spec.head_dim,
        "max_position_embeddings": spec.max_positions,
        "rms_norm_eps": short_decimal(spec.norm.eps),
        "rope_theta": rope_theta,
        "hidden_act": activation,
        "attention_bias": spec.qkv_bias,
        "attention_dropout": 0.0,
        "mlp_bias": spec.mlp_bias,
        "tie_word_embeddings": spec.tied,
        "torch_dtype": "float32",
        "use_cache": true,
    });
    let Value::Object(map) = value else { return Ok(Map::new()) };
    let config = Config::new("config.json".as_ref(), map);
    let read_back = super::read(&config)?;
    if read_back != spec.with_heads(&[Head::UNEMBEDDING]) {
        let problem = "it is not a plain Llama, for which alone a configuration can be made from nothing".into();
        return Err(Error::Weights { problem });
    }
    Ok(config.map().clone())
}

/// The shortest decimal that is this f32, as f64, so that 1e-5 is not written as 0.000009999999747378752.
fn short_decimal(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
