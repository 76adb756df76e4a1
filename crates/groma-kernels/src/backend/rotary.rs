//! Rotary embeddings.

/// How the rotated pairs of a rotary embedding lie in a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RotaryStyle {
    /// Element `i` pairs with `i + rotated / 2` (Llama, NeoX and all Hugging Face families).
    Halves,
    /// Element `2 i` pairs with `2 i + 1` (the RoFormer paper, GPT-J).
    Interleaved,
}

/// A rotary embedding applied to `rows x heads x head_dim`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RotaryShape {
    /// Number of rows (tokens).
    pub rows: usize,
    /// Number of heads in a row.
    pub heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// How many leading elements of a head are rotated; even, at most `head_dim`.
    pub rotated: usize,
    /// Pairing of the elements.
    pub style: RotaryStyle,
}
