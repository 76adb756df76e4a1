//! What a judge is asked about answers, and how its verdict is read.

use serde::Deserialize;
use serde_json::{Map, Value};

use groma_data::Message;
use groma_lm::Request;

use crate::reading::Pattern;
use crate::suggest::closest;
use crate::template::Text;

/// A part `judging` of a form.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judging {
    /// What the judge is asked; variables are `question`, `reference`, and the answers.
    ask: Text,
    /// What a verdict looks like; its first group is the verdict.
    verdict: Pattern,
}

/// What is asked about.
const QUESTION: [&str; 2] = ["question", "reference"];

impl Judging {
    /// Checks that the template asks about these answers, and about nothing else.
    pub(crate) fn check(&self, answers: &[&str]) -> Result<(), String> {
        let known = || QUESTION.iter().chain(answers).copied();
        if let Some(name) = self.ask.names().iter().find(|name| !known().any(|known| known == name.as_str())) {
            let meant = closest(name, known().collect::<Vec<_>>());
            return Err(format!("`ask` reads `{name}`, which no judge is told{meant}"));
        }
        match answers.iter().find(|answer| !self.ask.names().contains(**answer)) {
            Some(answer) => Err(format!("`ask` does not show the judge `{answer}`")),
            None => Ok(()),
        }
    }

    /// The request to the judge about answers to a question, by their names; `reference` is what would have been right, where that
    /// is known.
    pub(crate) fn request(
        &self,
        question: &str,
        reference: Option<&str>,
        answers: &[(&str, &str)],
    ) -> Result<Request, String> {
        let told = [("question", question), ("reference", reference.unwrap_or_default())];
        let value = |(name, text): &(&str, &str)| ((*name).to_owned(), Value::String(groma_lm::defused(text)));
        let row: Map<String, Value> = told.iter().chain(answers).map(value).collect();
        let turn = Message::new("user", self.ask.render(&row)?);
        Ok(Request::Generate(vec![turn].into()))
    }

    /// The verdict in what a judge said: the pattern's group in its last line, where all matches agree.
    pub(crate) fn verdict<'a>(&self, said: &'a str) -> Result<&'a str, String> {
        groma_lm::verdict(said, |line| self.verdict.groups(line))
    }
}
