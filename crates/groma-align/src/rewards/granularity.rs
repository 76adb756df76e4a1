//! How finely a reward is placed: at the end of a completion, at the ends of its sentences, or where the judged spans end.
//!
//! Wu et al. 2023, arXiv 2306.01693 (fine-grained RLHF): several rewards, each at its own granularity, reach the policy gradient at
//! the tokens where what they judge ends. Whatever the granularity, what lies at the tokens adds up to what the whole is worth (as
//! in Liu et al. 2022, SENSEI, whose critic distributes the reward of a sequence). Otherwise than in Wu et al., who score each
//! sentence by itself, a sentence is worth what it adds to the text up to it, so that a reward of whole texts can be placed as well;
//! with a process reward model and `step_reward` `sum`, each step has its own score, as in the paper.

use crate::parameter::{Kind, Parameter, parameter};
use crate::training::OneOrMany;
use crate::{Error, Hyperparameters};
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
