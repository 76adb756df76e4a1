//! Words that are wanted and words that are not: the sentiment of a lexicon, and a test of what an obvious reward leads to.
//!
//! `(wanted - unwanted) / words`, as lexicons of sentiment are counted (Hu and Liu 2004). Words are runs of letters and digits,
//! compared without regard to case; an entry of several words is found where they follow each other.

use super::reward::Rollout;
use super::rule::{EachBy, Rule};
use crate::parameter::{Kind, Parameter};
use crate::training::OneOrMany;
use crate::{Error, Hyperparameters};

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
    build: |settings, _| {
        let (wanted, unwanted) = (entries(settings, WANTED)?, entries(settings, UNWANTED)?);
        if wanted.is_empty() && unwanted.is_empty() {
            return Err(settings.invalid(WANTED, "must be given with reward_funcs lexicon, or lexicon_unwanted"));
        }
        Ok(Box::new(EachBy(move |rollout: &Rollout<'_>| {
            let said = words(rollout.completion);
            let count = |entries: &[Vec<String>]| entries.iter().map(|entry| occurrences(&said, entry)).sum::<usize>();
            Some((count(&wanted) as f64 - count(&unwanted) as f64) / said.len().max(1) as f64)
        })))
    },
};

const WANTED: &str = "lexicon_wanted";
const UNWANTED: &str = "lexicon_unwanted";

fn words(text: &str) -> Vec<String> {
    let lower = text.to_lowercase();
    lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The entries of a list, as words.
fn entries(settings: &Hyperparameters, name: &str) -> Result<Vec<Vec<String>>, Error> {
    let given = settings.values.get(name).cloned().unwrap_or_default();
    let list: Option<OneOrMany<String>> =
        serde_json::from_value(given).map_err(|error| settings.invalid(name, error.to_string()))?;
    let entries: Vec<Vec<String>> =
        list.as_ref().map_or(&[][..], OneOrMany::as_slice).iter().map(|entry| words(entry)).collect();
    match entries.iter().any(Vec::is_empty) {
        true => Err(settings.invalid(name, "has an entry without letters or digits")),
        false => Ok(entries),
    }
}

fn occurrences(said: &[String], entry: &[String]) -> usize {
    said.windows(entry.len()).filter(|window| *window == entry).count()
}
