//! Losses of supervised tokens: pure functions from a token's log-probability to value and slope, one kind a file.
//!
//! The loss of a batch is the mean over all its supervised tokens.

mod dft;
mod kind;
mod nll;

pub use kind::TokenLoss;

use crate::parameter::Variant;

/// All kinds.
pub const KINDS: &[TokenLoss] = &[nll::KIND, dft::KIND];

/// [`KINDS`] as choices of `loss_type`, and another name of the first: here nobody holds all logits in any case.
pub const VARIANTS: &[Variant] =
    &[nll::KIND.variant(), dft::KIND.variant(), Variant { id: CHUNKED, ..nll::KIND.variant() }];
const CHUNKED: &str = "chunked_nll";

/// The kind of that name.
pub fn kind(id: &str) -> Option<&'static TokenLoss> {
    let id = if id == CHUNKED { "nll" } else { id };
    KINDS.iter().find(|kind| kind.id == id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_its_kind() {
        assert!(VARIANTS.iter().all(|variant| kind(variant.id).is_some()) && kind("mse").is_none());
        assert!(KINDS.iter().all(|kind| VARIANTS.iter().any(|variant| variant.id == kind.id)));
        assert_eq!(kind(CHUNKED).map(|kind| kind.id), Some("nll"));
    }
}
