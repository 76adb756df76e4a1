//! What a model that does not train is asked for: scores of continuations, rewards of texts, how their tokens were foreseen, distances
//! between two models, and samples; and the keys and values that are kept meanwhile.

mod action_mask;
pub(crate) mod batch;
mod by_advantage;
pub(crate) mod cache;
pub(crate) mod decoder;
pub(crate) mod divergence;
pub(crate) mod foreseen;
pub(crate) mod forest;
pub mod generate;
pub mod guidance;
pub(crate) mod pages;
pub(crate) mod prefixes;
pub mod rewards;
pub(crate) mod room;
pub mod sampling;
pub mod score;
