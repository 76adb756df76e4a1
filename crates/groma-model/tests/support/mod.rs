//! A small model with a bit of everything, and tokens for it.

use std::sync::Arc;

use groma_kernels::{Backend, Cpu};
use groma_model::spec::*;
use groma_model::{Tensor, Transformer, Weights, parameters};
use groma_run::Seed;

pub(crate) fn random(seed: Seed, len: usize, scale: f32) -> Vec<f32> {
    use rand_chacha::rand_core::Rng;
    let mut rng = seed.rng();
    (0..len).map(|_| ((rng.next_u32() >> 8) as f32 / (1 << 23) as f32 - 1.0) * scale).collect()
}

/// A small model with a bit of everything; `kind` chooses among the families' switches.
pub(crate) fn spec(kind: usize) -> Spec {
    let rotary = Rotary {
        rotated: 8,
        style: RotaryStyle::Halves,
        inverse_frequencies: (0..4).map(|i| 10f64.powi(-i)).collect(),
        amplitude: 1.0,
    };
    let mut spec = Spec {
        family: "llama",
        vocab_size: 31,
        hidden_size: 16,
        heads: 4,
        kv_heads: 2,
        head_dim: 8,
        intermediate_size: 24,
        max_positions: 128,
        norm: Norm { kind: NormKind::Rms, eps: 1e-5, weight_offset: 0.0, bias: false },
        norm_placement: NormPlacement::Pre,
        parallel_residual: false,
        rotaries: vec![rotary],
        learned_positions: false,
        qkv: Qkv::Separate,
        qk_norm: QkNorm::None,
        qkv_bias: false,
        attention_out_bias: false,
        attention_scale: 0.35,
        attention_softcap: None,
        mlp: Mlp::Gated,
        mlp_bias: false,
        activation: Activation::Silu,
        embedding_scale: 1.0,
        final_softcap: None,
        tied: true,
        outputs: vec![Head::UNEMBEDDING],
        long_context: None,
        layers: vec![Layer { window: None, rotary: Some(0) }; 2],
    };
    match kind {
        0 => {}
        1 => {
            spec.norm_placement = NormPlacement::Sandwich;
            spec.norm.weight_offset = 1.0;
            spec.attention_softcap = Some(2.0);
            spec.final_softcap = Some(3.0);
            spec.embedding_scale = 4.0;
            spec.layers[0].window = Some(3);
            spec.qk_norm = QkNorm::PerHead;
            spec.activation = Activation::GeluTanh;
        }
        2 => {
            spec.kv_heads = 4;
            spec.qkv = Qkv::PerHead;
            spec.qkv_bias = true;
            spec.attention_out_bias = true;
            spec.mlp = Mlp::Plain;
            spec.mlp_bias = true;
            spec.activation = Activation::Gelu;
            spec.norm = Norm { kind: NormKind::Layer, eps: 1e-5, weight_offset: 0.0, bias: true };
            spec.parallel_residual = true;
            spec.tied = false;
        }
        _ => {
            spec.qkv = Qkv::Concatenated;
            spec.mlp = Mlp::GatedConcatenated;
            spec.norm_placement = NormPlacement::Post;
            spec.qk_norm = QkNorm::FullWidth;
            spec.learned_positions = true;
            spec.rotaries.clear();
            spec.layers = vec![Layer { window: None, rotary: None }; 2];
        }
    }
    spec
}

pub(crate) fn weights(spec: &Spec) -> Weights {
    let draw = |p: groma_model::Parameter| {
        let len = p.shape.iter().product();
        let norm = p.name.contains("norm");
        let values = random(Seed::new(7).named(&p.name), len, 0.4);
        let values = if norm { values.iter().map(|x| x + 1.0).collect() } else { values };
        (p.name, Tensor { shape: p.shape, values })
    };
    parameters(spec).into_iter().map(draw).collect()
}

pub(crate) fn model(kind: usize) -> Transformer {
    model_on(kind, Arc::new(Cpu::new()))
}

pub(crate) fn model_on(kind: usize, backend: Arc<dyn Backend>) -> Transformer {
    let spec = spec(kind);
    let weights = weights(&spec);
    Transformer::new(spec, &weights, backend).unwrap()
}

pub(crate) fn tokens(seed: u64, len: usize) -> Vec<u32> {
    random(Seed::new(seed), len, 15.0).into_iter().map(|x| (x + 15.0) as u32).collect()
}
