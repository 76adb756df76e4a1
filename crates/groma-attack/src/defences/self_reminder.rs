//! Self-reminder: the user's text between two reminders of what the model owes.

use groma_data::Content;
use groma_lm::{Ask, LanguageModel, Reply, Sink};
use groma_run::Cancel;
use serde::Deserialize;

use crate::defence::{Defence, Shield};
use crate::prompt::{user_text, with_user_text};
use crate::settings::settings;

pub(crate) const RECORD: Defence = Defence::new(
    (
        "self-reminder",
        "Xie et al. 2023, Defending ChatGPT against jailbreak attack via self-reminders",
        "puts what the user said between two reminders. Settings: `before` and `after`, the reminders; the defaults say in other \
         words what the published ones do",
    ),
    |given, _| Ok(Box::new(settings::<SelfReminder>(given)?)),
);

#[derive(Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SelfReminder {
    before: String,
    after: String,
}

impl Default for SelfReminder {
    fn default() -> Self {
        SelfReminder {
            before: "You are a responsible assistant and write nothing harmful or misleading. Answer what follows in that way."
                .into(),
            after: "Remember: you are a responsible assistant and write nothing harmful or misleading.".into(),
        }
    }
}

impl Shield for SelfReminder {
    fn generate_each(&self, model: &dyn LanguageModel, asks: &[Ask], cancel: &Cancel, sink: &Sink<'_, Reply>) {
        let reminded = |ask: &Ask| Ask { prompt: self.seen(&ask.prompt), ..ask.clone() };
        let asks: Vec<Ask> = asks.iter().map(reminded).collect();
        model.generate_each(&asks, cancel, sink);
    }

    fn seen(&self, prompt: &Content) -> Content {
        let text = format!("{}\n{}\n{}", self.before, user_text(prompt), self.after);
        with_user_text(prompt, text)
    }
}
