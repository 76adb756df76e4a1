//! The weights of a model in host memory, by canonical name.

use std::collections::BTreeMap;

/// An array of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Sizes, slowest axis first; see [`crate::parameters`].
    pub shape: Vec<usize>,
    /// Values, row-major.
    pub values: Vec<f32>,
}

/// Tensors by canonical name.
pub type Weights = BTreeMap<String, Tensor>;
