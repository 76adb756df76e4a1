//! The registry of methods: one file and one line each.

mod distillation;
mod dpo;
mod grpo;
mod kto;
mod policy;
mod reward;
mod rloo;
mod sft;

pub use reward::pair_loss as reward_pair_loss;

use crate::Method;

/// All methods.
pub static METHODS: &[&Method] = &[
    &sft::METHOD,
    &distillation::METHOD,
    &reward::METHOD,
    &dpo::METHOD,
    &kto::METHOD,
    &rloo::METHOD,
    &grpo::METHOD,
];
