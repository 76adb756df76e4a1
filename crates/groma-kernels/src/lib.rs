//! Numeric kernels, forward and backward, and the tape over them.
//!
//! The only crate of groma with `unsafe` code. Every backward kernel is checked against central differences.
mod backend;
mod buffer;
mod cpu;
mod edit;
mod error;
mod layout;
mod likeliest;
mod mask;
mod naive;
mod pool;
mod tape;
pub use backend::{
    Activation, AdamW, AttentionShape, Backend, Comparison, Divergence, DivergenceOutput, Edit, HeadOutput, HeadShape,
    HeadWants, KEY_PANEL, KeyOrder, LinearOutput, NormKind, NormShape, RotaryShape, RotaryStyle, Support, Teacher,
    Threshold, ThresholdShape, TopTokens, WeightGradient,
};
pub use buffer::Buffer;
pub use cpu::{Cpu, Level, Precision, for_each_mut, together};
pub use error::Error;
pub use layout::{AttentionLayout, AttentionSegment, KeySpan};
pub use naive::Naive;
pub use pool::MemoryUse;
pub use tape::{
    Columns, Cotangent, DivergenceVar, Gradients, HeadVar, NormParameters, ParameterId, RotaryTable, Tape, TeacherVar,
    Var, WatchedGradients,
};
