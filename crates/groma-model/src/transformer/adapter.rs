//! An adapter that is attached.

use std::collections::BTreeMap;

use groma_kernels::ParameterId;

/// Its factors are among the model's parameters.
#[derive(Clone, Debug)]
pub(super) struct Adapter {
    pub(super) name: String,
    pub(super) scale: f32,
    pub(super) dropout: f32,
    /// Factors `a` and `b` by canonical module name.
    pub(super) pairs: BTreeMap<String, (ParameterId, ParameterId)>,
}
