//! What a scorer says of itself, and what it is given.

use groma_run::Seed;

use super::answers::only_text;
use crate::columns::Fields;
use crate::form::Form;
use crate::item::{Item, Key};
use crate::metric::Metric;
use crate::refusal::RefusalReader;
use crate::scores::Scores;
use groma_lm::{Answer, Failure, Kind, Request};

/// A way to ask and to score.
#[derive(Debug)]
pub struct Scorer {
    /// Its name in task files.
    pub id: &'static str,
    /// How it asks, for results; tasks may say it in other words.
    pub mode: &'static str,
    /// The kind of its requests.
    pub kind: Kind,
    /// Parts of a form without which it cannot ask.
    pub(crate) needs: &'static [&'static str],
    /// Parts that it reads where they are there.
    pub(crate) reads: &'static [&'static str],
    /// An item without id, labels and what else any item has.
    pub(crate) item: fn(&Form, &Fields) -> Result<Item, String>,
    /// What a judge is asked about its answers, where one is, or can be.
    pub(crate) judge: Option<Judged>,
    /// From an item's answers, which come in the order of its requests, to its scores; several of them where an item has
    /// parts (windows of a text). A judge's answers come behind the subject's.
    pub(crate) score: Score,
    /// Metrics of its scores.
    pub(crate) metrics: &'static [Metric],
}

/// Scores an item's answers.
pub(crate) type Score = fn(&Item, &[Answer], &Tools<'_>) -> Result<Vec<Scores>, Failure>;

/// What a judge is asked.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The names under which its question shows answers.
    pub(crate) answers: &'static [&'static str],
    /// How a scorer asks that can do without a judge, where a judge stands in for its own reading.
    pub(crate) stands_in: Option<&'static str>,
    /// From an item and the subject's answers to the questions.
    pub(crate) ask: fn(&Item, &[Answer]) -> Result<Vec<Request>, Failure>,
}

/// What scoring may need beside the answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tools<'a> {
    /// Reads refusals.
    pub(crate) refusals: &'a RefusalReader,
    /// For null controls; each item draws from the seed named after it.
    pub(crate) seed: Seed,
}

impl Scorer {
    /// The scores of an item: by what its row tells of answers, where it does.
    pub(crate) fn scores(&self, item: &Item, answers: &[Answer], tools: &Tools<'_>) -> Result<Vec<Scores>, Failure> {
        match &item.key {
            Key::Known(known) => Ok(vec![known.scores(only_text(answers)?)?]),
            _ => (self.score)(item, answers, tools),
        }
    }
}
