//! How queries are handed out: siblings together, so that the keys of their ancestors are gathered once.
use super::{Call, Row};
use crate::AttentionSegment;
use std::ops::Range;

/// Rows (queries times heads of a group) of a task, at most, unless a single query has more.
const ROWS: usize = 252;

/// Some consecutive queries of one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Index of the segment.
    pub(super) segment: usize,
    /// Queries of the segment.
    pub(super) queries: Range<usize>,
}

/// Pieces of segments that have the same ancestors.
pub(super) type Task = Vec<Piece>;

/// Cuts the queries of some segments into tasks.
pub(super) fn tasks(segments: &[AttentionSegment], range: Range<usize>, group: usize) -> Vec<Task> {
    let most = (ROWS / group).max(1);
    let mut tasks: Vec<Task> = Vec::new();
    let mut room = 0;
    let mut previous: Option<&AttentionSegment> = None;
    for index in range {
        let segment = &segments[index];
        let sibling = previous.is_some_and(|p| p.position == segment.position && p.ancestors == segment.ancestors);
        if !sibling {
            room = 0;
        }
        let mut first = 0;
        while first < segment.len {
            let whole = segment.len - first;
            // A segment that fits into a task of its own is not cut to fill another.
            if room == 0 || (whole <= most && whole > room) {
                tasks.push(Vec::new());
                room = most;
            }
            let count = whole.min(room);
            if let Some(task) = tasks.last_mut() {
                task.push(Piece { segment: index, queries: first..first + count });
            }
            room -= count;
            first += count;
        }
        previous = Some(segment);
    }
    tasks
}

impl Call<'_> {
    /// The rows of a piece for one key head: the heads of a query side by side.
    pub(super) fn rows(&self, piece: &Piece, kv_head: usize) -> impl Iterator<Item = Row> + use<> {
        let segment = &self.layout.segments[piece.segment];
        let (query_start, position) = (segment.query_start, segment.position);
        let (heads, head_dim, group) = (self.shape.heads, self.shape.head_dim, self.group());
        piece.queries.clone().flat_map(move |query| {
            (kv_head * group..(kv_head + 1) * group).map(move |head| {
                let index = (query_start + query) * heads + head;
                Row { start: index * head_dim, index, position: position + query }
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::KeySpan;

    fn segment(len: usize, parent: usize) -> AttentionSegment {
        let ancestors = vec![KeySpan { start: parent, len: 9, position: 0 }];
        AttentionSegment { query_start: 0, len, key_start: 0, position: 9, ancestors }
    }

    #[test]
    fn siblings_share_a_task_and_long_segments_are_cut() {
        let segments = [segment(100, 0), segment(100, 0), segment(100, 0), segment(5, 7), segment(600, 8)];
        let tasks = tasks(&segments, 0..5, 1);
        let shape: Vec<Vec<(usize, usize)>> =
            tasks.iter().map(|task| task.iter().map(|piece| (piece.segment, piece.queries.len())).collect()).collect();
        let want =
            vec![vec![(0, 100), (1, 100)], vec![(2, 100)], vec![(3, 5)], vec![(4, 252)], vec![(4, 252)], vec![(4, 96)]];
        assert_eq!(shape, want);
    }
}
