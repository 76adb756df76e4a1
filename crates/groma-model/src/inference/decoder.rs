//! One model of a generation: what it holds of prompts and samples, and how it reads on.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use groma_kernels::{KeySpan, Tape, Var};

use crate::hooks::Cell;
use crate::inference::batch::Batch;
use crate::inference::cache::{Cache, KvCache};
use crate::inference::forest::Forest;
use crate::inference::pages::{Lane, Pages};
use crate::inference::prefixes::{Kept, Known};
use crate::inference::room::Room;
use crate::transformer::Input;
use crate::tree::distinct_rows;
use crate::{Error, Pass, PrefixCache, Result, SegmentId, Transformer, View};

/// A sample that goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Going<'a> {
    /// Among all samples of the call.
    pub(crate) number: usize,
    pub(crate) prompt: usize,
    /// Its tokens so far.
    pub(crate) ids: &'a [u32],
}

/// A model, the forest of its prompts, and a cache in which those parts of it lie that are needed, with the samples below them.
pub(crate) struct Decoder<'a> {
    pub(crate) transformer: &'a Transformer,
    view: &'a View,
    pub(crate) forest: Forest,
    held: Vec<Held>,
    /// Segments that have rows, which are to be computed.
    fresh: Vec<SegmentId>,
    own: BTreeMap<usize, Own>,
    cache: KvCache,
    pages: Pages,
    prefixes: Option<(&'a mut PrefixCache, Known)>,
    /// What hooks are told of the rows of the forest.
    cells: Vec<Cell>,
    /// Hidden state before the next token of each sample that goes on.
    pub(crate) hidden: Var,
}

/// What is held of a segment of the prompts.
#[derive(Debug, Default)]
struct Held {
    lane: Option<Lane>,
    /// Samples below it that go on.
    active: usize,
    /// Samples below it that have not ended.
    left: usize,
}

/// What is held of a sample.
#[derive(Debug)]
struct Own {
    lane: Lane,
    /// Tokens that are in the cache.
    written: usize,
    /// Where its prompt lies.
    above: Vec<KeySpan>,
    /// Where its last token but one is kept beyond the call.
    place: Option<u32>,
}

impl<'a> Decoder<'a> {
    /// For `samples` of each prompt of a forest, of which `together` begin at once; continues what `prefixes` holds.
    pub(crate) fn new(
        (transformer, view): (&'a Transformer, &'a View),
        forest: Forest,
        (samples, together): (usize, usize),
        room: Room,
        prefixes: Option<&'a mut PrefixCache>,
    ) -> Result<Self> {
        transformer.check_tokens(forest.tree.tokens())?;
        let mut held: Vec<Held> = forest.tree.segments().map(|_| Held::default()).collect();
        for segment in (0..forest.prompts()).flat_map(|prompt| forest.path(prompt)) {
            held[segment.index()].left += samples;
        }
        let ends: Vec<u32> = (0..forest.prompts()).filter_map(|p| forest.last_row(p)).map(|row| row as u32).collect();
        let prefixes = prefixes.map(|prefixes| {
            let known = prefixes.find(&forest.tree, &distinct_rows(&ends).0, None, transformer.spec());
            (prefixes, known)
        });
        let has_hooks = !view.hooks.is_empty();
        let cells = if has_hooks { forest.tree.cells(forest.sequences(samples)) } else { Vec::new() };
        let (most, least) = forest.pages((samples, together), room.sequences);
        let pages = most.min(least.max(Pages::in_rows(room.rows)));
        let backend = transformer.backend().clone();
        let hidden = Var::constant(backend.zeros(0), 0, transformer.spec().hidden_size);
        let cache = KvCache::new(transformer.spec(), backend, Pages::rows(pages));
        let (fresh, own, pages) = (Vec::new(), BTreeMap::new(), Pages::new(pages));
        Ok(Decoder { transformer, view, forest, held, fresh, own, cache, pages, prefixes, cells, hidden })
    }

    /// Pages that nobody has.
    pub(crate) fn free(&self) -> usize {
        self.pages.free()
    }

    /// Pages that samples of a prompt lack to begin, and to come to so many tokens each.
    pub(crate) fn lacks_to_begin(&self, prompt: usize, tokens: &[usize]) -> usize {
        let missing = self.missing(prompt).map(|segment| self.forest.pages_of(segment));
        missing.sum::<usize>() + tokens.iter().map(|&tokens| self.forest.pages_behind(prompt, tokens)).sum::<usize>()
    }

    /// Pages that a sample lacks to come to so many tokens.
    pub(crate) fn lacks(&self, going: Going<'_>, tokens: usize) -> usize {
        let end = self.forest.behind(going.prompt, tokens.min(self.forest.longest(going.prompt))).end;
        self.own.get(&going.number).map_or(0, |own| own.lane.lacks(end))
    }

    /// Rows that are computed for a sample to begin.
    pub(crate) fn new_rows(&self, going: Going<'_>) -> usize {
        let rows = self.missing(going.prompt).map(|segment| self.forest.tree.rows(segment).len());
        rows.sum::<usize>() + going.ids.len().max(1)
    }

    /// Segments of a prompt that have no rows.
    fn missing(&self, prompt: usize) -> impl Iterator<Item = SegmentId> {
        self.forest.path(prompt).into_iter().filter(|segment| self.held[segment.index()].lane.is_none())
    }

    /// A sample begins, or goes on after it made way; `false`, and nothing has changed, where there are not enough pages.
    pub(crate) fn begin(&mut self, going: Going<'_>) -> bool {
        let Going { number, prompt, ids } = going;
        if self.lacks_to_begin(prompt, &[ids.len()]) > self.free() {
            return false;
        }
        let path = self.forest.path(prompt);
        for &segment in &path {
            let positions = self.forest.positions(segment);
            let held = &mut self.held[segment.index()];
            held.active += 1;
            if held.lane.is_none() {
                let mut lane = Lane::new(positions.start);
                lane.reach(positions.end, &mut self.pages);
                held.lane = Some(lane);
                self.fresh.push(segment);
            }
        }
        let above = path.iter().flat_map(|&segment| self.spans(segment)).collect();
        let last = self.forest.last_row(prompt);
        let place = self.prefixes.as_ref().and_then(|(_, known)| known.places[last?]);
        let lane = Lane::new(self.forest.behind(prompt, 0).end);
        self.own.insert(number, Own { lane, written: 0, above, place });
        self.reach(going)
    }

    /// Makes room for all tokens of a sample; `false` where there are not enough pages.
    pub(crate) fn reach(&mut self, going: Going<'_>) -> bool {
        let end = self.forest.behind(going.prompt, going.ids.len()).end;
        self.own.get_mut(&going.number).is_some_and(|own| own.lane.reach(end, &mut self.pages))
    }

    /// A sample goes on no longer: it has ended, or makes way for others.
    pub(crate) fn leave(&mut self, going: Going<'_>, has_ended: bool) {
        if let Some(own) = self.own.remove(&going.number) {
            self.pages.give(own.lane);
        }
        for segment in self.forest.path(going.prompt) {
            let held = &mut self.held[segment.index()];
            held.active -= 1;
            held.left -= usize::from(has_ended);
            if held.left == 0
                && let Some(lane) = held.lane.take()
            {
                self.pages.give(lane);
            }
        }
    }

    /// Gives up what is held for waiting samples alone.
    pub(crate) fn forget_idle(&mut self) {
        let idle = self.held.iter_mut().filter(|held| held.active == 0).filter_map(|held| held.lane.take());
        idle.for_each(|lane| self.pages.give(lane));
    }

    /// Computes the hidden states behind the last tokens of the samples that go on, in their order, and all before that is not
    /// there yet.
    pub(crate) fn advance(&mut self, going: &[Going<'_>]) -> Result<()> {
        let mut batch = Batch::default();
        let mut of_tree = self.take_prompts(&mut batch);
        let mut cells = self.prompt_cells(&of_tree);
        let mut asked = Vec::with_capacity(going.len());
        for &sample in going {
            let last = self.forest.last_row(sample.prompt).filter(|_| sample.ids.is_empty());
            asked.push(match last {
                Some(row) => match of_tree.get(&row) {
                    Some(&at) => at,
                    None => *of_tree.entry(row).or_insert(self.take_last(&mut batch, sample.prompt)?),
                },
                None => self.take_tokens(&mut batch, sample, &mut cells)?,
            });
        }
        self.hidden = self.read(batch, &asked, cells)?;
        Ok(())
    }

    /// Puts the prompts' new tokens into a batch, and what is known of them into the cache; the rows of the batch by those of the
    /// forest.
    fn take_prompts(&mut self, batch: &mut Batch) -> BTreeMap<usize, u32> {
        let mut fresh = std::mem::take(&mut self.fresh);
        fresh.sort_unstable();
        let (mut there, mut of_tree) = (Kept::default(), BTreeMap::new());
        for segment in fresh {
            let (rows, positions) = (self.forest.tree.rows(segment), self.forest.positions(segment));
            let Some(lane) = &self.held[segment.index()].lane else { continue };
            let above = self.above(segment);
            let position = |row: usize| positions.start + row - rows.start;
            for run in self.unknown_runs(rows.clone(), |row| lane.row(position(row)), &mut there) {
                let tokens = &self.forest.tree.tokens()[run.clone()];
                let at = batch.push((tokens, position(run.start)), (&above, lane));
                of_tree.extend(run.clone().zip(at..));
                if let Some((_, known)) = &self.prefixes {
                    batch.keep(&known.places[run], at);
                }
            }
        }
        if let Some((prefixes, _)) = self.prefixes.as_ref().filter(|_| !there.to.is_empty()) {
            self.cache.fill(prefixes, &there);
        }
        of_tree
    }

    /// Those rows of a segment that are not known, in runs; the others are `there`, at rows of the cache.
    fn unknown_runs(
        &self,
        rows: Range<usize>,
        in_cache: impl Fn(usize) -> Option<u32>,
        there: &mut Kept,
    ) -> Vec<Range<usize>> {
        let Some((_, known)) = &self.prefixes else { return vec![rows] };
        let mut runs: Vec<Range<usize>> = Vec::new();
        for row in rows {
            match (known.there.from.binary_search(&(row as u32)), runs.last_mut()) {
                (Ok(at), _) => {
                    there.from.extend(in_cache(row));
                    there.to.push(known.there.to[at]);
                }
                (Err(_), Some(run)) if run.end == row => run.end += 1,
                (Err(_), _) => runs.push(row..row + 1),
            }
        }
        runs
    }

    /// Puts the last token of a prompt into a batch once more, where what lies behind it is asked for anew.
    fn take_last(&self, batch: &mut Batch, prompt: usize) -> Result<u32> {
        let path = self.forest.path(prompt);
        let last = path.into_iter().rfind(|&segment| !self.forest.tree.rows(segment).is_empty());
        let held = last.and_then(|segment| Some((segment, self.held[segment.index()].lane.as_ref()?)));
        let (segment, lane) = held.ok_or_else(|| nothing_held(prompt))?;
        let end = self.forest.tree.rows(segment).end;
        let token = &self.forest.tree.tokens()[end - 1..end];
        Ok(batch.push((token, self.forest.positions(segment).end - 1), (&self.above(segment), lane)))
    }

    /// Puts the tokens of a sample into a batch that are not in the cache, and returns the row of the last.
    fn take_tokens(&mut self, batch: &mut Batch, sample: Going<'_>, cells: &mut Vec<Cell>) -> Result<u32> {
        let own = self.own.get_mut(&sample.number).ok_or_else(|| nothing_held(sample.prompt))?;
        let new = &sample.ids[own.written..];
        let position = self.forest.behind(sample.prompt, own.written).end;
        let at = batch.push((new, position), (&own.above, &own.lane));
        own.written = sample.ids.len();
        if let Some((prefixes, _)) = &mut self.prefixes {
            let mut next = |&token: &u32| {
                own.place = prefixes.next(own.place, token, self.transformer.spec());
                own.place
            };
            batch.keep(&new.iter().map(&mut next).collect::<Vec<_>>(), at);
        }
        if !self.view.hooks.is_empty() {
            let cell = |(row, position)| Cell { sequence: sample.number, position, row };
            cells.extend((at as usize..).zip(position..).take(new.len()).map(cell));
        }
        Ok(at + new.len() as u32 - 1)
    }

    /// The hidden states of the rows of a batch that are asked for, in that order.
    fn read(&mut self, mut batch: Batch, asked: &[u32], cells: Vec<Cell>) -> Result<Var> {
        let (transformer, keys) = (self.transformer, self.cache.rows());
        let (distinct, places) = distinct_rows(asked);
        let all = transformer.looks_at_all(self.view) || distinct.len() == batch.ids.len();
        let narrowed = (!all).then(|| transformer.narrowed(distinct.clone(), batch.layout_of(&distinct, keys)));
        let kept = std::mem::take(&mut batch.kept);
        let kept = self.prefixes.as_mut().map(|(prefixes, _)| (&mut **prefixes, kept));
        let rows = batch.rows.as_slice().into();
        let input = Input {
            ids: batch.ids.as_slice().into(),
            positions: batch.positions.as_slice().into(),
            layout: Arc::new(batch.layout(keys)),
            cache: Some(Cache::Rows(&mut self.cache, rows, kept)),
            narrowed,
            cells: cells.into(),
            stream: None,
        };
        let mut tape = Tape::inference(transformer.backend().clone());
        let hidden = transformer.run(&mut tape, input, &Pass::of(self.view))?;
        let places: Arc<[u32]> = if all { asked.into() } else { places };
        let as_they_are = places.len() == hidden.rows() && places.iter().zip(0..).all(|(&place, row)| place == row);
        Ok(if as_they_are { hidden } else { tape.gather_rows(&hidden, &places) })
    }

    /// What hooks are told of the prompts' rows in a batch.
    fn prompt_cells(&self, of_tree: &BTreeMap<usize, u32>) -> Vec<Cell> {
        let in_batch = |cell: &Cell| Some(Cell { row: *of_tree.get(&cell.row)? as usize, ..*cell });
        self.cells.iter().filter_map(in_batch).collect()
    }

    /// Where the keys of a segment lie.
    fn spans(&self, segment: SegmentId) -> impl Iterator<Item = KeySpan> {
        let positions = self.forest.positions(segment);
        self.held[segment.index()].lane.iter().flat_map(move |lane| lane.spans(positions.clone()))
    }

    /// Where the keys of all segments above one lie, the root first.
    fn above(&self, segment: SegmentId) -> Vec<KeySpan> {
        self.forest.above(segment).into_iter().flat_map(|segment| self.spans(segment)).collect()
    }
}

fn nothing_held(prompt: usize) -> Error {
    Error::Sampling { problem: format!("nothing is held of prompt {prompt}") }
}
