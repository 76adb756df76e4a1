//! Attention.

/// Everything of an attention call but the buffers and the layout.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AttentionShape {
    /// Query heads.
    pub heads: usize,
    /// Key/value heads; divides `heads`.
    pub kv_heads: usize,
    /// Width of a head.
    pub head_dim: usize,
    /// Multiplies `q . k`.
    pub scale: f32,
    /// Gemma 2's `cap * tanh(score / cap)`, before the mask.
    pub softcap: Option<f32>,
    /// A query at position `p` sees keys at positions `> p - window`.
    pub window: Option<usize>,
    /// How keys and values lie in their buffers.
    pub key_order: KeyOrder,
}

/// Keys of a panel of [`KeyOrder::Cached`].
pub const KEY_PANEL: usize = 32;

/// How keys and values lie in their buffers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyOrder {
    /// Row after row, `kv_heads * head_dim` values each.
    #[default]
    Rows,
    /// As a cache keeps them that is read at every step, and [`crate::Backend::cache_rows`] writes them. Keys in panels of
    /// [`KEY_PANEL`] rows, each turned, as products read them: element `d` (of all heads) of row `r` at
    /// `(r / KEY_PANEL * width + d) * KEY_PANEL + r % KEY_PANEL`. Values head by head: element `d` of row `r` of head `h` at
    /// `(h * rows + r) * head_dim + d`. The rows are a multiple of `KEY_PANEL`, and the last panel is never used. For
    /// forward passes only.
    Cached,
}
