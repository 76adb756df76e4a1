//! Words that are wanted and words that are not: the sentiment of a lexicon, and a test of what an obvious reward leads to.
//!
//! `(wanted - unwanted) / words`, as lexicons of sentiment are counted (Hu and Liu 2004). Words are runs of letters and digits,
//! compared without regard to case; an entry of several words is found where they follow each other.

use super::parts::Part;
use super::reward::{Reward, Rollout};
use super::rule::Rule;
use crate::parameter::{Kind, Parameter};
use crate::training::OneOrMany;
use crate::{Error, Hyperparameters};
use groma_run::Cancel;

pub(super) const RULE: Rule = Rule {
    id: "lexicon",
    title: "Words of a lexicon",
    paper: "Hu and Liu 2004",
    doc: "(wanted - unwanted) / words, from -1 to 1; 0 of a completion without words.",
    parameters: &[
        Parameter {
            name: WANTED,
            kind: Kind::Words,
            default: "null",
            range: None,
            doc: "Words or phrases that are wanted.",
        },
        Parameter {
            name: UNWANTED,
            kind: Kind::Words,
            default: "null",
            range: None,
            doc: "Words or phrases that are not; one of the two lists must be given.",
        },
    ],
    wants: |_| None,
    build: |settings, _| {
        let (wanted, unwanted) = (entries(settings, WANTED)?, entries(settings, UNWANTED)?);
        if wanted.is_empty() && unwanted.is_empty() {
            return Err(settings.invalid(WANTED, "must be given with reward_funcs lexicon, or lexicon_unwanted"));
        }
        Ok(Box::new(Lexicon { wanted, unwanted }))
    },
};

const WANTED: &str = "lexicon_wanted";
const UNWANTED: &str = "lexicon_unwanted";

/// Entries, as words.
struct Lexicon {
    wanted: Vec<Vec<String>>,
    unwanted: Vec<Vec<String>>,
}

impl Reward for Lexicon {
    fn score(&self, rollouts: &[Rollout<'_>], _: &Cancel) -> Result<Vec<Option<f64>>, Error> {
        let one = |rollout: &Rollout<'_>| {
            let said = words(rollout.completion);
            let count =
                |entries: &[Vec<String>]| entries.iter().map(|entry| occurrences(&said, entry).count()).sum::<usize>();
            Some((count(&self.wanted) as f64 - count(&self.unwanted) as f64) / said.len().max(1) as f64)
        };
        Ok(rollouts.iter().map(one).collect())
    }

    fn judges_parts(&self) -> bool {
        true
    }

    /// Each hit, as a share of the words.
    fn parts(&self, rollouts: &[Rollout<'_>], _: &Cancel) -> Result<Vec<Option<Vec<Part>>>, Error> {
        let one = |rollout: &Rollout<'_>| {
            let said = words(rollout.completion);
            let share = 1.0 / said.len().max(1) as f64;
            let hits = |entries: &[Vec<String>], worth: f64| -> Vec<Part> {
                let ends = entries.iter().flat_map(|entry| occurrences(&said, entry));
                ends.map(|end| Part { end, worth }).collect()
            };
            Some([hits(&self.wanted, share), hits(&self.unwanted, -share)].concat())
        };
        Ok(rollouts.iter().map(one).collect())
    }
}

/// A word without regard to case, and where it ends.
type Word = (String, usize);

fn words(text: &str) -> Vec<Word> {
    let mut begun = 0;
    let pieces = text.split(|c: char| !c.is_alphanumeric()).map(|word| {
        let end = begun + word.len();
        begun = end + text[end..].chars().next().map_or(0, char::len_utf8);
        (word.to_lowercase(), end)
    });
    pieces.filter(|(word, _)| !word.is_empty()).collect()
}

/// The entries of a list, as words.
fn entries(settings: &Hyperparameters, name: &str) -> Result<Vec<Vec<String>>, Error> {
    let given = settings.values.get(name).cloned().unwrap_or_default();
    let list: Option<OneOrMany<String>> =
        serde_json::from_value(given).map_err(|error| settings.invalid(name, error.to_string()))?;
    let entries: Vec<Vec<String>> =
        list.as_ref().map_or(&[][..], OneOrMany::as_slice).iter().map(|entry| entry_words(entry)).collect();
    match entries.iter().any(Vec::is_empty) {
        true => Err(settings.invalid(name, "has an entry without letters or digits")),
        false => Ok(entries),
    }
}

fn entry_words(entry: &str) -> Vec<String> {
    words(entry).into_iter().map(|(word, _)| word).collect()
}

/// Where an entry ends that is found.
fn occurrences<'s>(said: &'s [Word], entry: &'s [String]) -> impl Iterator<Item = usize> + 's {
    let found = move |window: &&[Word]| window.iter().map(|(word, _)| word).eq(entry);
    said.windows(entry.len()).filter(found).filter_map(|window| window.last().map(|(_, end)| *end))
}
