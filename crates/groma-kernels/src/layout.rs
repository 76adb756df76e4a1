//! Which keys each query sees: a forest of segments over the rows of the query and key buffers.

/// A run of key rows, all visible to a segment (up to its window).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeySpan {
    /// First row in the key and value buffers.
    pub start: usize,
    /// Number of rows.
    pub len: usize,
    /// Path position of the first row; the rest follow one by one.
    pub position: usize,
}

/// A run of queries that share their ancestors. Query `i` of the segment sees all ancestor spans and own keys `0..=i`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttentionSegment {
    /// First row in the query buffer.
    pub query_start: usize,
    /// Number of queries.
    pub len: usize,
    /// Row of the first own key in the key and value buffers.
    pub key_start: usize,
    /// Path position of the first query: the sum of the lengths of its ancestors.
    pub position: usize,
    /// Ancestors from the root down; together they cover positions `0..position` without gaps.
    pub ancestors: Vec<KeySpan>,
}

/// A forest of segments, each after its ancestors.
///
/// `trees` lists ranges of `segments` that share no key rows with each other, so that the backward pass may work on them
/// in parallel. Query rows are covered exactly once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttentionLayout {
    /// All segments.
    pub segments: Vec<AttentionSegment>,
    /// Ranges of `segments`, one per tree.
    pub trees: Vec<std::ops::Range<usize>>,
    /// Rows of the query buffer.
    pub queries: usize,
    /// Rows of the key and value buffers.
    pub keys: usize,
}
