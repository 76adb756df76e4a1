//! Thresholds.

/// What a threshold lets through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    /// `x` where `x > theta`, else 0 (JumpReLU).
    Jump,
    /// 1 where `x > theta`, else 0: what is counted for an L0 norm.
    Step,
}

/// Thresholds of the columns of a matrix, see [`crate::Backend::threshold`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ThresholdShape {
    /// Length of a row, and number of thresholds.
    pub width: usize,
    /// What is let through.
    pub kind: Threshold,
    /// Width of the window around a threshold in which its gradient sees values.
    pub bandwidth: f32,
}
