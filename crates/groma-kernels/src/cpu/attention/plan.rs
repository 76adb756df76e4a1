//! How queries are handed out: siblings together, so that the keys of their ancestors are gathered once.
use super::{BLOCK, Call, Row};
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

/// Rows of a task, at most, whose pieces go on behind different ancestors: enough to fill tiles, and few enough for threads.
const JOINT_ROWS: usize = 32;

/// A task of the forward pass, and how many blocks of keys all its pieces see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joint {
    pub(super) pieces: Task,
    pub(super) blocks: usize,
}

/// Small tasks together whose paths begin alike, as those of samples do that grow below one prompt.
pub(super) fn joint(segments: &[AttentionSegment], tasks: Vec<Task>, group: usize) -> Vec<Joint> {
    let rows = |task: &Task| task.iter().map(|piece| piece.queries.len() * group).sum::<usize>();
    let mut joints: Vec<(Joint, usize)> = Vec::new();
    for task in tasks {
        let of = |piece: Option<&Piece>| piece.map(|piece| &segments[piece.segment]);
        let own = of(task.first()).map_or(0, |segment| segment.position / BLOCK);
        if let Some((last, parts)) = joints.last_mut() {
            let alike = of(last.pieces.last()).zip(of(task.first())).map_or(0, |(a, b)| common(a, b) / BLOCK);
            let as_before = *parts == 1 || alike >= last.blocks;
            if alike > 0 && as_before && rows(&last.pieces) + rows(&task) <= JOINT_ROWS {
                last.pieces.extend(task);
                last.blocks = last.blocks.min(alike);
                *parts += 1;
                continue;
            }
        }
        joints.push((Joint { pieces: task, blocks: own }, 1));
    }
    joints.into_iter().map(|(joint, _)| joint).collect()
}

/// Positions from which on the ancestors of two segments differ.
fn common(a: &AttentionSegment, b: &AttentionSegment) -> usize {
    let mut position = 0;
    for (a, b) in a.ancestors.iter().zip(&b.ancestors) {
        if (a.start, a.position) != (b.start, b.position) {
            break;
        }
        position = a.position + a.len.min(b.len);
        if a.len != b.len {
            break;
        }
    }
    position
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
    fn samples_of_a_prompt_are_joined_as_far_as_they_share_it() {
        let sample = |prompt: usize, own: usize, len: usize| {
            let ancestors =
                vec![KeySpan { start: prompt, len: 150, position: 0 }, KeySpan { start: own, len, position: 150 }];
            AttentionSegment { query_start: 0, len: 1, key_start: own + len, position: 150 + len, ancestors }
        };
        let segments = [sample(0, 500, 9), sample(0, 600, 200), sample(0, 700, 1), sample(300, 800, 9), segment(40, 0)];
        let joints = joint(&segments, tasks(&segments, 0..5, 2), 2);
        let shape: Vec<(Vec<usize>, usize)> = joints
            .iter()
            .map(|joint| (joint.pieces.iter().map(|piece| piece.segment).collect(), joint.blocks))
            .collect();
        assert_eq!(shape, [(vec![0, 1, 2], 2), (vec![3], 2), (vec![4], 0)]);
        // No more than fill some tiles.
        let many: Vec<AttentionSegment> = (0..40).map(|i| sample(0, 500 + 40 * i, 7 + i)).collect();
        let joints = joint(&many, tasks(&many, 0..40, 2), 2);
        assert_eq!(joints.iter().map(|joint| joint.pieces.len()).collect::<Vec<_>>(), [16, 16, 8]);
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
