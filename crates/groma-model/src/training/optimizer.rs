//! AdamW over the parameters that train, with clipping, as PyTorch and Hugging Face's Trainer do it.

use std::collections::BTreeMap;

use groma_kernels::{AdamW, Backend, Buffer, Gradients, ParameterId};
use serde::{Deserialize, Serialize};

use crate::{Error, ParameterStore, Result};

/// Added to the norm before it divides, as in `torch.nn.utils.clip_grad_norm_`.
const CLIP_EPSILON: f64 = 1e-6;

/// What AdamW is told besides the learning rate; the defaults are those of Hugging Face's Trainer.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamWSettings {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, of all but biases and norms.
    pub weight_decay: f64,
    /// Gradients of a larger norm are scaled down to it; 0 for no limit.
    pub max_grad_norm: f64,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        AdamWSettings { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.0, max_grad_norm: 1.0 }
    }
}

/// First and second moments of one tensor.
#[derive(Debug)]
pub struct Moments {
    /// Mean of gradients.
    pub m: Buffer,
    /// Mean of their squares.
    pub v: Buffer,
}

/// The optimizer's state.
#[derive(Debug, Default)]
pub struct Optimizer {
    /// Of each parameter that trains.
    pub moments: BTreeMap<ParameterId, Moments>,
}

impl Optimizer {
    /// Moments at zero for each parameter that trains.
    pub fn new(parameters: &ParameterStore, backend: &dyn Backend) -> Self {
        let trainable = parameters.iter().filter(|(_, parameter)| parameter.trainable);
        // Uploaded, as they stay for good.
        let zero = |len| Moments { m: backend.upload(&vec![0.0; len]), v: backend.upload(&vec![0.0; len]) };
        Optimizer { moments: trainable.map(|(id, parameter)| (id, zero(parameter.len()))).collect() }
    }

    /// One step, the first being 1, at learning rate `lr`. `norm` is that of the gradients, which must be finite; gradients
    /// of parameters that are not the optimizer's are passed over.
    ///
    /// # Errors
    /// If somebody still reads a parameter.
    pub fn step(
        &mut self,
        (parameters, backend): (&mut ParameterStore, &dyn Backend),
        gradients: &Gradients,
        settings: &AdamWSettings,
        (step, lr): (u64, f64),
        norm: f64,
    ) -> Result<()> {
        for (id, gradient) in gradients.iter() {
            let Some(moments) = self.moments.get_mut(&id) else { continue };
            let parameter = parameters.get_mut(id);
            let update = AdamW {
                lr: lr as f32,
                beta1: settings.beta1 as f32,
                beta2: settings.beta2 as f32,
                eps: settings.eps as f32,
                weight_decay: if decays(&parameter.name) { settings.weight_decay as f32 } else { 0.0 },
                step,
                gradient_scale: clip(norm, settings.max_grad_norm) as f32,
            };
            let name = parameter.name.clone();
            let weights = parameter.buffer_mut().ok_or(Error::ParameterHeld { name })?;
            backend.adamw(weights, gradient, &mut moments.m, &mut moments.v, update);
        }
        Ok(())
    }
}

/// The factor that brings a gradient of this norm down to the limit; 1 where there is none.
fn clip(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 { (limit / (norm + CLIP_EPSILON)).min(1.0) } else { 1.0 }
}

/// Whether weight decay applies: to everything but biases and norms.
pub fn decays(name: &str) -> bool {
    !name.ends_with(".bias") && !name.contains("norm")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clipping_and_decay() {
        assert_eq!(clip(0.5, 1.0), 1.0);
        assert!((clip(4.0, 1.0) - 0.25).abs() < 1e-6);
        assert_eq!(clip(4.0, 0.0), 1.0);
        for (name, expected) in [
            ("embed.weight", true),
            ("blocks.0.attention.q.weight", true),
            ("blocks.0.attention.q.bias", false),
            ("blocks.0.norm_mlp.weight", false),
            ("norm_final.weight", false),
            ("blocks.0.attention.q_norm.weight", false),
            ("blocks.0.attention.q.lora_a", true),
            ("score.weight", true),
        ] {
            assert_eq!(decays(name), expected, "{name}");
        }
    }
}
