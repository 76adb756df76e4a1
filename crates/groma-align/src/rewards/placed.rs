//! Where what a reward says lies: at which tokens, by its granularity.

use super::granularity::Granularity;
use super::parts::{Part, sentence_ends};
use super::reward::{NamedReward, Rollout};
use crate::Error;
use groma_run::Cancel;

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
    use serde_json::{Value, json};

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
