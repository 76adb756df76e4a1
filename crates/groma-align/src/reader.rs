//! A completion as a teacher reads it that has tokens of its own, and the spans in which both say the same.
//!
//! Patiño et al. 2025 (General On-Policy Logit Distillation): both tokenizers cut one text, and between two places where both cut, the
//! student's tokens and the teacher's spell the same bytes. Where a normaliser made another text of it, spans end with what both
//! share.

use crate::Error;
use crate::encode::Encode;
use crate::group::{Group, Member};
use crate::rewards::token_ends;
use crate::role::Role;
use crate::sequence::Sequence;
use crate::training::Boundary;
use crate::translation::{Span, Translation};
use groma_data::Content;
use std::cmp::Ordering;
use std::ops::Range;

/// How tokens of both are put side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Aligning {
    /// By what they spell, or else the first of the one beside the first of the other, as far as both reach.
    pub(crate) by_text: bool,
    /// Whether what ends a completion is learned, too.
    pub(crate) ends: bool,
}

/// Who reads: the model in training, and its teacher, with the tokens that this can take.
#[derive(Clone, Copy)]
pub(crate) struct Readers<'a> {
    pub(crate) own: &'a dyn Encode,
    pub(crate) its: &'a dyn Encode,
    pub(crate) longest: usize,
}

impl Readers<'_> {
    /// A member of a group as the teacher reads it.
    ///
    /// # Errors
    /// [`Error::Role`] where the group's prompt was not kept, and those of the teacher's tokenizer and template.
    pub(crate) fn translate(
        &self,
        group: &Group,
        member: &Member,
        aligning: Aligning,
    ) -> Result<(Translation, Met), Error> {
        let role = |problem| Error::Role { role: Role::Teacher.name(), problem };
        let prompt = group.columns.get("prompt").cloned().unwrap_or_default();
        let prompt = Content::from_value("prompt", prompt).map_err(role)?;
        let own = Completion::new(self.own, &member.sequence);
        let read = self.its.continuation(&prompt, &prompt.answered(&own.text), Boundary::Separate)?;
        let mut sequence = Sequence::completion(&read.ids[..read.prompt], &read.ids[read.prompt..]);
        if let Some(learned) = read.learned {
            sequence.supervised = learned;
        }
        let is_cut = sequence.ids.len() > self.longest;
        sequence.ids.truncate(self.longest);
        sequence.supervised.truncate(self.longest);
        let its = Completion::new(self.its, &sequence);
        let spans = spans(&own, &its, aligning);
        let met = Met { texts: !own.text.is_empty() && !is_cut, share: !spans.is_empty() };
        Ok((Translation { sequence, spans }, met))
    }
}

/// What came of a completion's translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Met {
    /// Whether the completion says anything, and the teacher reads all of it.
    pub(crate) texts: bool,
    /// Whether any of it is said by both in the same places.
    pub(crate) share: bool,
}

/// A completion as its tokens cut it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Completion {
    /// What it says, without what ends it.
    text: String,
    /// Behind how many bytes each of its tokens ends that say something.
    ends: Vec<usize>,
    /// Whether a token that ends it follows.
    stops: bool,
    /// For each token, that one included, its place among those whose log-probabilities count.
    scored: Vec<Option<usize>>,
}

impl Completion {
    fn new(encoder: &dyn Encode, sequence: &Sequence) -> Self {
        let (ids, from) = (&sequence.ids, sequence.prompt().len());
        let stops = encoder.stops();
        let stop = ids[from..].iter().position(|id| stops.contains(id));
        let end = stop.map_or(ids.len(), |place| from + place);
        let decode = |ids: &[u32]| encoder.decode(ids);
        let begin = before(&ids[..from], &decode);
        let whole = decode(&ids[begin..end]);
        let mut ends = token_ends(&ids[begin..end], &whole, &decode);
        let before = ends.drain(..from - begin).next_back().unwrap_or(0);
        ends.iter_mut().for_each(|end| *end -= before);
        let counted: Vec<usize> = sequence.scored().collect();
        let last = if stop.is_some() { end + 1 } else { end };
        let scored = (from..last).map(|place| counted.binary_search(&place).ok()).collect();
        let text = whole.get(before..).unwrap_or_default().to_owned();
        Completion { text, ends, stops: stop.is_some(), scored }
    }

    /// Tokens that may be compared by their places.
    fn len(&self, ends: bool) -> usize {
        self.ends.len() + usize::from(ends && self.stops)
    }

    /// The places of tokens among those that count; `None` where one does not.
    fn counted(&self, tokens: Range<usize>) -> Option<Range<usize>> {
        let (first, last) = (self.scored[tokens.start]?, self.scored[tokens.end - 1]?);
        (last - first + 1 == tokens.len()).then_some(first..last + 1)
    }
}

/// From which token of a prompt on its completion is decoded: with what comes before it, as a tokenizer may say a text otherwise where
/// it begins, and from the start of a character on, which has four bytes at most.
fn before(prompt: &[u32], decode: &dyn Fn(&[u32]) -> String) -> usize {
    let from = prompt.len();
    let is_whole = |begin: &usize| !decode(&prompt[*begin..]).starts_with('\u{FFFD}');
    (from.saturating_sub(4)..from).rev().find(is_whole).unwrap_or(from)
}

/// Where two completions say the same, as far as all of their tokens count there.
fn spans(own: &Completion, its: &Completion, aligning: Aligning) -> Vec<Span> {
    let found = match aligning.by_text {
        true => by_text(own, its, aligning.ends),
        false => (0..own.len(aligning.ends).min(its.len(aligning.ends))).map(|at| (at..at + 1, at..at + 1)).collect(),
    };
    let span = |(a, b): (Range<usize>, Range<usize>)| Some(Span { own: own.counted(a)?, its: its.counted(b)? });
    found.into_iter().filter_map(span).collect()
}

/// Tokens of both between two places where both cut the text that they share; what ends both is one more span where all of the text
/// is shared. A token that ends within a character cuts nothing, and neither does one that says nothing.
fn by_text(own: &Completion, its: &Completion, ends: bool) -> Vec<(Range<usize>, Range<usize>)> {
    let shared = own.text.bytes().zip(its.text.bytes()).take_while(|(a, b)| a == b).count();
    let (mut found, mut from, mut at, mut cut) = (Vec::new(), (0, 0), (0, 0), 0);
    while let (Some(&a), Some(&b)) = (own.ends.get(at.0), its.ends.get(at.1)) {
        if a.max(b) > shared {
            return found;
        }
        let order = a.cmp(&b);
        at.0 += usize::from(order != Ordering::Greater);
        at.1 += usize::from(order != Ordering::Less);
        if order == Ordering::Equal && a > cut {
            found.push((from.0..at.0, from.1..at.1));
            (from, cut) = (at, a);
        }
    }
    let whole = cut == own.text.len() && cut == its.text.len();
    if ends && whole && own.stops && its.stops {
        let (own, its) = (own.ends.len(), its.ends.len());
        found.push((own..own + 1, its..its + 1));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: Aligning = Aligning { by_text: true, ends: true };

    /// A completion whose tokens are these pieces of its text, and all count.
    fn cut(pieces: &[&str], stops: bool) -> Completion {
        let ends = pieces.iter().scan(0, |end, piece| {
            *end += piece.len();
            Some(*end)
        });
        let scored = (0..pieces.len() + usize::from(stops)).map(Some).collect();
        Completion { text: pieces.concat(), ends: ends.collect(), stops, scored }
    }

    fn found(own: &Completion, its: &Completion, aligning: Aligning) -> Vec<(Range<usize>, Range<usize>)> {
        spans(own, its, aligning).into_iter().map(|span| (span.own, span.its)).collect()
    }

    #[test]
    fn spans_end_where_both_cut() {
        let (own, its) = (cut(&["un", "do", " it", " now"], true), cut(&["u", "ndo", " it", " n", "ow"], true));
        let all = vec![(0..2, 0..2), (2..3, 2..3), (3..4, 3..5), (4..5, 5..6)];
        assert_eq!(found(&own, &its, BOTH), all);
        assert_eq!(found(&own, &its, Aligning { ends: false, ..BOTH }), all[..3]);
        // What was cut off does not end.
        assert_eq!(found(&cut(&["un", "do", " it", " now"], false), &its, BOTH), all[..3]);
        assert_eq!(found(&cut(&["un", "do", " i"], false), &its, BOTH), all[..1]);
        let by_place = Aligning { by_text: false, ends: true };
        assert_eq!(found(&own, &its, by_place), (0..5).map(|at| (at..at + 1, at..at + 1)).collect::<Vec<_>>());
        assert_eq!(found(&own, &cut(&[], false), by_place), []);
    }

    #[test]
    fn texts_are_compared_as_far_as_they_agree() {
        let (own, its) = (cut(&["to", "day", " Ich", " ja"], true), cut(&["today", " ich", " ja"], true));
        assert_eq!(found(&own, &its, BOTH), [(0..2, 0..1)]);
        assert_eq!(found(&cut(&["A"], true), &cut(&["a"], true), BOTH), []);
        assert_eq!(found(&cut(&[], true), &cut(&[], true), BOTH), [(0..1, 0..1)], "both say nothing, and end");
        let silent = cut(&["a", ""], true);
        assert_eq!(found(&silent, &cut(&["a"], true), BOTH), [(0..1, 0..1), (2..3, 1..2)], "the last one says nothing");
    }

    /// Two tokens of three bytes each make a character, cut at different bytes by the other.
    #[test]
    fn no_character_is_torn() {
        let ends = |ends: &[usize]| Completion {
            text: "aé".into(),
            ends: ends.to_vec(),
            stops: true,
            scored: (0..=ends.len()).map(Some).collect(),
        };
        let halves = ends(&[1, 1, 3]);
        assert_eq!(found(&halves, &ends(&[1, 3]), BOTH), [(0..1, 0..1), (1..3, 1..2), (3..4, 2..3)]);
        assert_eq!(found(&halves, &halves, BOTH), [(0..1, 0..1), (1..3, 1..3), (3..4, 3..4)]);
    }

    /// Tokens that are not learned, as between two answers, are in no span.
    #[test]
    fn spans_count_as_a_whole_or_not_at_all() {
        let mut own = cut(&["a", "b", "c"], true);
        own.scored = vec![Some(0), None, Some(1), Some(2)];
        let its = cut(&["ab", "c"], true);
        assert_eq!(found(&own, &its, BOTH), [(1..2, 1..2), (2..3, 2..3)]);
    }
}
