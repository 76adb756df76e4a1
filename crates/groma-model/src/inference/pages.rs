//! Rows of a cache in pages, handed out and taken back.

use std::collections::BTreeSet;
use std::ops::Range;

use groma_kernels::{KEY_PANEL, KeySpan};

/// Rows of a page: a panel of keys, so that none is read by two owners.
const PAGE: usize = KEY_PANEL;

/// The pages of a cache that nobody has.
#[derive(Debug)]
pub(crate) struct Pages {
    free: BTreeSet<usize>,
}

impl Pages {
    /// So many, all of them free.
    pub(crate) fn new(count: usize) -> Self {
        Pages { free: (0..count).collect() }
    }

    /// How many nobody has.
    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    /// Rows of so many pages.
    pub(crate) fn rows(count: usize) -> usize {
        count * PAGE
    }

    /// Whole pages in so many rows.
    pub(crate) fn in_rows(rows: usize) -> usize {
        rows / PAGE
    }

    /// How many a lane of these positions has.
    pub(crate) fn of(positions: Range<usize>) -> usize {
        if positions.is_empty() { 0 } else { positions.end.div_ceil(PAGE) - positions.start / PAGE }
    }

    /// The wanted one, where nobody has it, or the first: a path in few runs is read faster.
    fn take(&mut self, wanted: Option<usize>) -> Option<usize> {
        let wanted = wanted.filter(|page| self.free.contains(page)).or_else(|| self.free.first().copied())?;
        self.free.remove(&wanted);
        Some(wanted)
    }

    /// Takes back what a lane had.
    pub(crate) fn give(&mut self, lane: Lane) {
        let pages = |span: &KeySpan| span.start / PAGE..(span.start + span.len).div_ceil(PAGE);
        self.free.extend(lane.spans.iter().flat_map(pages));
    }
}

/// Rows for consecutive positions of a path: each lies in its panel of keys where its position lies in a block of the
/// attention's.
#[derive(Debug)]
pub(crate) struct Lane {
    first: usize,
    spans: Vec<KeySpan>,
}

impl Lane {
    /// An empty one, for positions from `first` on.
    pub(crate) fn new(first: usize) -> Self {
        Lane { first, spans: Vec::new() }
    }

    /// The position behind the last that it has a row for.
    fn end(&self) -> usize {
        self.spans.last().map_or(self.first, |span| span.position + span.len)
    }

    /// Pages that it lacks to go on to position `end`.
    pub(crate) fn lacks(&self, end: usize) -> usize {
        Pages::of(self.first..end.max(self.first)).saturating_sub(Pages::of(self.first..self.end()))
    }

    /// Goes on to position `end`, if there are pages for that; else as far as there are.
    pub(crate) fn reach(&mut self, end: usize, pages: &mut Pages) -> bool {
        while self.end() < end {
            let (position, last) = (self.end(), self.spans.last_mut());
            let next = last.as_ref().map(|span| (span.start + span.len) / PAGE);
            let Some(page) = pages.take(next) else { return false };
            let start = page * PAGE + position % PAGE;
            let len = PAGE - position % PAGE;
            match last.filter(|span| span.start + span.len == start) {
                Some(span) => span.len += len,
                None => self.spans.push(KeySpan { start, len, position }),
            }
        }
        true
    }

    /// The row of a position.
    pub(crate) fn row(&self, position: usize) -> Option<u32> {
        self.spans(position..position + 1).next().map(|span| span.start as u32)
    }

    /// Where the keys of some of its positions lie.
    pub(crate) fn spans(&self, positions: Range<usize>) -> impl Iterator<Item = KeySpan> {
        let part = move |span: &KeySpan| {
            let first = span.position.max(positions.start);
            let len = (span.position + span.len).min(positions.end).checked_sub(first).filter(|&len| len > 0)?;
            Some(KeySpan { start: span.start + first - span.position, len, position: first })
        };
        self.spans.iter().filter_map(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_lies_in_panels_as_its_path_lies_in_blocks() {
        let mut pages = Pages::new(4);
        let (mut a, mut b) = (Lane::new(20), Lane::new(40));
        assert_eq!((a.lacks(20), a.lacks(32), a.lacks(33)), (0, 1, 2));
        assert!(a.reach(21, &mut pages) && b.reach(50, &mut pages) && a.reach(40, &mut pages));
        let span = |start, len, position| KeySpan { start, len, position };
        assert_eq!(a.spans(0..40).collect::<Vec<_>>(), [span(20, 12, 20), span(64, 8, 32)]);
        assert_eq!(a.spans(31..33).collect::<Vec<_>>(), [span(31, 1, 31), span(64, 1, 32)]);
        assert_eq!(b.spans(40..41).collect::<Vec<_>>(), [span(40, 1, 40)]);
        // Pages side by side are one run.
        assert!(a.reach(96, &mut pages) && !b.reach(65, &mut pages));
        assert_eq!(a.spans(20..96).collect::<Vec<_>>(), [span(20, 12, 20), span(64, 64, 32)]);
        pages.give(a);
        assert_eq!((pages.free(), b.lacks(65)), (3, 1));
        assert!(b.reach(65, &mut pages));
        pages.give(b);
        assert_eq!(pages.free(), 4);
    }
}
