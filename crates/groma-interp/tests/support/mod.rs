//! Small random models of several families.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::sync::Arc;

use groma_kernels::Cpu;
use groma_model::{Config, Parameter, Tensor, Transformer, families, parameters};
use groma_run::Seed;
use rand_chacha::rand_core::Rng;
use serde_json::{Value, json};

pub(crate) fn values(seed: Seed, count: usize, size: f32) -> Vec<f32> {
    let mut rng = seed.rng();
    (0..count).map(|_| ((rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0) * size).collect()
}

/// Token ids below 64.
pub(crate) fn tokens(seed: u64, count: usize) -> Vec<u32> {
    let mut rng = Seed::new(seed).rng();
    (0..count).map(|_| rng.next_u32() % 64).collect()
}

/// Grouped heads and RMSNorm; LayerNorm with biases and learned positions; norms on both sides, with caps; norms behind; parallel
/// residuals.
pub(crate) const FAMILIES: [&str; 5] = ["llama", "gpt2", "gemma2", "olmo2", "gpt_neox"];

fn config(family: &str) -> Value {
    let common = json!({
        "model_type": family, "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
        "num_attention_heads": 4, "max_position_embeddings": 64
    });
    let gated = json!({ "num_key_value_heads": 2, "rms_norm_eps": 1e-5 });
    let own = match family {
        "llama" => json!({ "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": true, "hidden_act": "silu" }),
        "gpt2" => json!({
            "architectures": ["GPT2LMHeadModel"], "model_type": "gpt2", "vocab_size": 64, "n_embd": 32, "n_layer": 3,
            "n_head": 4, "n_positions": 64, "n_inner": 48, "activation_function": "gelu_new", "layer_norm_epsilon": 1e-5
        }),
        "gemma2" => json!({
            "architectures": ["Gemma2ForCausalLM"], "head_dim": 8, "hidden_activation": "gelu_pytorch_tanh",
            "attn_logit_softcapping": 20.0, "final_logit_softcapping": 10.0, "query_pre_attn_scalar": 8, "sliding_window": 16
        }),
        "olmo2" => json!({
            "architectures": ["Olmo2ForCausalLM"], "tie_word_embeddings": false, "hidden_act": "silu", "attention_bias": true
        }),
        _ => json!({
            "architectures": ["GPTNeoXForCausalLM"], "rotary_pct": 0.5, "layer_norm_eps": 1e-5, "hidden_act": "gelu",
            "use_parallel_residual": true, "tie_word_embeddings": false
        }),
    };
    let parts = match family {
        "gpt2" => vec![own],
        "gpt_neox" => vec![common, own],
        _ => vec![common, gated, own],
    };
    Value::Object(parts.into_iter().filter_map(|part| part.as_object().cloned()).flatten().collect())
}

pub(crate) fn model(family: &str) -> Transformer {
    let config = Config::parse("config.json".as_ref(), config(family).to_string().as_bytes()).unwrap();
    let spec = families::read(&config).unwrap();
    let draw = |parameter: Parameter| {
        let count = parameter.shape.iter().product();
        let norm = parameter.name.contains("norm") && parameter.name.ends_with("weight");
        let drawn = values(Seed::new(7).named(&parameter.name), count, 0.3);
        let values = if norm { drawn.iter().map(|x| x + 1.0).collect() } else { drawn };
        (parameter.name, Tensor { shape: parameter.shape, values })
    };
    let weights = parameters(&spec).into_iter().map(draw).collect();
    Transformer::new(spec, &weights, Arc::new(Cpu::new())).unwrap()
}
