//! Arrays of f32 by name.

use std::collections::BTreeMap;

/// A dense array, row-major.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tensor {
    /// Extent of each dimension, the slowest first.
    pub shape: Vec<usize>,
    /// All elements; as many as the product of `shape`.
    pub values: Vec<f32>,
}

/// The weights of a model by the names of [`crate::parameters`].
pub type Weights = BTreeMap<String, Tensor>;

impl Tensor {
    /// All zeros.
    pub fn zeros(shape: Vec<usize>) -> Tensor {
        let values = vec![0.0; shape.iter().product()];
        Tensor { shape, values }
    }

    /// The matrix with rows and columns exchanged. Anything but a matrix stays as it is.
    pub fn transposed(&self) -> Tensor {
        let [rows, columns] = self.shape[..] else { return self.clone() };
        let mut values = vec![0.0; self.values.len()];
        for (row, line) in self.values.chunks_exact(columns.max(1)).enumerate() {
            for (column, value) in line.iter().enumerate() {
                values[column * rows + row] = *value;
            }
        }
        Tensor { shape: vec![columns, rows], values }
    }

    /// How many values are NaN or infinite.
    pub fn non_finite(&self) -> usize {
        non_finite(&self.values)
    }
}

/// How many values are NaN or infinite.
pub(crate) fn non_finite(values: &[f32]) -> usize {
    values.iter().filter(|value| !value.is_finite()).count()
}
