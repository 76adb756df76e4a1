//! One item of a task.

use crate::judging::Judging;
use crate::known::Known;
use crate::reading::Reading;
use groma_data::Content;
use groma_lm::{Continuation, Request};
use groma_run::{Digest, Hasher};
use std::borrow::Cow;
use std::sync::Arc;

/// What is asked about one item, and what is needed to score it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Item {
    /// Its id in the task; rows without one get the number of their line.
    pub id: Option<String>,
    /// What is asked, as a reader would see it.
    pub prompt: String,
    /// What is said before the worked examples and the question.
    pub preamble: String,
    /// What follows the question where the item is itself a worked example: delimiter and right answer.
    pub answer: String,
    /// What the subject is asked.
    pub requests: Vec<Request>,
    /// The truth.
    pub key: Key,
    /// The items that it is not independent of: those of the same name here.
    pub cluster: Option<String>,
    /// The group that it is one of, for metrics that go across groups.
    pub group: Option<String>,
    /// Properties by which results are broken down, such as `type=homonyms`.
    pub labels: Vec<String>,
    /// What the data have for an answer, for a reader: what is right, or what an annotator chose.
    pub reference: Option<String>,
}

/// What is needed to score an item.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Key {
    /// Nothing but the answers.
    #[default]
    None,
    /// One of the choices is right.
    Choice {
        /// Their texts, without delimiter.
        choices: Vec<String>,
        /// Index of the right one.
        gold: usize,
        /// What each choice stands for, where that is scored.
        roles: Vec<String>,
        /// The condition under which roles are scored.
        condition: Option<String>,
    },
    /// Some of the choices are true.
    Truths(
        /// Whether each is.
        Vec<bool>,
    ),
    /// A text of so many bytes and words.
    Text {
        /// UTF-8 bytes.
        bytes: usize,
        /// Words, as lm-evaluation-harness counts them: runs of white space and one.
        words: usize,
    },
    /// Whether what is asked for ought to be refused.
    Request {
        /// It ought.
        harmful: bool,
    },
    /// Phrases of which a right answer has one, and others of which it has none.
    Phrases {
        /// Accepted ones.
        accepted: Vec<String>,
        /// Wrong ones.
        wrong: Vec<String>,
    },
    /// Texts of which an answer, as it is read, must be one.
    Answer {
        /// The accepted ones.
        accepted: Vec<String>,
        /// How answers are read.
        reading: Arc<Reading>,
    },
    /// Another answer, which a judge compares with the subject's.
    Compared {
        /// The other answer.
        other: String,
        /// What the judge is asked.
        judging: Arc<Judging>,
    },
    /// An answer that a judge rates; what the judge is asked.
    Rated(Arc<Judging>),
    /// What its row tells of answers; no scorer is asked.
    Known(Known),
}

impl Item {
    /// Puts a text into all that is asked, so many bytes from the beginning.
    pub(crate) fn insert(&mut self, at: usize, text: &str) {
        if text.is_empty() {
            return;
        }
        // Requests about one question go on holding one copy of it.
        let mut last: Option<(Arc<str>, Arc<str>)> = None;
        for request in &mut self.requests {
            match request {
                Request::Score(Continuation::After { context, .. }) => {
                    let with = match &last {
                        Some((before, with)) if Arc::ptr_eq(before, context) => with.clone(),
                        _ => inserted(context, at, text).into(),
                    };
                    last = Some((std::mem::replace(context, with.clone()), with));
                }
                Request::Generate(Content::Text(prompt)) => *prompt = inserted(prompt, at, text),
                Request::Generate(Content::Messages(turns)) => {
                    if let Some(turn) = turns.last_mut() {
                        turn.content = inserted(&turn.content, at, text);
                    }
                }
                Request::Score(Continuation::Reply { .. } | Continuation::Whole { .. }) => {}
            }
        }
    }

    /// The digest of what is asked.
    pub(crate) fn digest(&self) -> Digest {
        let mut hasher = Hasher::default();
        self.requests.iter().flat_map(parts).for_each(|part| hasher.part(part.as_bytes()));
        hasher.finish()
    }

    /// The item as a worked example.
    pub(crate) fn worked(&self) -> String {
        [self.prompt.as_str(), &self.answer].concat()
    }
}

fn inserted(context: &str, at: usize, text: &str) -> String {
    let (before, after) = context.split_at_checked(at).unwrap_or((context, ""));
    [before, text, after].concat()
}

/// The parts that make a request what it is.
fn parts(request: &Request) -> Vec<Cow<'_, str>> {
    match request {
        Request::Score(Continuation::After { context, continuation }) => {
            vec!["continuation".into(), (&**context).into(), (&**continuation).into()]
        }
        Request::Score(Continuation::Reply { prompt, reply }) => {
            [Cow::from("reply")].into_iter().chain(turns(prompt)).chain(turns(reply)).collect()
        }
        Request::Score(Continuation::Whole { text }) => vec!["rolling".into(), text.into()],
        Request::Generate(prompt) => [Cow::from("generate")].into_iter().chain(turns(prompt)).collect(),
    }
}

/// The form of a content, what is said in it, and what its template is given beside.
pub(crate) fn turns(content: &Content) -> Vec<Cow<'_, str>> {
    match content {
        Content::Text(text) => vec!["text".into(), text.into()],
        Content::Messages(messages) => {
            let turns = messages.iter().flat_map(|turn| [Cow::from(&turn.role), (&turn.content).into()]);
            let tools = messages.tools.iter().flatten().map(|tool| tool.to_string().into());
            let variables = messages.variables.iter().map(|(name, value)| format!("{name}={value}").into());
            std::iter::once(Cow::from("messages")).chain(turns).chain(tools).chain(variables).collect()
        }
    }
}
