//! Conversations as text.

use std::ops::Range;

/// A rendered conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    /// The text.
    pub text: String,
    /// Bytes of the text that are answers, in order.
    pub assistant: Vec<Range<usize>>,
    /// Bytes of those that are not to be learned, which are not among `assistant`.
    pub unlearned: Vec<Range<usize>>,
    /// Bytes of the text where what the caller passes spells one of [`crate::Options::control_tokens`].
    pub spelled: Vec<Range<usize>>,
}
