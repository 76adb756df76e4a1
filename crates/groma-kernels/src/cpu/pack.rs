//! Packed operands of matrix products.

/// A matrix in the order in which the product reads it.
#[derive(Debug)]
pub(crate) struct Packed;
