//! Scorers, one file each: what a subject is asked about a row, and what its answers are worth.
//!
//! A new scorer is a new file with one record, and a line in [`SCORERS`].

mod answer;
mod answers;
pub(crate) mod choice;
mod diagnosis;
mod judged_pair;
mod judged_rating;
mod likelier;
mod pair;
mod phrases;
mod questions;
mod refusal;
mod replies;
mod scorer;
mod target;
mod triple;
mod truths;
mod windows;

pub use scorer::Scorer;
pub(crate) use scorer::{Judged, Tools};

/// All scorers.
pub static SCORERS: &[&Scorer] = &[
    &choice::SCORER,
    &truths::SCORER,
    &likelier::SCORER,
    &diagnosis::SCORER,
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

#[cfg(test)]
pub(crate) mod testing {
    use super::*;
    use crate::item::Item;
    use crate::refusal::RefusalReader;
    use crate::scores::Scores;
    use groma_lm::{Answer, Choice, Failure, Finish, Reply, Scored};
    use groma_run::Seed;
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
