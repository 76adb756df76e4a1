//! An attack on all goals of a run.

use std::vec::IntoIter;

use groma_run::{Advance, Seed};
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::arena::{Arena, Trial};
use crate::attack::{Method, Proposes, Searches};
use crate::attempt::{Attempt, Input};
use crate::goal::Goal;
use crate::keep::Keep;

/// A goal that is finished, as it is kept.
#[derive(Serialize, Deserialize)]
struct Finished {
    finished: Attempt,
}

/// Attacks each of the goals; what came of each, in their order.
///
/// What is drawn for a goal comes from `seed` and the goal's name, so that nothing depends on which goals there are. The arena's
/// progress is told how many goals are done.
///
/// # Errors
/// If a goal does not fit the attack, the model breaks down, or a stop was asked for; what is finished is kept.
pub fn assault(method: &Method, arena: &Arena, goals: &[Goal], seed: Seed, keep: &Keep) -> Result<Vec<Attempt>, Error> {
    let trials = (0..).zip(goals).map(|(place, goal)| Trial::new(goal, seed.named(&goal.id), place)).collect();
    match method {
        Method::Inputs(proposes) => in_rounds(&**proposes, arena, trials),
        Method::Search(searches) => one_by_one(&**searches, arena, trials, keep),
        // It has no goals.
        Method::Audit(_) => Ok(Vec::new()),
    }
}

/// Puts the first input of each goal, then the second of each, as far as budgets go.
fn in_rounds(proposes: &dyn Proposes, arena: &Arena, mut trials: Vec<Trial>) -> Result<Vec<Attempt>, Error> {
    let inputs = trials.iter().map(|trial| Ok(proposes.inputs(&arena.target, trial.goal, trial.seed)?.into_iter()));
    let mut inputs: Vec<IntoIter<Input>> = inputs.collect::<Result<_, Error>>()?;
    loop {
        let round: Vec<(&mut Trial, Input)> = trials
            .iter_mut()
            .zip(&mut inputs)
            .filter(|(trial, _)| arena.left(trial) > 0)
            .filter_map(|(trial, inputs)| Some((trial, inputs.next()?)))
            .collect();
        if round.is_empty() {
            break;
        }
        arena.ask(round)?;
        let done = trials.iter().zip(&inputs).filter(|(trial, rest)| rest.len() == 0 || arena.left(trial) == 0).count();
        arena.control.progress.advance(&Advance { done: done as u64, ..Advance::default() });
    }
    Ok(trials.into_iter().map(|trial| trial.attempt).collect())
}

/// Searches for each goal that is not finished.
fn one_by_one(searches: &dyn Searches, arena: &Arena, trials: Vec<Trial>, keep: &Keep) -> Result<Vec<Attempt>, Error> {
    let mut attempts = Vec::new();
    for mut trial in trials {
        arena.control.cancel.check()?;
        let id = &trial.goal.id;
        let attempt = match keep.load(id) {
            Some(Finished { finished }) => finished,
            None => {
                searches.search(arena, &mut trial, keep)?;
                let done = Finished { finished: trial.attempt };
                // What got no answer for the moment is asked again.
                if done.finished.unanswered == 0 {
                    keep.save(id, &done)?;
                }
                done.finished
            }
        };
        attempts.push(attempt);
        arena.control.progress.advance(&Advance { done: attempts.len() as u64, ..Advance::default() });
    }
    Ok(attempts)
}
