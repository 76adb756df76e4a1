//! Tokens in words, for pictures.

use groma_lm::Encoder;

/// Tokens of a text that are drawn, the last ones.
pub(crate) const MOST_DRAWN: usize = 64;

/// A token as a reader sees it: its text, or its name where that is white space.
pub(crate) fn piece(encoder: &Encoder<'_>, id: u32) -> String {
    let text = encoder.tokenizer.token_text(id).unwrap_or_default();
    let shown = if text.trim().is_empty() { encoder.tokenizer.token(id).unwrap_or_default() } else { text };
    shown.trim().chars().take(16).collect()
}

/// The same for each token of a text.
pub(crate) fn pieces(encoder: &Encoder<'_>, ids: &[u32]) -> Vec<String> {
    ids.iter().map(|&id| piece(encoder, id)).collect()
}
