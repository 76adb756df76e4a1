//! The tokens of one pass of a generation.

use groma_kernels::{AttentionLayout, AttentionSegment, KeySpan};

use crate::inference::pages::Lane;
use crate::inference::prefixes::Kept;

/// The tokens of a pass, where each stands, and where its keys and values go.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) ids: Vec<u32>,
    pub(crate) positions: Vec<u32>,
    /// Rows of the cache.
    pub(crate) rows: Vec<u32>,
    segments: Vec<AttentionSegment>,
    /// What is kept of them beyond the call.
    pub(crate) kept: Kept,
}

impl Batch {
    /// Adds tokens that follow each other from a position of a lane on, behind what lies above it; the row of the first.
    pub(crate) fn push(&mut self, (tokens, position): (&[u32], usize), (above, lane): (&[KeySpan], &Lane)) -> u32 {
        let at = self.ids.len();
        for span in lane.spans(position..position + tokens.len()) {
            let mut ancestors = above.to_vec();
            ancestors.extend(lane.spans(0..span.position));
            let query_start = at + span.position - position;
            let (len, key_start, position) = (span.len, span.start, span.position);
            self.segments.push(AttentionSegment { query_start, len, key_start, position, ancestors });
            self.rows.extend((span.start..span.start + span.len).map(|row| row as u32));
        }
        self.ids.extend(tokens);
        self.positions.extend((position..position + tokens.len()).map(|position| position as u32));
        at as u32
    }

    /// Notes where rows are kept, which lie from `at` on.
    pub(crate) fn keep(&mut self, places: &[Option<u32>], at: u32) {
        let kept = places.iter().zip(at..).filter_map(|(place, row)| Some((row, (*place)?)));
        let (from, to): (Vec<u32>, Vec<u32>) = kept.unzip();
        self.kept.from.extend(from);
        self.kept.to.extend(to);
    }

    /// What the rows see: keys are rows of a cache of so many.
    pub(crate) fn layout(self, keys: usize) -> AttentionLayout {
        let trees = std::iter::once(0..self.segments.len()).collect();
        AttentionLayout { trees, queries: self.ids.len(), keys, segments: self.segments }
    }

    /// The same where only the rows `asked` ask, ascending.
    pub(crate) fn layout_of(&self, asked: &[u32], keys: usize) -> AttentionLayout {
        let one = |(query_start, &row): (usize, &u32)| {
            let index = self.segments.partition_point(|segment| segment.query_start <= row as usize) - 1;
            let segment = &self.segments[index];
            let offset = row as usize - segment.query_start;
            let mut ancestors = segment.ancestors.clone();
            if offset > 0 {
                ancestors.push(KeySpan { start: segment.key_start, len: offset, position: segment.position });
            }
            let (key_start, position) = (segment.key_start + offset, segment.position + offset);
            AttentionSegment { query_start, len: 1, key_start, position, ancestors }
        };
        let segments: Vec<AttentionSegment> = asked.iter().enumerate().map(one).collect();
        AttentionLayout { trees: std::iter::once(0..segments.len()).collect(), queries: segments.len(), keys, segments }
    }
}
