//! Who fills the roles of a run: where the reference's log-probabilities come from, who rewards, and what a method has at hand.

use crate::collect::Collector;
use crate::critic::Critic;
use crate::learn::Models;
use crate::moving::{self, Moves};
use crate::objective::Objective;
use crate::order::Order;
use crate::reference::{self, Reference, Tables};
use crate::rewards::NamedReward;
use crate::role::{Role, Seat};
use crate::schedule::{Pace, Schedule};
use crate::session::Session;
use crate::taught::no_teacher;
use crate::vocabularies::Vocabularies;
use crate::{Error, Metrics, watches};
use groma_model::Transformer;
use groma_run::{Cancel, Digest, Hasher, Seed};
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Checks that every model is there that the settings name, before anything is done.
///
/// # Errors
/// [`Error::Role`] where one is missing or none was named, and where one has another vocabulary than the policy whose tokens
/// it is to share.
pub(crate) fn check(policy: &Transformer, session: &Session) -> Result<(), Error> {
    let named = session.settings.seats();
    let differ = |(index, (role, name)): (usize, &(Role, String))| {
        let seat = session.seats.get(index);
        seat.is_none_or(|seat| (seat.role, &seat.name) != (*role, name)).then_some((*role, name.clone()))
    };
    if let Some((role, name)) = named.iter().enumerate().find_map(differ) {
        let problem = format!("`{name}`, which {} names, is not there", role.setting());
        return Err(Error::Role { role: role.name(), problem });
    }
    if let Some(Seat { role, name, .. }) = session.seats.get(named.len()) {
        let problem = format!("`{name}` is there, and {} does not name it", role.setting());
        return Err(Error::Role { role: role.name(), problem });
    }
    let size = policy.spec().vocab_size;
    let knows =
        |seat: &&Seat<'_>| !seat.role.reads_tokens() || seat.weights().is_none_or(|m| m.spec().vocab_size >= size);
    if let Some(seat) = session.seats.iter().find(|seat| !knows(seat)) {
        return Err(unread(seat.role, &seat.name));
    }
    let sharing = session.seats.iter().filter(|seat| session.settings.shares_tokens(seat.role));
    sharing.filter_map(|seat| Some((seat, seat.weights()?))).try_for_each(|(seat, model)| {
        same_vocabulary(seat.role, &seat.name, (model.spec().vocab_size, policy.spec().vocab_size))
    })
}

/// # Errors
/// [`Error::Role`] unless both vocabularies, of who fills a role and of the policy, are of one size.
fn same_vocabulary(role: Role, name: &str, (its, policys): (usize, usize)) -> Result<(), Error> {
    if its == policys {
        return Ok(());
    }
    let problem = format!(
        "`{name}` has {its} tokens and the model in training {policys}, and they are compared token by token: name one of \
         the same vocabulary, or bring both embeddings to one size"
    );
    Err(Error::Role { role: role.name(), problem })
}

/// A model that is to share the policy's tokens, before either is loaded: sizes of vocabularies, and digests of tokenizers.
///
/// # Errors
/// [`Error::Role`] where either differs.
pub fn check_tokens(role: Role, name: &str, sizes: (usize, usize), tokenizers: (&str, &str)) -> Result<(), Error> {
    if role.shares_tokens() && tokenizers.0 != tokenizers.1 {
        let problem = format!(
            "`{name}` has another tokenizer than the model in training, and they are compared token by token: name one that \
             has the same tokenizer"
        );
        return Err(Error::Role { role: role.name(), problem });
    }
    if role.shares_tokens() { same_vocabulary(role, name, sizes) } else { Ok(()) }
}

/// A model that is to read the policy's tokens, before either is loaded: whether it knows each by the same number.
///
/// # Errors
/// [`Error::Role`] where it does not.
pub fn check_reader(role: Role, name: &str, knows: bool) -> Result<(), Error> {
    if knows || !role.reads_tokens() { Ok(()) } else { Err(unread(role, name)) }
}

fn unread(role: Role, name: &str) -> Error {
    let problem = format!(
        "`{name}` reads the tokens of the model in training, and does not know them all by the same numbers: name one that was \
         made of the same tokenizer"
    );
    Error::Role { role: role.name(), problem }
}

/// Which tokens of the teacher are the policy's, where it has tokens of its own.
///
/// # Errors
/// [`Error::Role`] where nobody says what the tokens of either are.
pub(crate) fn vocabularies(policy: &Transformer, session: &Session) -> Result<Option<Arc<Vocabularies>>, Error> {
    if !session.settings.translates() {
        return Ok(None);
    }
    let seat = session.seat(Role::Teacher).ok_or_else(no_teacher)?;
    let (teacher, its) = seat.weights().zip(seat.encoder()).ok_or_else(no_teacher)?;
    let missing = || Error::Role { role: "decoder", problem: "a text is read in the model's own tokens".into() };
    let own = session.voice.as_ref().ok_or_else(missing)?.encoder;
    let sizes = (policy.spec().vocab_size, teacher.spec().vocab_size);
    Ok(Some(Arc::new(Vocabularies::of((own, sizes.0), (its, sizes.1)))))
}

/// Where the reference's log-probabilities come from, where the method compares with one: whichever computes less.
pub(crate) fn reference<'a>(
    model: &Transformer,
    session: &Session<'a>,
    objective: &dyn Objective,
    pace: Pace,
    pass_rows: usize,
) -> Result<Option<Reference<'a>>, Error> {
    if !(objective.asks_reference() || watches::need_reference(&session.settings.values)) {
        return Ok(None);
    }
    let other = session.seat(Role::Reference).and_then(|seat| Some((seat.weights()?, seat.digest)));
    if Moves::of(session.settings)?.is_some() {
        let begins = other.map_or(model, |(other, _)| other);
        return Ok(Some(Reference::Moving(Box::new(moving::copy(begins)?))));
    }
    let switch = crate::setup::has_adapter(model) && !session.continues_adapter && other.is_none();
    // A table has nothing to say of what is sampled, nor of what else might have been.
    if objective.sampling().is_some() || objective.compared().is_some() {
        return Ok(Some(match other {
            Some((other, _)) => Reference::Model(other),
            None if switch => Reference::WithoutAdapter,
            None => Reference::Copy(Box::new(model.frozen_copy())),
        }));
    }
    let (model, identity) = other.unwrap_or((model, session.model_digest));
    let visited = visited(session, pace);
    let tables = Tables {
        model,
        adapter: session.continues_adapter || other.is_some(),
        pass_rows,
        identity,
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
pub(crate) fn digest(seats: &[Seat<'_>]) -> Option<Digest> {
    let mut hasher = Hasher::default();
    seats.iter().for_each(|seat| hasher.part(seat.digest.as_bytes()));
    (!seats.is_empty()).then(|| hasher.finish())
}

/// What a run works with, and does not change.
#[derive(Clone, Copy)]
pub(crate) struct Around<'r, 'a> {
    pub(crate) session: &'r Session<'a>,
    pub(crate) teacher: Option<&'a Transformer>,
    /// See [`Models::vocabularies`].
    pub(crate) vocabularies: Option<&'r Arc<Vocabularies>>,
    pub(crate) rewards: &'r [NamedReward<'a>],
    pub(crate) costs: &'r [NamedReward<'a>],
    /// Token rows of training's largest micro-batch, and so of a pass of the reference.
    pub(crate) pass_rows: usize,
    /// Temperature of the log-probabilities that are learned from.
    pub(crate) temperature: f32,
    /// May ask to stop sampling.
    pub(crate) cancel: &'r Cancel,
}

impl<'r, 'a> Around<'r, 'a> {
    /// The models of a step; the critic where it is another one than the policy, and the copy that lags behind where there is one.
    pub(crate) fn models<'m>(
        &self,
        policy: &'m Transformer,
        reference: Option<&'m Reference<'a>>,
        critic: Option<&'m Critic>,
        lagged: Option<&'m Transformer>,
    ) -> Models<'m>
    where
        'a: 'm,
        'r: 'm,
    {
        let critic = critic.map(|critic| &critic.model);
        Models { policy, reference, teacher: self.teacher, vocabularies: self.vocabularies, critic, lagged }
    }

    /// What is at hand in the first half of the loop.
    pub(crate) fn collector<'c>(&'c self, models: Models<'c>, metrics: &'c mut Metrics, seed: Seed) -> Collector<'c> {
        Collector {
            model: models.policy,
            reference: models.reference,
            pass_rows: self.pass_rows,
            temperature: self.temperature,
            voice: self.session.voice.as_ref(),
            rewards: self.rewards,
            costs: self.costs,
            teacher: models.teacher,
            teacher_encoder: self.session.seat(Role::Teacher).and_then(Seat::encoder),
            critic: models.critic,
            lagged: models.lagged,
            seed,
            metrics,
            rows: &self.session.train.groups,
            cancel: self.cancel,
            sampled: 0,
            spent: Cell::default(),
        }
    }
}
