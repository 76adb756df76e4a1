//! The prompts of a generation as one forest, every common beginning held once.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::inference::pages::Pages;
use crate::{SegmentId, TokenTree};

/// Prompts and, below them, places for their samples.
#[derive(Debug)]
pub(crate) struct Forest {
    pub(crate) tree: TokenTree,
    /// Of each prompt, where it ends.
    ends: Vec<SegmentId>,
    max_new_tokens: usize,
    max_positions: usize,
}

impl Forest {
    /// Of prompts, of which those share what they begin with that stand in one of the lists of `alike`; for samples of so many
    /// tokens and a model of so many positions.
    pub(crate) fn new(
        prompts: &[&[u32]],
        alike: &[Vec<usize>],
        (max_new_tokens, max_positions): (usize, usize),
    ) -> Self {
        let mut tree = TokenTree::new();
        let mut ends = BTreeMap::new();
        for numbers in alike {
            let these: Vec<&[u32]> = numbers.iter().map(|&number| prompts[number]).collect();
            let (of_these, their_ends) = TokenTree::share_prefixes(&these);
            let by = tree.append(&of_these);
            let their_ends = their_ends.into_iter().map(|end| TokenTree::shifted(end, by));
            ends.extend(numbers.iter().copied().zip(their_ends));
        }
        Forest { tree, ends: ends.into_values().collect(), max_new_tokens, max_positions }
    }

    /// How many prompts there are.
    pub(crate) fn prompts(&self) -> usize {
        self.ends.len()
    }

    /// Segments of a prompt, the root first.
    pub(crate) fn path(&self, prompt: usize) -> Vec<SegmentId> {
        self.down_to(Some(self.ends[prompt]))
    }

    /// Segments above one, the root first.
    pub(crate) fn above(&self, segment: SegmentId) -> Vec<SegmentId> {
        self.down_to(self.tree.parent(segment))
    }

    fn down_to(&self, last: Option<SegmentId>) -> Vec<SegmentId> {
        let mut path: Vec<SegmentId> = std::iter::successors(last, |&segment| self.tree.parent(segment)).collect();
        path.reverse();
        path
    }

    /// The last row of a prompt.
    pub(crate) fn last_row(&self, prompt: usize) -> Option<usize> {
        self.tree.last_row(self.ends[prompt])
    }

    /// Positions of a segment.
    pub(crate) fn positions(&self, segment: SegmentId) -> Range<usize> {
        let end = self.tree.path_len(segment);
        end - self.tree.rows(segment).len()..end
    }

    /// Positions of the first tokens behind a prompt.
    pub(crate) fn behind(&self, prompt: usize, tokens: usize) -> Range<usize> {
        let first = self.tree.path_len(self.ends[prompt]);
        first..first + tokens
    }

    /// Tokens of a sample of a prompt that are read, at most: the last that is drawn is not.
    pub(crate) fn longest(&self, prompt: usize) -> usize {
        let room = self.max_positions.saturating_sub(self.behind(prompt, 0).end);
        self.max_new_tokens.min(room.max(1)) - 1
    }

    /// Whether a sample of so many tokens is as long as the model can read.
    pub(crate) fn is_full(&self, prompt: usize, tokens: usize) -> bool {
        self.behind(prompt, tokens).end >= self.max_positions
    }

    /// Pages of a segment.
    pub(crate) fn pages_of(&self, segment: SegmentId) -> usize {
        Pages::of(self.positions(segment))
    }

    /// Pages of so many tokens behind a prompt, or as many as are read.
    pub(crate) fn pages_behind(&self, prompt: usize, tokens: usize) -> usize {
        Pages::of(self.behind(prompt, tokens.min(self.longest(prompt))))
    }

    /// Pages of all that there may be at once, where `samples` of each prompt are decoded and of all these no more than
    /// `sequences` at once; and of what must fit in any case: a prompt and `together` of its samples.
    pub(crate) fn pages(&self, (samples, together): (usize, usize), sequences: usize) -> (usize, usize) {
        let own = |prompt| self.pages_behind(prompt, usize::MAX);
        let path = |prompt| self.path(prompt).into_iter().map(|segment| self.pages_of(segment)).sum::<usize>();
        let prompts = || 0..self.prompts();
        let longest = prompts().map(own).max().unwrap_or(0);
        let below = prompts().map(own).sum::<usize>().saturating_mul(samples);
        let below = below.min(sequences.max(together).saturating_mul(longest));
        let segments: usize = self.tree.segments().map(|segment| self.pages_of(segment)).sum();
        let least = prompts().map(|prompt| path(prompt) + together * own(prompt)).max().unwrap_or(0);
        (segments + below, least)
    }

    /// Of each sample its number and where its prompt ends.
    pub(crate) fn sequences(&self, samples: usize) -> impl Iterator<Item = (usize, SegmentId)> {
        let of = move |(prompt, &end): (usize, &SegmentId)| (0..samples).map(move |i| (prompt * samples + i, end));
        self.ends.iter().enumerate().flat_map(of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_those_of_all_at_once_and_of_one_path() {
        let shared: Vec<u32> = (0..40).collect();
        let (first, second) = ([&shared[..], &[1; 10]].concat(), [&shared[..], &[2; 30]].concat());
        let forest = Forest::new(&[&first, &second], &[vec![0, 1]], (61, 128));
        // Positions 0..40 lie in two pages, 40..50 in one, 40..70 in two; samples at 50..110 and 70..127, where the model ends.
        assert_eq!((forest.longest(0), forest.longest(1)), (60, 57));
        assert_eq!(forest.pages((3, 1), usize::MAX), (5 + 3 * (3 + 2), 2 + 1 + 3));
        assert_eq!(forest.pages((3, 3), 2), (5 + 3 * 3, 2 + 1 + 3 * 3));
        assert_eq!(forest.pages_behind(0, 20), 2);
    }
}
