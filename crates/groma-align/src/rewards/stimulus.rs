//! What a frozen model says once it has been given the completion as a hint: the reward of a small policy that learns to steer a
//! large one that cannot be trained.
//!
//! Li et al. 2023, arXiv 2302.11520 (directional stimulus prompting). The model, here or on a server, is asked the row's question
//! with the hint behind it, and the reward is 1 where its answer holds the row's `answer`, or matches a pattern; what it does not
//! answer has no value. Differs from the paper: the answer is looked for, and not compared word by word.

use super::exact_match::{right_answer, wants_right_answer};
use super::frozen::{ANSWERS, Frozen, Names, longest};
use super::reward::{Reward, Rollout};
use super::rule::Rule;
use crate::parameter::{Kind, Parameter};
use crate::{Error, Hyperparameters};
use groma_lm::LanguageModel;
use groma_run::Cancel;
use regex::Regex;
use serde_json::Value;

pub(super) const RULE: Rule = Rule {
    id: NAMES.rule,
    title: "What a hint makes of an answer",
    paper: "arXiv:2302.11520",
    doc: "1 where a language model that is given the completion as a hint answers as is wanted, else 0; no value where it does not answer.",
    parameters: &[
        ANSWERS,
        Parameter {
            name: NAMES.template,
            kind: Kind::Text,
            default: "\"{prompt}\\nHint: {hint}\"",
            range: None,
            doc: "How it is asked, with {prompt} and {hint}; of a conversation its last turn.",
        },
        Parameter {
            name: PATTERN,
            kind: Kind::Text,
            default: "null",
            range: None,
            doc: "A regular expression that the answer is to match; where null, it is to hold the row's answer, solution or ground_truth.",
        },
        longest(NAMES.length),
    ],
    wants: |settings| settings.values.get(PATTERN).is_none_or(Value::is_null).then(wants_right_answer),
    build: |settings, model| Ok(Box::new(Stimulus::new(settings, model)?)),
};

const NAMES: Names = Names {
    rule: "stimulus",
    template: "stimulus_template",
    length: "stimulus_max_new_tokens",
    slot: "{hint}",
    needs_prompt: true,
};
const PATTERN: &str = "stimulus_pattern";

struct Stimulus<'a> {
    frozen: Frozen<'a>,
    pattern: Option<Regex>,
}

impl<'a> Stimulus<'a> {
    fn new(settings: &Hyperparameters, model: Option<&'a dyn LanguageModel>) -> Result<Self, Error> {
        let pattern = settings.values.get(PATTERN).and_then(Value::as_str).map(Regex::new).transpose();
        let pattern = pattern.map_err(|error| settings.invalid(PATTERN, error.to_string()))?;
        Ok(Stimulus { frozen: Frozen::new(settings, model, &NAMES)?, pattern })
    }

    /// What an answer is worth; `None` where nothing says what is wanted.
    fn worth(&self, rollout: &Rollout<'_>, answer: &str) -> Option<f64> {
        let found = match &self.pattern {
            Some(pattern) => pattern.is_match(answer),
            None => answer.to_lowercase().contains(right_answer(rollout)?.trim().to_lowercase().as_str()),
        };
        Some(f64::from(u8::from(found)))
    }
}

impl Reward for Stimulus<'_> {
    /// # Errors
    /// Those of [`Frozen::answers`].
    fn score(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<f64>>, Error> {
        let answers = self.frozen.answers(rollouts, cancel)?;
        let worth = |(rollout, answer): (_, &Option<String>)| self.worth(rollout, answer.as_deref()?);
        Ok(rollouts.iter().zip(&answers).map(worth).collect())
    }
}
