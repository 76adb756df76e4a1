//! SmoothLLM: the majority over copies with changed characters.

use groma_lm::{Ask, Control, Cost, Failure, LanguageModel, Reply, Sink};
use groma_run::{Cancel, Seed, Silent};
use serde::Deserialize;

use crate::certificate::Certified;
use crate::defence::{Defence, Refuses, Shield};
use crate::prompt::{user_text, with_user_text};
use crate::settings::settings;

pub(crate) const RECORD: Defence = Defence::new(
    (
        "smoothllm",
        "Robey et al. 2023 (2310.03684), algorithm 1",
        "answers copies of the prompt in which a share of the user's characters is changed at random, and gives one of the answers \
         of the majority, which refuses or does not; a tie refuses. Settings: `copies` (10), `share` (0.1), `kind` (swap: single \
         characters become others; patch: a run of them does; insert: others come between)",
    ),
    |given, refuses| SmoothLlm::checked(settings(given)?, refuses),
);

/// What characters become: those of ASCII that can be printed, and white space.
const ALPHABET: &[u8] =
    b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \t\n\r\x0b\x0c";
const MOST_COPIES: usize = 1000;

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Change {
    Swap,
    Patch,
    Insert,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    copies: usize,
    share: f64,
    kind: Change,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { copies: 10, share: 0.1, kind: Change::Swap }
    }
}

struct SmoothLlm {
    settings: Settings,
    refuses: Box<Refuses>,
}

impl SmoothLlm {
    fn checked(settings: Settings, refuses: Box<Refuses>) -> Result<Box<dyn Shield>, String> {
        if !(1..=MOST_COPIES).contains(&settings.copies) {
            return Err(format!("`copies` is 1 to {MOST_COPIES}; found {}", settings.copies));
        }
        if !(0.0..=1.0).contains(&settings.share) {
            return Err(format!("`share` is from 0 to 1; found {}", settings.share));
        }
        Ok(Box::new(SmoothLlm { settings, refuses }))
    }

    /// The copies of one sample of an ask.
    fn copies(&self, ask: &Ask, sample: usize) -> impl Iterator<Item = Ask> {
        let seed = seed(ask, sample);
        (0..self.settings.copies).map(move |copy| {
            let change = seed.named("change").index(copy as u64);
            let text = changed(user_text(&ask.prompt), self.settings.kind, self.settings.share, change);
            let mut sampling = ask.sampling.clone();
            sampling.samples = 1;
            Ask { prompt: with_user_text(&ask.prompt, text), sampling, seed: seed.index(copy as u64), logps: ask.logps }
        })
    }

    /// One of the answers of the majority.
    fn chosen(&self, answers: Vec<Reply>, seed: Seed) -> Reply {
        let (refusing, complying): (Vec<Reply>, Vec<Reply>) =
            answers.into_iter().partition(|reply| (self.refuses)(reply.text()));
        let mut majority = if complying.len() > refusing.len() { complying } else { refusing };
        let place = groma_data::below(&mut seed.named("choice").rng(), majority.len() as u64);
        majority.swap_remove(place as usize)
    }
}

fn seed(ask: &Ask, sample: usize) -> Seed {
    ask.seed.named("smoothllm").index(sample as u64)
}

/// A text of which a share of the characters is changed.
fn changed(text: &str, kind: Change, share: f64, seed: Seed) -> String {
    let mut characters: Vec<char> = text.chars().collect();
    let count = (characters.len() as f64 * share) as usize;
    let mut places = groma_data::sample(characters.len(), count, seed.named("places"));
    places.sort_unstable();
    let mut rng = seed.named("characters").rng();
    let mut other = || char::from(ALPHABET[groma_data::below(&mut rng, ALPHABET.len() as u64) as usize]);
    match kind {
        Change::Swap => places.into_iter().for_each(|at| characters[at] = other()),
        Change::Patch => {
            let starts = (characters.len() - count) as u64 + 1;
            let start = groma_data::below(&mut seed.named("start").rng(), starts) as usize;
            characters[start..start + count].iter_mut().for_each(|character| *character = other());
        }
        // From the last on, so that the places of the others stay what they were.
        Change::Insert => places.into_iter().rev().for_each(|at| characters.insert(at, other())),
    }
    characters.into_iter().collect()
}

/// Characters that a suffix needs, where a certificate is given.
const NEEDED: usize = 5;

impl Shield for SmoothLlm {
    /// Of single characters that are swapped: the paper's certificate for a suffix that does nothing once so many are.
    fn certificate(&self, characters: usize, of_suffix: usize) -> Option<String> {
        if !matches!(self.settings.kind, Change::Swap) {
            return None;
        }
        let changed = (characters as f64 * self.settings.share) as usize;
        let (copies, alphabet) = (self.settings.copies, ALPHABET.len());
        let certified = Certified { characters, of_suffix, changed, copies, alphabet }.of_majority(NEEDED);
        Some(format!(
            "of {characters} characters with a suffix of {of_suffix} that does nothing once {NEEDED} of its own are changed, SmoothLLM \
             stops {certified:.4}"
        ))
    }

    fn generate_each(&self, model: &dyn LanguageModel, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>) {
        let samples = |ask: &Ask| ask.sampling.samples;
        let copies: Vec<Ask> =
            asks.iter().flat_map(|ask| (0..samples(ask)).flat_map(|sample| self.copies(ask, sample))).collect();
        let mut answers = model.generate(&copies, Control { progress: &Silent, cancel }).into_iter();
        for (place, ask) in asks.iter().enumerate() {
            let of_ask =
                answers.by_ref().take(samples(ask) * self.settings.copies).collect::<Result<Vec<_>, Failure>>();
            let reply = of_ask.map(|mut answers| {
                let mut whole = Reply::default();
                answers.iter().for_each(|answer| whole.usage += answer.usage);
                for sample in 0..samples(ask) {
                    let of_sample = answers.drain(..self.settings.copies).collect();
                    whole.choices.extend(self.chosen(of_sample, seed(ask, sample)).choices);
                }
                whole
            });
            let usage = reply.as_ref().map(|reply| reply.usage).unwrap_or_default();
            sink(place, reply, Cost { usage, seconds: 0.0 });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_characters_change_and_no_others() {
        let text = "what the user said, with an ö in it and some more to say".repeat(3);
        let len = text.chars().count();
        for seed in 0..50 {
            let make = |kind| changed(&text, kind, 0.1, Seed::new(seed));
            let differing = |other: &str| {
                text.chars()
                    .zip(other.chars())
                    .enumerate()
                    .filter(|(_, (a, b))| a != b)
                    .map(|(i, _)| i)
                    .collect::<Vec<_>>()
            };
            let swapped = make(Change::Swap);
            assert_eq!(swapped.chars().count(), len);
            assert!((1..=len / 10).contains(&differing(&swapped).len()));
            let patched = differing(&make(Change::Patch));
            assert!(patched.last().unwrap() - patched[0] < len / 10);
            let inserted = make(Change::Insert);
            assert_eq!(inserted.chars().count(), len + len / 10);
            let mut rest = inserted.chars();
            assert!(
                text.chars().all(|character| rest.any(|other| other == character)),
                "all of the text is still there, in order"
            );
        }
        for kind in [Change::Swap, Change::Patch, Change::Insert] {
            assert_eq!(changed("", kind, 1.0, Seed::new(0)), "");
            assert_eq!(changed("abc", kind, 0.0, Seed::new(0)), "abc");
        }
    }
}
