//! A frozen model that is asked the row's question with the completion beside it: what it answers is what the completion is worth by.

use super::reward::Rollout;
use crate::parameter::{Kind, Parameter, Range};
use crate::role::Role;
use crate::template::{PROMPT_PLACE, filled};
use crate::{Error, Hyperparameters};
use groma_data::{Content, Message};
use groma_lm::{Ask, Control, Failure, LanguageModel, Reply};
use groma_run::{Cancel, Silent};
use serde_json::Value;

const MODEL: &str = "judge_model";

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
    /// Whether the template must hold the prompt; else it may be left out where turns stand before it.
    pub(super) needs_prompt: bool,
}

impl Names {
    /// What a template must hold and does not.
    fn missing(&self, template: &str) -> Option<&'static str> {
        let prompt = self.needs_prompt.then_some(PROMPT_PLACE);
        [Some(self.slot), prompt].into_iter().flatten().find(|place| !template.contains(place))
    }
}

/// The model and how it is asked: the turns before the prompt's last one as they are, and that one by the template.
pub(super) struct Frozen<'a> {
    model: Option<&'a dyn LanguageModel>,
    template: String,
    names: &'static Names,
    max_new_tokens: usize,
}

impl<'a> Frozen<'a> {
    /// Of settings.
    ///
    /// # Errors
    /// [`Error::Setting`] where nobody is named, and where the template lacks a place that it must have.
    pub(super) fn new(
        settings: &Hyperparameters,
        model: Option<&'a dyn LanguageModel>,
        names: &'static Names,
    ) -> Result<Self, Error> {
        let text = |name: &str| settings.values.get(name).and_then(Value::as_str);
        if text(MODEL).is_none() {
            return Err(settings.invalid(MODEL, format!("must be given with reward_funcs {}: who answers", names.rule)));
        }
        let template = text(names.template).unwrap_or_default().to_owned();
        if let Some(place) = names.missing(&template) {
            return Err(settings.invalid(names.template, format!("must hold {place}")));
        }
        let max_new_tokens = settings.values.get(names.length).and_then(Value::as_u64).unwrap_or(1) as usize;
        Ok(Frozen { model, template, names, max_new_tokens })
    }

    fn ask(&self, rollout: &Rollout<'_>) -> Result<Ask, Error> {
        let prompt = rollout.columns.get("prompt").cloned().unwrap_or_default();
        let mut turns = match Content::from_value("prompt", prompt).map_err(role)? {
            Content::Messages(turns) => turns,
            Content::Text(text) => vec![Message::new("user", text)].into(),
        };
        let last = turns.messages.pop().map(|turn| turn.content).unwrap_or_default();
        if turns.messages.is_empty() && !self.template.contains(PROMPT_PLACE) {
            return Err(self.unread());
        }
        let places = [(PROMPT_PLACE, last.as_str()), (self.names.slot, rollout.completion.trim())];
        turns.messages.push(Message::new("user", filled(&self.template, &places)));
        Ok(Ask::greedy(Content::Messages(turns), self.max_new_tokens))
    }

    /// Nothing of the prompt would be read.
    fn unread(&self) -> Error {
        role(format!(
            "`{}` holds no {PROMPT_PLACE}, and a row's prompt has one turn alone, which would not be read; put {PROMPT_PLACE} into it",
            self.names.template
        ))
    }

    /// What it answers to each; `None` where it does not.
    ///
    /// # Errors
    /// A request to stop; [`Error::Role`] where none of the questions has an answer, and where one would leave the prompt out.
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NAMES: Names =
        Names { rule: "r", template: "r_template", length: "r_length", slot: "{hint}", needs_prompt: false };

    fn asked(template: &str, prompt: Value) -> Result<String, Error> {
        let frozen = Frozen { model: None, template: template.to_owned(), names: &NAMES, max_new_tokens: 1 };
        let columns = json!({ "prompt": prompt }).as_object().cloned().unwrap();
        let rollout = Rollout { columns: &columns, completion: " {prompt} ", tokens: 1 };
        frozen.ask(&rollout).map(|ask| ask.prompt.shown())
    }

    #[test]
    fn texts_that_look_like_places_are_none() {
        assert_eq!(asked("{prompt}|{hint}", json!("{hint}?")).unwrap(), "{hint}?|{prompt}");
    }

    #[test]
    fn prompts_are_read_by_the_template_or_before_it() {
        let turn = |role: &str, text: &str| json!({"role": role, "content": text});
        let turns = json!([turn("user", "a?"), turn("assistant", "b."), turn("user", "c?")]);
        assert_eq!(asked("{hint}", turns).unwrap(), "user: a?\n\nassistant: b.\n\nuser: {prompt}");
        for one in [json!("a?"), json!([turn("user", "a?")])] {
            let error = asked("{hint}", one).unwrap_err().to_string();
            assert!(error.contains("`r_template` holds no {prompt}"), "{error}");
        }
    }

    #[test]
    fn templates_must_hold_their_places() {
        let needs = Names { needs_prompt: true, ..NAMES };
        assert_eq!((NAMES.missing("{hint}"), NAMES.missing("{prompt}")), (None, Some("{hint}")));
        assert_eq!((needs.missing("{hint}"), needs.missing("{prompt} {hint}")), (Some("{prompt}"), None));
    }
}
