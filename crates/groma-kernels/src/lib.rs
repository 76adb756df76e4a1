//! Numeric kernels, forward and backward, and the tape over them.
//!
//! The only crate of groma with `unsafe` code. Every backward kernel is checked against central differences.
mod backend;
mod layout;
pub use backend::*;
pub use layout::{AttentionLayout, AttentionSegment, KeySpan};
/// Device memory.
#[derive(Debug)]
pub struct Buffer;
