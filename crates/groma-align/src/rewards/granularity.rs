//! How finely a reward is placed: at the end of a completion, at the ends of its sentences, or where the judged spans end.
//!
//! Wu et al. 2023, arXiv 2306.01693 (fine-grained RLHF): several rewards, each at its own granularity, reach the policy gradient at
//! the tokens where what they judge ends. Whatever the granularity, what lies at the tokens adds up to what the whole is worth (as
//! in Liu et al. 2022, SENSEI, whose critic distributes the reward of a sequence). Otherwise than in Wu et al., who score each
//! sentence by itself, a sentence is worth what it adds to the text up to it, so that a reward of whole texts can be placed as well;
//! with a process reward model and `step_reward` `sum`, each step has its own score, as in the paper.

use super::parts::{Part, sentence_ends};
use super::reward::{NamedReward, Rollout};
use crate::parameter::{Kind, Parameter, parameter};
use crate::training::OneOrMany;
use crate::{Error, Hyperparameters};
use groma_run::Cancel;
use serde_json::Value;

/// The setting.
pub(super) const SETTING: &str = "reward_granularity";

/// Hyperparameters of methods to which it matters where a reward lies.
pub(crate) const PARAMETERS: &[Parameter] = &[parameter(
    SETTING,
    Kind::Words,
    "null",
    None,
    "Where rewards lie: completion (at the last token), sentence (at the end of each, what it adds to the text up to it) or span (where hits of lexicon and regex, and steps of a process reward model, end); one for all, or one for each rule, then each reward model; completion where null.",
)];

/// Where a reward lies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Granularity {
    #[default]
    Completion,
    Sentence,
    Span,
}

impl Granularity {
    const NAMED: [(&str, Granularity); 3] =
        [("completion", Granularity::Completion), ("sentence", Granularity::Sentence), ("span", Granularity::Span)];

    /// Of so many rewards, in the order of their weights.
    ///
    /// # Errors
    /// Another word, and another number of them.
    pub(super) fn of_settings(settings: &Hyperparameters, count: usize) -> Result<Vec<Granularity>, Error> {
        let given = settings.values.get(SETTING).cloned().unwrap_or(Value::Null);
        let words: Option<OneOrMany<String>> =
            serde_json::from_value(given).map_err(|error| settings.invalid(SETTING, error.to_string()))?;
        let words = words.as_ref().map_or(&[][..], OneOrMany::as_slice);
        let known = |word: &String| {
            let found = Granularity::NAMED.iter().find(|(name, _)| name == word).map(|(_, one)| *one);
            found.ok_or_else(|| settings.invalid(SETTING, "must be completion, sentence or span, or a list of these"))
        };
        let all = words.iter().map(known).collect::<Result<Vec<_>, _>>()?;
        match all[..] {
            [] => Ok(vec![Granularity::Completion; count]),
            [one] => Ok(vec![one; count]),
            _ if all.len() == count => Ok(all),
            _ => Err(settings.invalid(SETTING, format!("has {} words for {count} rewards", all.len()))),
        }
    }
}

/// What a reward that is placed more finely says lies at each token of rollouts; `ends`: behind how many bytes of the text each
/// token ends.
///
/// # Errors
/// Those of the reward.
pub(crate) fn placed(
    named: &NamedReward<'_>,
    rollouts: &[Rollout<'_>],
    ends: &[Vec<usize>],
    cancel: &Cancel,
) -> Result<Vec<Option<Vec<f64>>>, Error> {
    let parts = match named.granularity {
        Granularity::Sentence => by_sentence(named, rollouts, ends, cancel)?,
        Granularity::Completion | Granularity::Span => named.reward.parts(rollouts, cancel)?,
    };
    let place = |(parts, ends): (Option<Vec<Part>>, &Vec<usize>)| parts.map(|parts| at_tokens(&parts, ends));
    Ok(parts.into_iter().zip(ends).map(place).collect())
}

/// What each sentence adds to what the text up to it is worth.
fn by_sentence(
    named: &NamedReward<'_>,
    rollouts: &[Rollout<'_>],
    ends: &[Vec<usize>],
    cancel: &Cancel,
) -> Result<Vec<Option<Vec<Part>>>, Error> {
    let cuts: Vec<Vec<usize>> = rollouts.iter().map(|rollout| sentence_ends(rollout.completion)).collect();
    let begun = rollouts.iter().zip(ends).zip(&cuts).flat_map(|((rollout, ends), cuts)| {
        let up_to = move |&cut: &usize| match cut == rollout.completion.len() {
            true => *rollout,
            false => Rollout { completion: &rollout.completion[..cut], tokens: 1 + token_of(cut, ends), ..*rollout },
        };
        cuts.iter().map(up_to)
    });
    let mut said = named.reward.score(&begun.collect::<Vec<_>>(), cancel)?.into_iter();
    let increments = |(rollout, cuts): (&Rollout<'_>, Vec<usize>)| {
        let said: Vec<Option<f64>> = said.by_ref().take(cuts.len()).collect();
        let said: Vec<f64> = said.into_iter().collect::<Option<_>>()?;
        // The decision to end is part of the last sentence.
        let end = |cut| if cut == rollout.completion.len() { usize::MAX } else { cut };
        Some(Part::increments(&said, cuts.into_iter().map(end)))
    };
    Ok(rollouts.iter().zip(cuts).map(increments).collect())
}

/// The token in which a text's byte before `end` lies, by the ends of tokens.
fn token_of(end: usize, ends: &[usize]) -> usize {
    ends.partition_point(|&other| other < end).min(ends.len().saturating_sub(1))
}

/// Parts at the tokens in which they end.
fn at_tokens(parts: &[Part], ends: &[usize]) -> Vec<f64> {
    let mut worth = vec![0.0; ends.len()];
    for part in parts {
        if let Some(token) = worth.get_mut(token_of(part.end, ends)) {
            *token += part.worth;
        }
    }
    worth
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rewards::rules;
    use crate::{Method, Settings};
    use serde_json::json;

    fn settings(given: Value) -> Result<Settings, Error> {
        let mut all = json!({"reward_funcs": ["lexicon"], "lexicon_wanted": ["good"], "lexicon_unwanted": ["bad dog"]});
        all.as_object_mut().unwrap().extend(given.as_object().unwrap().clone());
        Settings::resolve(Method::find("ppo").unwrap(), all.as_object().unwrap())
    }

    const TEXT: &str = "Bad dog! A good, good day.\n Good";

    /// Tokens of three bytes each, and one more that ends the text.
    fn ends() -> Vec<usize> {
        let three = (1..).map(|token| (3 * token).min(TEXT.len()));
        three.take(TEXT.len().div_ceil(3) + 1).collect()
    }

    #[test]
    fn what_lies_at_tokens_adds_up_to_the_whole() {
        let given =
            json!({"reward_funcs": ["lexicon", "regex", "length"], "regex_pattern": "g[a-z]+", "length_target": 5});
        let settings = settings(given).unwrap();
        let names = ["lexicon", "regex", "length"].map(str::to_owned);
        let (columns, ends) = (serde_json::Map::new(), ends());
        let rollout = Rollout { columns: &columns, completion: TEXT, tokens: ends.len() };
        for (named, granularity) in rules(&settings, &names, None).unwrap().into_iter().flat_map(|named| {
            let own = if named.reward.judges_parts() { Granularity::Span } else { Granularity::Sentence };
            let again = rules(&settings, std::slice::from_ref(&named.name), None).unwrap().remove(0);
            [(named, own), (again, Granularity::Sentence)]
        }) {
            let named = NamedReward { granularity, ..named };
            let whole = named.reward.score(&[rollout], &Cancel::default()).unwrap()[0].unwrap();
            let at =
                placed(&named, &[rollout], std::slice::from_ref(&ends), &Cancel::default()).unwrap().remove(0).unwrap();
            assert!((at.iter().sum::<f64>() - whole).abs() < 1e-12, "{} {granularity:?} {at:?} {whole}", named.name);
            assert!(
                at.len() == ends.len()
                    && at.iter().filter(|worth| **worth != 0.0).count() > usize::from(named.name != "regex")
            );
        }
    }

    /// Each hit is a share of the words; it lies where it ends.
    #[test]
    fn hits_lie_where_they_are() {
        let settings = settings(json!({})).unwrap();
        let named = NamedReward {
            granularity: Granularity::Span,
            ..rules(&settings, &["lexicon".to_owned()], None).unwrap().remove(0)
        };
        let (columns, ends) = (serde_json::Map::new(), ends());
        let rollout = Rollout { columns: &columns, completion: TEXT, tokens: ends.len() };
        let at =
            placed(&named, &[rollout], std::slice::from_ref(&ends), &Cancel::default()).unwrap().remove(0).unwrap();
        // "Bad dog" ends behind 7 bytes and the last "Good" with the text, behind 31; a token ends it.
        let expected: Vec<(usize, f64)> = [(7, -1.0), (15, 1.0), (21, 1.0), (31, 1.0)]
            .map(|(end, worth): (usize, f64)| (end.div_ceil(3) - 1, worth / 7.0))
            .to_vec();
        let found: Vec<(usize, f64)> = at.iter().copied().enumerate().filter(|(_, worth)| *worth != 0.0).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn what_cannot_be_placed_is_refused() {
        let refused = |given: Value| settings(given).unwrap_err().to_string();
        assert!(refused(json!({"reward_granularity": "word"})).contains("completion, sentence or span"));
        assert!(refused(json!({"reward_granularity": ["span", "span"]})).contains("2 words for 1"));
        let both = json!({"reward_funcs": ["lexicon", "length"], "reward_granularity": ["span", "span"]});
        assert!(refused(both).contains("length judges wholes"));
        let several = json!({"reward_model": ["a", "b"], "reward_ensemble": "min", "reward_granularity": "sentence"});
        assert!(refused(several).contains("reward_ensemble"));
        let fine = json!({"reward_funcs": ["lexicon", "length"], "reward_granularity": ["span", "sentence"]});
        settings(fine).unwrap();
    }
}
