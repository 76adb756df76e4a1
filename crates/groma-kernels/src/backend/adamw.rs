//! The optimizer's step.

/// One AdamW step (Loshchilov & Hutter 2019, as PyTorch writes it).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdamW {
    /// Learning rate of this step.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// Steps done, this one included; starts at 1.
    pub step: u64,
    /// The gradient is multiplied by this first (clipping, accumulation).
    pub gradient_scale: f32,
}
