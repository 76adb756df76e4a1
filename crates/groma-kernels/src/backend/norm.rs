//! Normalisations.

/// Root-mean-square or mean-and-variance normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `x / sqrt(mean(x^2) + eps)` (Zhang & Sennrich 2019).
    Rms,
    /// `(x - mean) / sqrt(var + eps)` with the biased variance (Ba et al. 2016).
    Layer,
}

/// A normalisation over the last axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormShape {
    /// Number of rows normalised.
    pub rows: usize,
    /// Length of a row.
    pub width: usize,
    /// Which statistics are used.
    pub kind: NormKind,
    /// Added under the square root.
    pub eps: f32,
    /// Added to each weight before it multiplies: 1 for Gemma, 0 elsewhere.
    pub weight_offset: f32,
}
