//! The swap test: with what is wanted and what is not exchanged, the gradient of a loss of preferences must turn round.
//!
//! Where it does not, what trains does not hear what the rows prefer, however well the loss falls.

use crate::group::Group;
use crate::learn::{Learner, Models, forest};
use crate::objective::{Objective, Reads, Step};
use crate::{Error, Metrics};
use std::borrow::Cow;

/// Groups that the test looks at.
const GROUPS: usize = 2;

/// Changes of the loss as the wanted members gain log-probability, score or worth against the others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Polarity {
    /// With the rows as they are labelled.
    pub(crate) labelled: f64,
    /// With labels exchanged in what the loss is given.
    pub(crate) exchanged: f64,
}

impl Polarity {
    /// Of the first groups that say what is wanted; `None` where none does.
    pub(crate) fn of(
        models: Models<'_>,
        objective: &mut dyn Objective,
        groups: &[Cow<'_, Group>],
    ) -> Result<Option<Self>, Error> {
        let telling: Vec<Cow<'_, Group>> =
            groups.iter().filter(|group| group.sides().iter().any(|&side| side != 0.0)).take(GROUPS).cloned().collect();
        if telling.is_empty() {
            return Ok(None);
        }
        let exchanged: Vec<Cow<'_, Group>> = telling.iter().map(|group| Cow::Owned(group.exchanged())).collect();
        let labelled = slope(models, objective, &telling)?;
        // The sides after the exchange are the opposite of those that the rows meant.
        let exchanged = -slope(models, objective, &exchanged)?;
        if objective.action_values().is_some() {
            // What is fitted to rewards also hears how far from them it is, which stays: half the change is what hears the rewards.
            let heard = 0.5 * (labelled - exchanged);
            return Ok(Some(Polarity { labelled: heard, exchanged: -heard }));
        }
        Ok(Some(Polarity { labelled, exchanged }))
    }

    /// # Errors
    /// [`Error::Polarity`] unless both are of opposite sign.
    pub(crate) fn check(self) -> Result<(), Error> {
        let Polarity { labelled, exchanged } = self;
        if labelled * exchanged < 0.0 { Ok(()) } else { Err(Error::Polarity { labelled, exchanged }) }
    }
}

/// How the loss changes as members gain by their sides.
fn slope(models: Models<'_>, objective: &mut dyn Objective, groups: &[Cow<'_, Group>]) -> Result<f64, Error> {
    let step = Step { groups, total: objective.total(groups) };
    let forest = forest(groups);
    let metrics = &mut Metrics::default();
    let mut learner =
        Learner { models, gradients: None, metrics, dropout: None, noise: None, forgets: None, recompute: false };
    let slopes = learner.micro(objective, step, (0, 0..groups.len()), &forest)?;
    let of = |member: usize| -> f64 {
        match objective.reads() {
            Reads::Scores => f64::from(slopes.scores[member]),
            // Steps are right or wrong each, and what a teacher says is neither: no sequence is preferred.
            Reads::Steps | Reads::Spans { .. } => 0.0,
            Reads::Tokens { .. } | Reads::Rivals | Reads::Divergence { .. } => {
                let by_slot = |slopes: &[f32]| -> f64 {
                    forest.slots(member).iter().map(|&slot| f64::from(slopes[slot as usize])).sum()
                };
                match &slopes.actions[..] {
                    [] => by_slot(&slopes.logps),
                    heads => heads.iter().map(|head| by_slot(&head.worth)).sum(),
                }
            }
        }
    };
    let sides = groups.iter().flat_map(|group| group.sides()).enumerate();
    Ok(sides.filter(|(_, side)| *side != 0.0).map(|(member, side)| side * of(member)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sign_that_turns_round_passes() {
        let passes = |labelled, exchanged| Polarity { labelled, exchanged }.check().is_ok();
        assert!(passes(-0.1, 0.2) && passes(0.1, -0.2));
        assert!(!passes(-0.1, -0.1) && !passes(0.1, 0.1) && !passes(0.0, 0.0) && !passes(f64::NAN, 1.0));
    }
}
