//! Low-rank adapters beside linear layers (Hu et al. 2021, "LoRA"), with rank-stabilised scaling (Kalajdzievski 2023).
//!
//! A layer `y = W x` becomes `y = W x + scale * B A dropout(x)` with `A [rank, inputs]`, `B [outputs, rank]` and
//! `scale = alpha / rank`, or `alpha / sqrt(rank)` where rank-stabilised. `A` starts as PEFT starts it, uniform in
//! `±1/sqrt(inputs)`, and `B` at zero, so that a fresh adapter changes nothing.

use std::collections::BTreeMap;

use crate::uniform::uniform;
use crate::{Spec, Tensor, linear_modules};
use groma_run::Seed;

/// The two factors of one layer's adapter.
#[derive(Clone, Debug, PartialEq)]
pub struct LowRank {
    /// `[rank, inputs]`.
    pub a: Tensor,
    /// `[outputs, rank]`.
    pub b: Tensor,
}

/// An adapter that can be attached to a transformer.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// Multiplies `B A`.
    pub scale: f32,
    /// Probability with which an input of `A` is dropped in training.
    pub dropout: f32,
    /// Factors by canonical module name, e.g. `blocks.0.attention.q`.
    pub pairs: BTreeMap<String, LowRank>,
}

/// The factor before `B A`.
pub fn scale(alpha: f64, rank: usize, rank_stabilised: bool) -> f32 {
    let rank = rank as f64;
    (alpha / if rank_stabilised { rank.sqrt() } else { rank }) as f32
}

/// A fresh adapter for `modules` (canonical names), drawn from `seed` by module name.
pub fn fresh_pairs(spec: &Spec, modules: &[String], rank: usize, seed: Seed) -> BTreeMap<String, LowRank> {
    linear_modules(spec)
        .into_iter()
        .filter(|module| modules.contains(&module.name))
        .map(|module| {
            let (inputs, outputs) = (module.inputs, module.outputs);
            let bound = 1.0 / (inputs as f32).sqrt();
            let mut rng = seed.named(&module.name).rng();
            let a = (0..rank * inputs).map(|_| (2.0 * uniform(&mut rng) - 1.0) * bound).collect();
            let pair = LowRank {
                a: Tensor { shape: vec![rank, inputs], values: a },
                b: Tensor { shape: vec![outputs, rank], values: vec![0.0; outputs * rank] },
            };
            (module.name, pair)
        })
        .collect()
}
