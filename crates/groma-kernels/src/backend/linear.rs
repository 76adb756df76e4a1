//! Linear layers.

use crate::buffer::Buffer;

/// One of the linear layers that read the same input, see [`crate::Backend::linears`].
#[derive(Debug)]
pub struct LinearOutput<'a> {
    /// Receives `[rows, outputs]`.
    pub y: &'a mut Buffer,
    /// `[outputs, inputs]`, as Hugging Face's Linear.
    pub w: &'a Buffer,
    /// One value an output.
    pub bias: Option<&'a Buffer>,
    /// Width of `y`.
    pub outputs: usize,
}

/// The weight gradient of one of them, see [`crate::Backend::linear_backward_weights`].
#[derive(Debug)]
pub struct WeightGradient<'a> {
    /// `[outputs, inputs]`.
    pub dw: &'a mut Buffer,
    /// Whether `dw` is overwritten.
    pub fresh: bool,
    /// `[rows, outputs]`.
    pub dy: &'a Buffer,
    /// Width of `dy`.
    pub outputs: usize,
}
