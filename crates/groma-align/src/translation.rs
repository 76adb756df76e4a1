//! What a teacher that has tokens of its own reads in a sequence's place.

use crate::sequence::Sequence;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What a teacher with tokens of its own reads of a sequence.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Translation {
    /// Prompt and completion in the teacher's tokens.
    pub sequence: Sequence,
    /// Where both say the same, in order.
    pub spans: Vec<Span>,
}

/// Tokens that spell the same bytes, as places among the scored tokens of both sequences; neither is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// Of the sequence.
    pub own: Range<usize>,
    /// Of its translation.
    pub its: Range<usize>,
}
