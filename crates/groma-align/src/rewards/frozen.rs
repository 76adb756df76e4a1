//! A frozen model that is asked the row's question with the completion beside it: what it answers is what the completion is worth by.

use super::reward::Rollout;
use crate::parameter::{Kind, Parameter, Range};
use crate::role::Role;
use crate::{Error, Hyperparameters};
use groma_data::{Content, Message};
use groma_lm::{Ask, Control, Failure, LanguageModel, Reply};
use groma_run::{Cancel, Silent};
use serde_json::Value;

const MODEL: &str = "judge_model";
const PROMPT: &str = "{prompt}";

/// The setting of a rule that names who answers.
pub(super) const ANSWERS: Parameter = Parameter {
    name: MODEL,
    kind: Kind::Text,
    default: "null",
    range: None,
    doc: "Who answers: a directory, a hub id, or a model on an OpenAI-compatible server, URL#NAME. Must be given.",
};

/// The setting of a rule that says how long answers may be.
pub(super) const fn longest(name: &'static str) -> Parameter {
    Parameter {
        name,
        kind: Kind::Integer,
        default: "128",
        range: Some(Range::at_least(1.0)),
        doc: "Longest answer, in tokens.",
    }
}

/// What a rule calls its parts.
pub(super) struct Names {
    pub(super) rule: &'static str,
    /// The setting with the template.
    pub(super) template: &'static str,
    /// The setting with the longest answer.
    pub(super) length: &'static str,
    /// What stands for the completion in the template.
    pub(super) slot: &'static str,
}

/// The model and how it is asked: the turns before the prompt's last one as they are, and that one by the template.
pub(super) struct Frozen<'a> {
    model: Option<&'a dyn LanguageModel>,
    template: String,
    slot: &'static str,
    max_new_tokens: usize,
}

impl<'a> Frozen<'a> {
    /// Of settings.
    ///
    /// # Errors
    /// [`Error::Setting`] where nobody is named, and where the template has no place for the completion.
    pub(super) fn new(
        settings: &Hyperparameters,
        model: Option<&'a dyn LanguageModel>,
        names: &Names,
    ) -> Result<Self, Error> {
        let text = |name: &str| settings.values.get(name).and_then(Value::as_str);
        if text(MODEL).is_none() {
            return Err(settings.invalid(MODEL, format!("must be given with reward_funcs {}: who answers", names.rule)));
        }
        let template = text(names.template).unwrap_or_default().to_owned();
        if !template.contains(names.slot) {
            return Err(settings.invalid(names.template, format!("must hold {}", names.slot)));
        }
        let max_new_tokens = settings.values.get(names.length).and_then(Value::as_u64).unwrap_or(1) as usize;
        Ok(Frozen { model, template, slot: names.slot, max_new_tokens })
    }

    fn ask(&self, rollout: &Rollout<'_>) -> Result<Ask, Error> {
        let prompt = rollout.columns.get("prompt").cloned().unwrap_or_default();
        let mut turns = match Content::from_value("prompt", prompt).map_err(role)? {
            Content::Messages(turns) => turns,
            Content::Text(text) => vec![Message::new("user", text)].into(),
        };
        let last = turns.messages.pop().map(|turn| turn.content).unwrap_or_default();
        // What is put in place of one slot is not searched for the other.
        let parts = self.template.split(PROMPT).map(|part| part.replace(self.slot, rollout.completion.trim()));
        turns.messages.push(Message::new("user", parts.collect::<Vec<_>>().join(&last)));
        Ok(Ask::greedy(Content::Messages(turns), self.max_new_tokens))
    }

    /// What it answers to each; `None` where it does not.
    ///
    /// # Errors
    /// A request to stop; [`Error::Role`] where none of the questions has an answer.
    pub(super) fn answers(&self, rollouts: &[Rollout<'_>], cancel: &Cancel) -> Result<Vec<Option<String>>, Error> {
        let model = self.model.ok_or_else(|| role("nobody is there to answer".into()))?;
        let asks = rollouts.iter().map(|rollout| self.ask(rollout)).collect::<Result<Vec<_>, Error>>()?;
        let replies = model.generate(&asks, Control { progress: &Silent, cancel });
        if replies.iter().any(|reply| reply == &Err(Failure::Interrupted)) {
            return Err(groma_run::Error::Interrupted.into());
        }
        match replies.iter().find_map(|reply| reply.as_ref().err()) {
            Some(failure) if replies.iter().all(Result::is_err) => {
                Err(role(format!("none of {} was answered: {failure}", groma_run::counted(replies.len(), "question"))))
            }
            _ => {
                let text = |reply: Result<Reply, Failure>| reply.ok().map(|reply| reply.text().to_owned());
                Ok(replies.into_iter().map(text).collect())
            }
        }
    }
}

fn role(problem: String) -> Error {
    Error::Role { role: Role::Judge.name(), problem }
}
