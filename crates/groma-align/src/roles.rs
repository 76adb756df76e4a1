//! Who fills the roles of a run: where the reference's log-probabilities come from, who rewards, and what a method has at hand.

use crate::collect::Collector;
use crate::objective::Objective;
use crate::order::Order;
use crate::reference::{self, Reference, Tables};
use crate::rewards::NamedReward;
use crate::schedule::{Pace, Schedule};
use crate::session::Session;
use crate::{Error, Metrics};
use groma_model::Transformer;
use groma_run::{Cancel, Digest, Hasher, Seed};
use std::collections::BTreeSet;

/// Checks that rewards are there before anything is done.
///
/// # Errors
/// [`Error::Role`] unless there is a reward for each that the settings name.
pub(crate) fn check(objective: &dyn Objective, rewards: usize) -> Result<(), Error> {
    let Some(rollouts) = objective.rollouts() else { return Ok(()) };
    let wanted = rollouts.rules().len() + rollouts.reward_models().len();
    if rewards != wanted {
        return Err(Error::Role { role: "reward", problem: format!("{wanted} are named, {rewards} are there") });
    }
    Ok(())
}

/// Where the reference's log-probabilities come from, where the method compares with one: whichever computes less.
pub(crate) fn reference(
    model: &Transformer,
    session: &Session,
    objective: &dyn Objective,
    pace: Pace,
    pass_rows: usize,
) -> Result<Option<Reference>, Error> {
    if !objective.needs_reference() {
        return Ok(None);
    }
    let switch = crate::setup::has_adapter(model) && !session.continues_adapter;
    if objective.rollouts().is_some() {
        let copy = || Reference::Model(Box::new(model.frozen_copy()));
        return Ok(Some(if switch { Reference::WithoutAdapter } else { copy() }));
    }
    let visited = visited(session, pace);
    let tables = Tables {
        model,
        adapter: session.continues_adapter,
        pass_rows,
        identity: session.model_digest,
        cache: session.directory.as_deref(),
        files: &session.files,
        cancel: &session.cancel,
    };
    let precompute = reference::precompute(session.settings)?;
    if switch && !precompute.unwrap_or(visits(session, pace) > visited.len()) {
        return Ok(Some(Reference::WithoutAdapter));
    }
    let held_out = session.evaluation.iter().flat_map(|rows| &rows.groups);
    let train = visited.iter().map(|&index| &session.train.groups[index]);
    Ok(Some(Reference::Known(tables.of(&train.chain(held_out).collect::<Vec<_>>())?)))
}

/// Groups that some step sees, ascending.
fn visited(session: &Session, pace: Pace) -> Vec<usize> {
    let training = &session.settings.training;
    let groups = session.train.groups.len();
    let schedule = Schedule::new(training, groups, pace);
    let mut order = Order::new(training, groups, pace);
    let steps = schedule.total_steps.min(schedule.steps_per_epoch);
    let seen: BTreeSet<usize> = (1..=steps).flat_map(|step| order.batch(step)).collect();
    if schedule.total_steps <= steps { seen.into_iter().collect() } else { (0..groups).collect() }
}

/// How often groups are seen, over all steps.
fn visits(session: &Session, pace: Pace) -> usize {
    let groups = session.train.groups.len();
    let schedule = Schedule::new(&session.settings.training, groups, pace);
    let epochs = schedule.total_steps.div_ceil(schedule.steps_per_epoch) as usize;
    if epochs > 1 { epochs * groups } else { visited(session, pace).len() }
}

/// Digest of the models that fill roles, where there are any.
pub(crate) fn digest(rewards: &[NamedReward<'_>]) -> Option<Digest> {
    let mut hasher = Hasher::default();
    let digests: Vec<&Digest> = rewards.iter().filter_map(|reward| reward.digest.as_ref()).collect();
    digests.iter().for_each(|digest| hasher.part(digest.as_bytes()));
    (!digests.is_empty()).then(|| hasher.finish())
}

/// What a run works with, and does not change.
#[derive(Clone, Copy)]
pub(crate) struct Around<'r, 'a> {
    pub(crate) session: &'r Session<'a>,
    pub(crate) reference: Option<&'r Reference>,
    pub(crate) rewards: &'r [NamedReward<'a>],
    /// Token rows of training's largest micro-batch, and so of a pass of the reference.
    pub(crate) pass_rows: usize,
    /// Temperature of the log-probabilities that are learned from.
    pub(crate) temperature: f32,
    /// May ask to stop sampling.
    pub(crate) cancel: &'r Cancel,
}

impl Around<'_, '_> {
    /// What is at hand in the first half of the loop.
    pub(crate) fn collector<'c>(
        &'c self,
        model: &'c Transformer,
        metrics: &'c mut Metrics,
        seed: Seed,
    ) -> Collector<'c> {
        Collector {
            model,
            reference: self.reference,
            pass_rows: self.pass_rows,
            temperature: self.temperature,
            voice: self.session.voice.as_ref(),
            rewards: self.rewards,
            seed,
            metrics,
            cancel: self.cancel,
            sampled: 0,
        }
    }
}
