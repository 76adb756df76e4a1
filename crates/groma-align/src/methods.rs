//! The registry of methods: one file and one line each.

mod cpo;
mod distillation;
mod dpo;
mod grpo;
mod kto;
mod orpo;
mod policy;
mod ppo;
mod pro;
mod ranking;
mod reward;
mod rloo;
mod rrhf;
mod sft;
mod simpo;
mod unlikelihood;

pub use reward::pair_loss as reward_pair_loss;

use crate::Method;

/// All methods.
pub static METHODS: &[&Method] = &[
    &sft::METHOD,
    &distillation::METHOD,
    &reward::METHOD,
    &dpo::METHOD,
    &kto::METHOD,
    &cpo::METHOD,
    &simpo::METHOD,
    &orpo::METHOD,
    &rrhf::METHOD,
    &pro::METHOD,
    &unlikelihood::METHOD,
    &rloo::METHOD,
    &grpo::METHOD,
    &ppo::METHOD,
];
