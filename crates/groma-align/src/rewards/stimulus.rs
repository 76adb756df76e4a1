//! What a frozen model says once it has been given the completion as a hint: the reward of a small policy that learns to steer a
//! large one that cannot be trained.
//!
//! Li et al. 2023, arXiv 2302.11520 (directional stimulus prompting). The model, here or on a server, is asked the row's question
//! with the hint behind it, and the reward is 1 where its answer holds the row's `answer`, or matches a pattern; what it does not
//! answer has no value. Differs from the paper: the answer is looked for, and not compared word by word.

use super::exact_match::RIGHT_ANSWER;
use super::reward::{Reward, Rollout};
use super::rule::Rule;
use crate::parameter::{Kind, Parameter, Range};
use crate::role::Role;
use crate::{Error, Hyperparameters};
use groma_data::{Content, Message};
use groma_lm::{Ask, Control, Failure, LanguageModel};
use groma_run::{Cancel, Silent};
use regex::Regex;
use serde_json::Value;

pub(super) const RULE: Rule = Rule {
    id: "stimulus",
    title: "What a hint makes of an answer",
    paper: "arXiv:2302.11520",
    doc: "1 where a language model that is given the completion as a hint answers as is wanted, else 0; no value where it does not answer.",
    parameters: &[
        Parameter {
            name: MODEL,
            kind: Kind::Text,
            default: "null",
            range: None,
            doc: "Who answers: a directory, a hub id, or a model on an OpenAI-compatible server, URL#NAME. Must be given.",
        },
        Parameter {
            name: TEMPLATE,
            kind: Kind::Text,
            default: "\"{prompt}\\nHint: {hint}\"",
            range: None,
            doc: "How it is asked, with {prompt} and {hint}.",
        },
        Parameter {
            name: PATTERN,
            kind: Kind::Text,
            default: "null",
            range: None,
            doc: "A regular expression that the answer is to match; where null, it is to hold the row's answer, solution or ground_truth.",
        },
        Parameter {
            name: LENGTH,
            kind: Kind::Integer,
            default: "128",
            range: Some(Range::at_least(1.0)),
            doc: "Longest answer, in tokens.",
        },
    ],
    wants: |settings| settings.values.get(PATTERN).is_none_or(Value::is_null).then_some(RIGHT_ANSWER),
    build: |settings, model| Ok(Box::new(Stimulus::new(settings, model)?)),
};

const MODEL: &str = "judge_model";
const TEMPLATE: &str = "stimulus_template";
const PATTERN: &str = "stimulus_pattern";
const LENGTH: &str = "stimulus_max_new_tokens";
const PROMPT: &str = "{prompt}";
const HINT: &str = "{hint}";

struct Stimulus<'a> {
    model: Option<&'a dyn LanguageModel>,
    template: String,
    pattern: Option<Regex>,
    max_new_tokens: usize,
}

impl<'a> Stimulus<'a> {
    fn new(settings: &Hyperparameters, model: Option<&'a dyn LanguageModel>) -> Result<Self, Error> {
        let text = |name: &str| settings.values.get(name).and_then(Value::as_str);
        if text(MODEL).is_none() {
            return Err(settings.invalid(MODEL, "must be given with reward_funcs stimulus: who answers"));
        }
        let template = text(TEMPLATE).unwrap_or_default().to_owned();
        if !template.contains(PROMPT) || !template.contains(HINT) {
            return Err(settings.invalid(TEMPLATE, format!("must hold {PROMPT} and {HINT}")));
        }
        let pattern = text(PATTERN).map(Regex::new).transpose();
        let pattern = pattern.map_err(|error| settings.invalid(PATTERN, error.to_string()))?;
        let max_new_tokens = settings.values.get(LENGTH).and_then(Value::as_u64).unwrap_or(1) as usize;
        Ok(Stimulus { model, template, pattern, max_new_tokens })
    }

    fn ask(&self, rollout: &Rollout<'_>) -> Result<Ask, Error> {
        let prompt = rollout.columns.get("prompt").cloned().unwrap_or_default();
        let question = Content::from_value("prompt", prompt).map_err(role)?.plain();
        let parts: Vec<String> =
            self.template.split(PROMPT).map(|part| part.replace(HINT, rollout.completion.trim())).collect();
        let turn = Message::new("user", parts.join(&question));
        Ok(Ask::greedy(vec![turn].into(), self.max_new_tokens))
    }

    /// What an answer is worth; `None` where nothing says what is wanted.
    fn worth(&self, rollout: &Rollout<'_>, answer: &str) -> Option<f64> {
        let found = match &self.pattern {
            Some(pattern) => pattern.is_match(answer),
            None => {
                let wanted = rollout.answer()?;
                let wanted = wanted.as_str().map_or_else(|| wanted.to_string(), str::to_owned);
                answer.to_lowercase().contains(wanted.trim().to_lowercase().as_str())
            }
        };
        Some(f64::from(u8::from(found)))
    }
}

fn role(problem: String) -> Error {
    Error::Role { role: Role::Judge.name(), problem }
}

impl Reward for Stimulus<'_> {
    /// # Errors
    /// A request to stop; [`Error::Role`] where none of the questions has an answer.
    fn score(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<f64>>, Error> {
        let model = self.model.ok_or_else(|| role("nobody is there to answer".into()))?;
        let asks = rollouts.iter().map(|rollout| self.ask(rollout)).collect::<Result<Vec<_>, Error>>()?;
        let replies = model.generate(&asks, Control { progress: &Silent, cancel });
        if replies.iter().any(|reply| reply == &Err(Failure::Interrupted)) {
            return Err(groma_run::Error::Interrupted.into());
        }
        match replies.iter().find_map(|reply| reply.as_ref().err()) {
            Some(failure) if replies.iter().all(Result::is_err) => {
                Err(role(format!("no hint was answered: {failure}")))
            }
            _ => {
                let worth = |(rollout, reply): (_, &Result<groma_lm::Reply, Failure>)| {
                    self.worth(rollout, reply.as_ref().ok()?.text())
                };
                Ok(rollouts.iter().zip(&replies).map(worth).collect())
            }
        }
    }
}
