//! The kinds of stages.

pub(crate) mod compare;
pub(crate) mod divergence;
pub(crate) mod generate;
pub(crate) mod measure;
pub(crate) mod organism;
pub(crate) mod train;
