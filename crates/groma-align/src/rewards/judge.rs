//! What a language model says of a completion, from 1 to 10: a judge here, or on a server.
//!
//! Zheng et al. 2023, arXiv 2306.05685; used as a reward as in Lee et al. 2023, arXiv 2309.00267 (direct RLAIF). It is asked as
//! the task `judged-rating` asks: with the row's `reference`, where there is one, beside the answer. What it did not answer, or
//! what cannot be read, has no value.

use super::reward::{Answer, Remote, Reward, Rollout};
use super::rule::Rule;
use crate::parameter::{Kind, Parameter, Range};
use crate::role::Role;
use crate::{Error, Hyperparameters};
use groma_data::{Content, Message};
use groma_lm::{Ask, Control, Failure, LanguageModel, RATING, Reply, rating, read_rating, verdict};
use groma_run::{Cancel, Silent};
use regex::Regex;
use serde_json::Value;

pub(super) const RULE: Rule = Rule {
    id: "judge",
    title: "A judge's rating",
    paper: "arXiv:2306.05685",
    doc: "How a language model rates the completion, from 1 to 10; no value where it does not answer, or not so that a rating can be read.",
    parameters: &[
        Parameter {
            name: MODEL,
            kind: Kind::Text,
            default: "null",
            range: None,
            doc: "Who rates: a directory, a hub id, or a model on an OpenAI-compatible server, URL#NAME. Must be given.",
        },
        Parameter {
            name: LENGTH,
            kind: Kind::Integer,
            default: "512",
            range: Some(Range::at_least(1.0)),
            doc: "Longest verdict, in tokens.",
        },
    ],
    wants: |_| None,
    build: |settings, judge| Ok(Box::new(Judge::new(settings, judge)?)),
};

const MODEL: &str = "judge_model";
const LENGTH: &str = "judge_max_new_tokens";

/// An answer that is to be rated.
#[derive(Clone, Debug)]
pub struct ToRate<'a> {
    /// What was asked.
    pub question: String,
    /// A good answer to hold beside it.
    pub reference: Option<&'a str>,
    /// What was answered.
    pub answer: &'a str,
}

/// How a judge rates answers, from 1 to 10, in their order; nothing where it does not answer, or not so that a rating can be read.
///
/// # Errors
/// A request to stop; [`Error::Role`] where none of the questions has an answer.
pub fn rate(
    judge: &dyn LanguageModel,
    answers: &[ToRate<'_>],
    max_new_tokens: usize,
    control: Control<'_>,
) -> Result<Vec<Option<f64>>, Error> {
    let asks: Vec<Ask> = answers.iter().map(|answer| ask(answer, max_new_tokens)).collect();
    let pattern = pattern()?;
    all_or_none(&judge.generate(&asks, control).into_iter().map(|reply| rating_of(&pattern, reply)).collect::<Vec<_>>())
}

fn ask(ToRate { question, reference, answer }: &ToRate<'_>, max_new_tokens: usize) -> Ask {
    Ask::greedy(vec![Message::new("user", rating(question, *reference, answer))].into(), max_new_tokens)
}

fn pattern() -> Result<Regex, Error> {
    Regex::new(RATING).map_err(|error| role(error.to_string()))
}

/// A rating, where one can be read.
fn rating_of(pattern: &Regex, reply: Result<Reply, Failure>) -> Answer {
    reply.map(|reply| read(pattern, &reply))
}

/// Ratings of all that was asked.
///
/// # Errors
/// A request to stop; [`Error::Role`] where none of the questions has an answer.
fn all_or_none(answers: &[Answer]) -> Result<Vec<Option<f64>>, Error> {
    if answers.contains(&Err(Failure::Interrupted)) {
        return Err(groma_run::Error::Interrupted.into());
    }
    match answers.iter().find_map(|answer| answer.as_ref().err()) {
        Some(failure) if answers.iter().all(Result::is_err) => {
            Err(role(format!("none of {} was answered: {failure}", groma_run::counted(answers.len(), "question"))))
        }
        _ => Ok(answers.iter().map(|answer| answer.clone().ok().flatten()).collect()),
    }
}

fn role(problem: String) -> Error {
    Error::Role { role: Role::Judge.name(), problem }
}

fn read(pattern: &Regex, reply: &Reply) -> Option<f64> {
    let groups = |line| pattern.captures_iter(line).filter_map(|found| Some(found.get(1)?.as_str()));
    verdict(reply.text(), groups).and_then(read_rating).ok()
}

struct Judge<'a> {
    model: Option<&'a dyn LanguageModel>,
    max_new_tokens: usize,
    pattern: Regex,
}

impl<'a> Judge<'a> {
    fn new(settings: &Hyperparameters, model: Option<&'a dyn LanguageModel>) -> Result<Self, Error> {
        if settings.values.get(MODEL).is_none_or(Value::is_null) {
            return Err(settings.invalid(MODEL, "must be given with reward_funcs judge: who rates"));
        }
        let max_new_tokens = settings.values.get(LENGTH).and_then(Value::as_u64).unwrap_or(1) as usize;
        Ok(Judge { model, max_new_tokens, pattern: pattern()? })
    }
}

impl Judge<'_> {
    fn ask(&self, rollout: &Rollout<'_>) -> Result<Ask, Error> {
        let prompt = rollout.columns.get("prompt").cloned().unwrap_or_default();
        let question = Content::from_value("prompt", prompt).map_err(role)?.plain();
        let reference = rollout.columns.get("reference").and_then(Value::as_str);
        Ok(ask(&ToRate { question, reference, answer: rollout.completion }, self.max_new_tokens))
    }
}

impl Reward for Judge<'_> {
    /// # Errors
    /// Those of [`rate`].
    fn score(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<f64>>, Error> {
        Remote::ask(self, rollouts, cancel)
    }

    fn remote(&self) -> Option<&dyn Remote> {
        self.model.filter(|model| model.is_elsewhere()).map(|_| self as &dyn Remote)
    }
}

impl Remote for Judge<'_> {
    fn answers(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Answer>, Error> {
        let model = self.model.ok_or_else(|| role("nobody is there to rate".into()))?;
        let asks = rollouts.iter().map(|rollout| self.ask(rollout)).collect::<Result<Vec<_>, Error>>()?;
        let replies = model.generate(&asks, Control { progress: &Silent, cancel });
        Ok(replies.into_iter().map(|reply| rating_of(&self.pattern, reply)).collect())
    }

    fn read(&self, answers: &[Answer]) -> Result<Vec<Option<f64>>, Error> {
        all_or_none(answers)
    }
}
