//! Scorers, one file each: what a subject is asked about a row, and what its answers are worth.
//!
//! A new scorer is a new file with one record, and a line in [`SCORERS`].

mod answer;
pub(crate) mod choice;
mod judged_pair;
mod judged_rating;
mod likelier;
mod pair;
mod phrases;
mod refusal;
mod replies;
mod target;
mod triple;
mod truths;
mod windows;

use groma_run::Seed;
use std::sync::Arc;

use crate::columns::Fields;
use crate::form::Form;
use crate::item::{Item, Key};
use crate::metric::Metric;
use crate::refusal::RefusalReader;
use crate::scores::Scores;
use groma_lm::{Answer, Continuation, Failure, Kind, Request};

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
    /// What a judge is asked about its answers, where one is.
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

/// All scorers.
pub static SCORERS: &[&Scorer] = &[
    &choice::SCORER,
    &truths::SCORER,
    &likelier::SCORER,
    &target::SCORER,
    &triple::SCORER,
    &windows::SCORER,
    &pair::SCORER,
    &refusal::SCORER,
    &replies::SCORER,
    &phrases::SCORER,
    &answer::SCORER,
    &judged_pair::SCORER,
    &judged_rating::SCORER,
];

/// Between a question and its answer: a space, unless the form says otherwise.
fn delimiter(form: &Form, row: &Fields) -> Result<String, String> {
    Ok(form.optional_text("delimiter", row)?.unwrap_or_else(|| " ".to_owned()))
}

/// Requests for continuations of one context, of which they hold one copy.
fn after_one(context: &str, continuations: impl IntoIterator<Item = String>) -> Vec<Request> {
    let context: Arc<str> = context.into();
    let request = |continuation| Request::Score(Continuation::After { context: context.clone(), continuation });
    continuations.into_iter().map(request).collect()
}

fn log_likelihoods(answers: &[Answer]) -> Result<Vec<f64>, Failure> {
    answers.iter().map(|answer| Ok(answer.scored()?.sum())).collect()
}

/// The only answer, which is a text.
fn only_text(answers: &[Answer]) -> Result<&str, Failure> {
    match answers {
        [answer] => Ok(answer.reply()?.text()),
        _ => Err(Failure::WrongKind),
    }
}

/// Rows are read by another reader than `rows`; see [`crate::task::Reader`].
fn no_rows(_: &Form, _: &Fields) -> Result<Item, String> {
    Err("its scorer makes no items of rows".to_owned())
}

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use groma_lm::{Choice, Finish, Reply, Scored};
    use std::sync::OnceLock;

    /// Scores of an item that got these answers.
    pub(crate) fn scored(scorer: &Scorer, item: &Item, answers: &[Answer]) -> Result<Vec<Scores>, Failure> {
        static REFUSALS: OnceLock<RefusalReader> = OnceLock::new();
        let refusals = REFUSALS.get_or_init(|| RefusalReader::built_in().unwrap());
        (scorer.score)(item, answers, &Tools { refusals, seed: Seed::new(0) })
    }

    /// The score of so many tokens, all of it the first one's.
    pub(crate) fn likelihood(logp: f64, tokens: usize) -> Scored {
        let mut logps = vec![0.0; tokens];
        logps[0] = logp as f32;
        Scored { logps, windows: vec![tokens], ..Scored::default() }
    }

    /// What was said.
    pub(crate) fn said(text: &str) -> Answer {
        let choice = Choice { text: text.to_owned(), ids: vec![], logps: vec![], finish: Finish::Stop };
        Answer::Reply(Reply { choices: vec![choice], ..Reply::default() })
    }
}
