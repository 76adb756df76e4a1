//! Tests of training as a whole, on tiny models.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests fail by panicking"
)]
mod adapters;
mod attributes;
mod backends;
mod distillation;
mod gold;
mod ilql;
mod losses;
mod memory;
mod moving;
mod ppo;
mod precision;
mod preflight;
mod proofs;
mod quark;
mod resume;
mod reward_models;
mod reward_server;
mod rewrites;
mod rollouts;
mod rows;
mod sdpo;
mod self_distillation;
mod settings;
mod support;
mod tilt;
mod training;
mod watching;
