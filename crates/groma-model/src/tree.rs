//! The token tree: token sequences that share prefixes, each shared token held once.
//!
//! A tree is a forest of *segments*, runs of tokens with a parent. A token's position is its depth, unless said otherwise; it sees its own segment
//! up to itself and its ancestor segments whole. Rows are laid out in the order of insertion, in which ancestors come
//! first and the trees of the forest do not interleave. It is the only batch type of scoring, training and sampling: a
//! padded batch is the forest of its rows, a preference pair a prompt with two children.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use groma_kernels::{AttentionLayout, AttentionSegment, KeySpan};

use crate::hooks::Cell;

/// A segment of a [`TokenTree`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentId(u32);

impl SegmentId {
    /// Its place among the segments of its tree.
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Segment {
    parent: Option<SegmentId>,
    rows: Range<usize>,
    /// Depth of the first token: how many tokens it sees.
    position: usize,
    /// Its position, which is its depth unless tokens before it are not seen.
    place: usize,
    /// Which tree of the forest.
    tree: usize,
}

/// A forest of token segments. See the [module](self).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenTree {
    tokens: Vec<u32>,
    segments: Vec<Segment>,
    trees: usize,
}

/// Which hidden rows predict which tokens: `rows[i]` predicts `targets[i]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Predictors {
    /// Rows of the tree.
    pub rows: Vec<u32>,
    /// The tokens that follow them.
    pub targets: Vec<u32>,
}

impl TokenTree {
    /// An empty forest.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a new tree with `tokens`; empty runs are allowed and hold no rows.
    pub fn root(&mut self, tokens: &[u32]) -> SegmentId {
        self.trees += 1;
        self.push(None, 0, 0, tokens)
    }

    /// Continues `parent`, which must belong to the tree begun last.
    ///
    /// # Panics
    /// If `parent` lies in an earlier tree: its rows would no longer be contiguous.
    pub fn child(&mut self, parent: SegmentId, tokens: &[u32]) -> SegmentId {
        self.child_at(parent, self.path_len(parent), tokens)
    }

    /// The same where the first of the tokens stands at another position than behind the last that it sees: between both stand tokens
    /// that it does not see. A window reaches as many tokens back as elsewhere, of those that are seen.
    ///
    /// # Panics
    /// If `parent` lies in an earlier tree.
    pub fn child_at(&mut self, parent: SegmentId, place: usize, tokens: &[u32]) -> SegmentId {
        let segment = &self.segments[parent.index()];
        assert_eq!(segment.tree + 1, self.trees, "only the last tree of a forest grows");
        let position = segment.position + segment.rows.len();
        self.push(Some(parent), position, place, tokens)
    }

    fn push(&mut self, parent: Option<SegmentId>, position: usize, place: usize, tokens: &[u32]) -> SegmentId {
        let start = self.tokens.len();
        self.tokens.extend_from_slice(tokens);
        let rows = start..self.tokens.len();
        self.segments.push(Segment { parent, rows, position, place, tree: self.trees - 1 });
        SegmentId(self.segments.len() as u32 - 1)
    }

    /// Adds all trees of `other`; returns by how much its segment ids grew (see [`TokenTree::shifted`]).
    pub fn append(&mut self, other: &TokenTree) -> u32 {
        let (row, segment, tree) = (self.tokens.len(), self.segments.len() as u32, self.trees);
        self.tokens.extend_from_slice(&other.tokens);
        self.segments.extend(other.segments.iter().map(|s| Segment {
            parent: s.parent.map(|p| SegmentId(p.0 + segment)),
            rows: s.rows.start + row..s.rows.end + row,
            position: s.position,
            place: s.place,
            tree: s.tree + tree,
        }));
        self.trees += other.trees;
        segment
    }

    /// The id that `segment` of an appended tree has now.
    pub fn shifted(segment: SegmentId, by: u32) -> SegmentId {
        SegmentId(segment.0 + by)
    }

    /// All tokens, by row.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no token.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// All segments, ancestors first.
    pub fn segments(&self) -> impl Iterator<Item = SegmentId> + use<> {
        (0..self.segments.len() as u32).map(SegmentId)
    }

    /// Rows of a segment.
    pub fn rows(&self, segment: SegmentId) -> Range<usize> {
        self.segments[segment.index()].rows.clone()
    }

    /// The segment that `segment` continues.
    pub fn parent(&self, segment: SegmentId) -> Option<SegmentId> {
        self.segments[segment.index()].parent
    }

    /// Length of the path from the root to the end of `segment`, in tokens; those that it does not see count.
    pub fn path_len(&self, segment: SegmentId) -> usize {
        let segment = &self.segments[segment.index()];
        segment.place + segment.rows.len()
    }

    /// Length of the longest path, in tokens.
    pub fn depth(&self) -> usize {
        self.segments().map(|s| self.path_len(s)).max().unwrap_or(0)
    }

    /// Tokens from the root to the end of `segment`.
    pub fn path_tokens(&self, segment: SegmentId) -> Vec<u32> {
        self.path_rows(segment).into_iter().map(|row| self.tokens[row as usize]).collect()
    }

    /// Rows of the path from the root to the end of `segment`.
    pub fn path_rows(&self, segment: SegmentId) -> Vec<u32> {
        self.ancestor_spans(Some(segment)).iter().flat_map(|s| s.start as u32..(s.start + s.len) as u32).collect()
    }

    /// The row of the last token of the path that ends in `segment`; `None` if the path is empty.
    pub fn last_row(&self, segment: SegmentId) -> Option<usize> {
        std::iter::successors(Some(segment), |&s| self.parent(s)).find_map(|s| self.rows(s).last())
    }

    /// Which rows predict the tokens of `segment`. The first token is predicted by the last row before it; the first token
    /// of a whole tree by nobody, so it is left out.
    pub fn predictors(&self, segment: SegmentId) -> Predictors {
        let before = self.parent(segment).and_then(|parent| self.last_row(parent));
        let own = self.rows(segment);
        let first = before.is_none() as usize;
        let rows = before.into_iter().chain(own.clone()).map(|row| row as u32).take(own.len() - first.min(own.len()));
        Predictors { rows: rows.collect(), targets: self.tokens[own].iter().skip(first).copied().collect() }
    }

    /// Segments that no other continues, in order.
    pub fn leaves(&self) -> Vec<SegmentId> {
        let parents: BTreeSet<SegmentId> = self.segments.iter().filter_map(|segment| segment.parent).collect();
        self.segments().filter(|segment| !parents.contains(segment)).collect()
    }

    /// What the rows are of each of some sequences, given by number and the segment in which it ends.
    pub(crate) fn cells(&self, sequences: impl IntoIterator<Item = (usize, SegmentId)>) -> Vec<Cell> {
        let of_path = |(sequence, end)| {
            let rows = self.path_rows(end).into_iter().enumerate();
            rows.map(move |(position, row)| Cell { sequence, position, row: row as usize })
        };
        sequences.into_iter().flat_map(of_path).collect()
    }

    /// Position of each row.
    pub fn positions(&self) -> Arc<[u32]> {
        self.segments.iter().flat_map(|s| (0..s.rows.len()).map(|i| (s.place + i) as u32)).collect()
    }

    /// What the attention kernel reads: keys are the rows of the tree itself.
    pub fn layout(&self) -> AttentionLayout {
        let mut layout = AttentionLayout { queries: self.len(), keys: self.len(), ..Default::default() };
        for tree in 0..self.trees {
            let start = layout.segments.len();
            let of_tree = self.segments.iter().filter(|s| s.tree == tree && !s.rows.is_empty());
            layout.segments.extend(of_tree.map(|s| AttentionSegment {
                query_start: s.rows.start,
                len: s.rows.len(),
                key_start: s.rows.start,
                position: s.position,
                ancestors: self.ancestor_spans(s.parent),
            }));
            layout.trees.push(start..layout.segments.len());
        }
        layout
    }

    /// The same where only the rows `queries` (ascending) ask: query `i` is row `queries[i]`, and keys are all rows.
    pub fn layout_of(&self, queries: &[u32]) -> AttentionLayout {
        let mut layout = AttentionLayout { queries: queries.len(), keys: self.len(), ..Default::default() };
        let (mut at, mut tree) = (0, None);
        for segment in &self.segments {
            while let Some(&first) = queries.get(at).filter(|&&row| segment.rows.contains(&(row as usize))) {
                let (first, offset) = (first as usize, first as usize - segment.rows.start);
                let in_run = |(i, &row): (usize, &u32)| row as usize == first + i && first + i < segment.rows.end;
                let len = queries[at..].iter().enumerate().take_while(|&pair| in_run(pair)).count();
                let mut ancestors = self.ancestor_spans(segment.parent);
                if offset > 0 {
                    ancestors.push(KeySpan { start: segment.rows.start, len: offset, position: segment.position });
                }
                let position = segment.position + offset;
                let index = layout.segments.len();
                layout.segments.push(AttentionSegment { query_start: at, len, key_start: first, position, ancestors });
                match layout.trees.last_mut().filter(|_| tree == Some(segment.tree)) {
                    Some(range) => range.end = index + 1,
                    None => layout.trees.push(index..index + 1),
                }
                (at, tree) = (at + len, Some(segment.tree));
            }
        }
        layout
    }

    /// Spans of a path, root first, as keys in this tree's rows.
    pub fn ancestor_spans(&self, last: Option<SegmentId>) -> Vec<KeySpan> {
        let mut spans: Vec<_> = std::iter::successors(last, |&s| self.parent(s))
            .map(|s| &self.segments[s.index()])
            .filter(|s| !s.rows.is_empty())
            .map(|s| KeySpan { start: s.rows.start, len: s.rows.len(), position: s.position })
            .collect();
        spans.reverse();
        spans
    }

    /// The radix forest of `sequences`, every common prefix held once, with the segment in which each sequence ends.
    ///
    /// Sequences with different first tokens become different trees. The order of `sequences` does not change the forest.
    pub fn share_prefixes(sequences: &[&[u32]]) -> (TokenTree, Vec<SegmentId>) {
        let mut order: Vec<usize> = (0..sequences.len()).collect();
        order.sort_by_key(|&i| sequences[i]);
        let mut tree = TokenTree::new();
        let mut ends = BTreeMap::new();
        let mut rest = order.as_slice();
        while !rest.is_empty() {
            let head = sequences[rest[0]].first();
            let count = rest.iter().take_while(|&&i| sequences[i].first() == head).count();
            let (group, after) = rest.split_at(count);
            tree.grow(None, 0, group, sequences, &mut ends);
            rest = after;
        }
        (tree, ends.into_values().collect())
    }

    /// Adds the sorted `group`, whose members agree up to `depth`, below `parent`.
    fn grow(
        &mut self,
        parent: Option<SegmentId>,
        depth: usize,
        group: &[usize],
        sequences: &[&[u32]],
        ends: &mut BTreeMap<usize, SegmentId>,
    ) {
        // Explicit stack: the depth of the recursion would be that of the data.
        let mut stack = vec![(parent, depth, group)];
        while let Some((parent, depth, group)) = stack.pop() {
            let (first, last) = (sequences[group[0]], sequences[group[group.len() - 1]]);
            let common = first[depth..].iter().zip(&last[depth..]).take_while(|(a, b)| a == b).count();
            let end = depth + common;
            let segment = match parent {
                Some(parent) => self.child(parent, &first[depth..end]),
                None => self.root(&first[depth..end]),
            };
            let finished = group.iter().take_while(|&&i| sequences[i].len() == end).count();
            ends.extend(group[..finished].iter().map(|&i| (i, segment)));
            let mut branches: Vec<&[usize]> =
                group[finished..].chunk_by(|&a, &b| sequences[a][end] == sequences[b][end]).collect();
            branches.reverse();
            stack.extend(branches.into_iter().map(|branch| (Some(segment), end, branch)));
        }
    }
}

/// Packs items of known `sizes` (tokens) into consecutive batches of at most `budget` tokens; an item that is larger than
/// the budget gets a batch of its own. Order is kept.
pub fn pack(sizes: &[usize], budget: usize) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut filled) = (0, 0);
    for (i, &size) in sizes.iter().enumerate() {
        if i > start && filled + size > budget {
            batches.push(start..i);
            (start, filled) = (i, 0);
        }
        filled += size;
    }
    if start < sizes.len() {
        batches.push(start..sizes.len());
    }
    batches
}

/// The distinct ones of some rows, ascending, and where each row is among them.
pub fn distinct_rows(rows: &[u32]) -> (Arc<[u32]>, Arc<[u32]>) {
    let mut distinct = rows.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let places = rows.iter().map(|row| distinct.partition_point(|other| other < row) as u32).collect();
    (distinct.into(), places)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_pair_shares_its_prompt() {
        let mut tree = TokenTree::new();
        let prompt = tree.root(&[1, 2, 3]);
        let chosen = tree.child(prompt, &[4, 5]);
        let rejected = tree.child(prompt, &[6]);
        assert_eq!(tree.predictors(chosen), Predictors { rows: vec![2, 3], targets: vec![4, 5] });
        assert_eq!(tree.predictors(rejected), Predictors { rows: vec![2], targets: vec![6] });
        assert_eq!(tree.predictors(prompt), Predictors { rows: vec![0, 1], targets: vec![2, 3] });
        assert_eq!(&*tree.positions(), &[0, 1, 2, 3, 4, 3]);
        assert_eq!(tree.path_tokens(rejected), [1, 2, 3, 6]);
        let layout = tree.layout();
        assert_eq!(layout.trees, vec![0..3]);
        assert_eq!(layout.segments[2].ancestors, vec![KeySpan { start: 0, len: 3, position: 0 }]);
    }

    #[test]
    fn what_is_not_seen_leaves_a_gap_in_positions_alone() {
        let mut tree = TokenTree::new();
        let root = tree.root(&[1, 2]);
        let unseen = tree.child(root, &[3]);
        let rest = tree.child_at(root, 3, &[4, 5]);
        assert_eq!(&*tree.positions(), &[0, 1, 2, 3, 4]);
        assert_eq!((tree.path_len(unseen), tree.path_len(rest)), (3, 5));
        assert_eq!((tree.path_rows(unseen), tree.path_rows(rest)), (vec![0, 1, 2], vec![0, 1, 3, 4]));
        let layout = tree.layout();
        assert_eq!((layout.segments[2].position, layout.segments[2].ancestors.len()), (2, 1));
        let mut forest = TokenTree::new();
        forest.append(&tree);
        assert_eq!(forest, tree);
    }

    #[test]
    fn empty_segments_hold_no_rows() {
        let mut tree = TokenTree::new();
        let root = tree.root(&[]);
        let child = tree.child(root, &[7, 8]);
        assert_eq!(tree.predictors(child), Predictors { rows: vec![0], targets: vec![8] });
        assert_eq!(tree.layout().segments.len(), 1);
        let empty = tree.child(child, &[]);
        assert_eq!(tree.predictors(empty), Predictors::default());
        assert_eq!(tree.last_row(empty), Some(1));
    }

    #[test]
    fn appended_trees_keep_their_shape() {
        let mut pair = TokenTree::new();
        let root = pair.root(&[1]);
        let leaf = pair.child(root, &[2, 3]);
        let mut forest = TokenTree::new();
        forest.root(&[9, 9]);
        let by = forest.append(&pair);
        let leaf = TokenTree::shifted(leaf, by);
        assert_eq!(forest.path_tokens(leaf), [1, 2, 3]);
        assert_eq!(forest.predictors(leaf).rows, [2, 3]);
        assert_eq!(forest.layout().trees, vec![0..1, 1..3]);
    }

    #[test]
    fn packing_respects_the_budget() {
        assert_eq!(pack(&[3, 3, 3, 9, 1], 6), vec![0..2, 2..3, 3..4, 4..5]);
        assert!(pack(&[], 6).is_empty());
    }

    proptest! {
        #[test]
        fn shared_prefixes_spell_every_sequence(
            sequences in proptest::collection::vec(proptest::collection::vec(0u32..3, 0..7), 0..12),
        ) {
            let borrowed: Vec<&[u32]> = sequences.iter().map(Vec::as_slice).collect();
            let (tree, ends) = TokenTree::share_prefixes(&borrowed);
            prop_assert_eq!(ends.len(), sequences.len());
            for (sequence, &end) in sequences.iter().zip(&ends) {
                prop_assert_eq!(&tree.path_tokens(end), sequence);
            }
            let mut prefixes = std::collections::BTreeSet::new();
            for sequence in &sequences {
                for end in 1..=sequence.len() {
                    prefixes.insert(&sequence[..end]);
                }
            }
            prop_assert_eq!(tree.len(), prefixes.len());
        }
    }
}
