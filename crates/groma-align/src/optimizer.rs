//! AdamW over the parameters that train, with clipping, as PyTorch and Hugging Face's Trainer do it.

use crate::Error;
use crate::training::Training;
use groma_kernels::{AdamW, Buffer, Gradients, ParameterId};
use groma_model::Transformer;
use std::collections::BTreeMap;

/// Added to the norm before it divides, as in `torch.nn.utils.clip_grad_norm_`.
const CLIP_EPSILON: f64 = 1e-6;

/// First and second moments of one tensor.
#[derive(Debug)]
pub(crate) struct Moments {
    pub(crate) m: Buffer,
    pub(crate) v: Buffer,
}

/// The optimizer's state.
#[derive(Debug, Default)]
pub(crate) struct Optimizer {
    pub(crate) moments: BTreeMap<ParameterId, Moments>,
}

impl Optimizer {
    /// Moments at zero for each parameter that trains.
    pub(crate) fn new(model: &Transformer) -> Self {
        let backend = model.backend();
        let trainable = model.parameters().iter().filter(|(_, parameter)| parameter.trainable);
        // Uploaded, as they stay for good.
        let zero = |len| Moments { m: backend.upload(&vec![0.0; len]), v: backend.upload(&vec![0.0; len]) };
        let moments = trainable.map(|(id, parameter)| (id, zero(parameter.rows * parameter.width))).collect();
        Optimizer { moments }
    }

    /// One step. `norm` is that of the gradients, which must be finite.
    pub(crate) fn step(
        &mut self,
        model: &mut Transformer,
        gradients: &Gradients,
        training: &Training,
        at: (u64, f64),
        norm: f64,
    ) -> Result<(), Error> {
        let backend = model.backend().clone();
        let (step, lr) = at;
        for (id, gradient) in gradients.iter() {
            let Some(moments) = self.moments.get_mut(&id) else { continue };
            let parameter = model.parameters_mut().get_mut(id);
            let decays = decays(&parameter.name);
            let update = AdamW {
                lr: lr as f32,
                beta1: training.adam_beta1 as f32,
                beta2: training.adam_beta2 as f32,
                eps: training.adam_epsilon as f32,
                weight_decay: if decays { training.weight_decay as f32 } else { 0.0 },
                step,
                gradient_scale: clip(norm, training.max_grad_norm) as f32,
            };
            let name = parameter.name.clone();
            let weights = parameter.buffer_mut().ok_or_else(|| crate::state::held(&name))?;
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
pub(crate) fn decays(name: &str) -> bool {
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
