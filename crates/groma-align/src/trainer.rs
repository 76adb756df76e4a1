//! The training loop.

use crate::alarm::Alarm;
use crate::critic::Critic;
use crate::feed::{Batch, Feed};
use crate::forecast::{check_memory, largest_micro_batch};
use crate::held_out::{held_out_metrics, measure};
use crate::journal::Journal;
use crate::learn::{Both, Learner};
use crate::moving::Moves;
use crate::objective::Objective;
use crate::observer::{Collected, Observer, StepReport};
use crate::order::Order;
use crate::polarity::Polarity;
use crate::reference::{Reference, ensure_directory};
use crate::rewards::Panel;
use crate::role::{Role, Seat};
use crate::roles::{self, Around};
use crate::rollout::Rollouts;
use crate::schedule::{Pace, Schedule};
use crate::session::{Outcome, Session};
use crate::state::{self, Changing, Checkpoints, Collection, Identity, State};
use crate::time_spent::TimeSpent;
use crate::watches::{self, Chosen};
use crate::{Error, Metrics, Prepared, sampled};
use groma_kernels::together;
use groma_model::Transformer;
use groma_model::training::Optimizer;
use groma_run::{Cancel, Class, Classify, Disk, Seed, atomic, counted, is_or_are};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// How far the loss before the first step may be from its closed form, relative to it (absolute below 1).
const STEP_0_TOLERANCE: f64 = 1e-4;
/// A training is logged at least so often, where it has so many steps.
const FEWEST_LOGS: u64 = 10;
/// Examples whose loss is checked before the first step.
const CHECKED_AT_START: usize = 2;

/// Trains the parameters of `model` that are trainable (see [`crate::setup`]).
///
/// # Errors
/// [`Error::NonFinite`] before a step that would spoil the weights, [`Error::Interrupted`] after a request to stop,
/// [`Error::Role`] where a role that the method needs is not filled, and those of the pre-flight checks ([`Error::Memory`],
/// [`Error::Step0`], [`Error::Polarity`]), of checkpoints and of the model.
pub fn train(model: &mut Transformer, mut session: Session) -> Result<Outcome, Error> {
    let _listening = session.cancel.listening();
    let settings = session.settings;
    session.evaluation = session.evaluation.filter(|_| settings.training.eval_steps.is_some());
    if let Some(directory) = &session.directory {
        ensure_directory(directory)?;
        atomic::recover(&session.files, directory)?;
    }
    let mut objective = (settings.method.build)(settings)?;
    roles::check(model, &session)?;
    let seated = |panel: Option<Panel<'_>>| match panel {
        Some(panel) => panel.seated(settings, &session.seats),
        None => Ok(Vec::new()),
    };
    let (rewards, costs) = (seated(objective.rollouts().map(Rollouts::rewards))?, seated(objective.costs())?);
    let feed = Feed::new(&session.train.groups, objective.packs());
    let pace = Pace::new(&settings.training, objective.rollouts());
    let pass_rows = largest_micro_batch(settings, session.train);
    let reference = roles::reference(model, &session, &*objective, pace, pass_rows)?;
    let held_out = match session.evaluation {
        Some(rows) => Some(((settings.method.build)(settings)?, rows)),
        None => None,
    };
    let lagging = u64::from(objective.lag().is_some());
    let copies = reference.as_ref().map_or(0, Reference::copies) + lagging;
    check_memory(model, settings, session.train, &session.seats, copies)?;
    let critic = session.seat(Role::Critic).and_then(Seat::weights).map(Critic::of).transpose()?;
    let vocabularies = roles::vocabularies(model, &session)?;
    let observers = std::mem::take(&mut session.observers);
    let around = Around {
        session: &session,
        teacher: session.seat(Role::Teacher).and_then(Seat::weights),
        vocabularies: vocabularies.as_ref(),
        rewards: &rewards,
        costs: &costs,
        pass_rows,
        temperature: objective.reads().temperature(),
        cancel: &session.cancel,
    };
    let beside = Beside { reference, critic };
    let mut run = Run::start((model, beside), around, feed, pace, &mut *objective, held_out, observers)?;
    run.go()?;
    run.finish()
}

/// The models of a run beside the policy that it may change.
struct Beside<'a> {
    reference: Option<Reference<'a>>,
    critic: Option<Critic>,
}

/// A run in progress.
struct Run<'r, 'a> {
    model: &'r mut Transformer,
    reference: Option<Reference<'a>>,
    /// How the reference follows the policy, where it does.
    moves: Option<Moves>,
    critic: Option<Critic>,
    /// See [`crate::objective::Lag`].
    lagged: Option<Transformer>,
    around: Around<'r, 'a>,
    objective: &'r mut dyn Objective,
    feed: Feed<'r>,
    pace: Pace,
    held_out: Option<(Box<dyn Objective>, &'r Prepared)>,
    observers: Vec<&'a mut dyn Observer>,
    watches: Chosen,
    schedule: Schedule,
    order: Order,
    optimizer: Optimizer,
    state: State,
    /// What the steps at hand learn from.
    collected: Batch<'r>,
    checkpoints: Option<Checkpoints>,
    journal: Option<Journal>,
    dropout: Option<Seed>,
    resumed_from: u64,
    spent: TimeSpent,
    saved: Option<PathBuf>,
    logged: BTreeMap<String, f64>,
    evaluated: Option<BTreeMap<String, f64>>,
}

impl<'r, 'a> Run<'r, 'a> {
    fn start(
        (model, Beside { mut reference, mut critic }): (&'r mut Transformer, Beside<'a>),
        around: Around<'r, 'a>,
        feed: Feed<'r>,
        pace: Pace,
        objective: &'r mut dyn Objective,
        held_out: Option<(Box<dyn Objective>, &'r Prepared)>,
        observers: Vec<&'a mut dyn Observer>,
    ) -> Result<Self, Error> {
        let session = around.session;
        let training = &session.settings.training;
        let identity = Identity {
            method: session.settings.method.id.to_owned(),
            settings: session.settings.digest()?,
            values: session.settings.values.clone(),
            model: session.model_digest,
            data: session.train.digest,
            tokenizer: session.tokenizer_digest,
            precision: model.backend().precision().name().to_owned(),
            kernels: model.backend().name(),
            roles: roles::digest(&session.seats),
        };
        let checkpoints = session.directory.as_ref().map(|directory| Checkpoints {
            directory: directory.clone(),
            files: session.files.clone(),
            keep: training.save_total_limit,
        });
        let mut journal = checkpoints.as_ref().map(|all| Journal::new(&all.files, &all.directory));
        let mut optimizer = Optimizer::new(model.parameters(), &**model.backend());
        let mut state = State::new(identity, training.seed);
        let latest = checkpoints.as_ref().filter(|_| session.resume).and_then(|all| Some((all, all.latest()?)));
        let (mut saved, mut lagged) = (None, None);
        if let Some((all, path)) = latest {
            let identity = state.identity.clone();
            let mut changing = changing(model, &mut optimizer, critic.as_mut(), reference.as_mut());
            state = all.load(&path, (&identity, session.settings), session.across_machines, &mut changing)?;
            let problem = |problem| Error::Checkpoint { path: path.clone(), problem };
            objective.restore(&state.objective).map_err(problem)?;
            if let Some(journal) = &mut journal {
                journal.resume(&state.journal, |line| objective.recall(line))?;
            }
            lagged = objective.lag().filter(|_| state.step > 0).map(|_| state::lagged(&path, model)).transpose()?;
            saved = Some(path);
        }
        state.objective = objective.state();
        let drops = training.lora.as_ref().is_some_and(|lora| lora.dropout > 0.0);
        let collected = state.collection.take().map(|kept| kept.groups.into_iter().map(Cow::Owned).collect());
        let mut run = Run {
            schedule: Schedule::new(training, feed.rows(), pace),
            order: Order::new(training, feed.rows(), pace),
            dropout: drops.then(|| Seed::new(training.seed).named("dropout")),
            resumed_from: state.step,
            spent: TimeSpent::default(),
            logged: state.logged.clone(),
            evaluated: Some(state.evaluated.clone()).filter(|values| !values.is_empty()),
            collected: Batch::of_members(collected.unwrap_or_default(), training.per_device_train_batch_size),
            model,
            reference,
            moves: Moves::of(session.settings)?,
            critic,
            lagged,
            around,
            objective,
            feed,
            pace,
            held_out,
            observers,
            watches: Chosen::new(session.settings)?,
            optimizer,
            state,
            checkpoints,
            journal,
            saved,
        };
        if let Some(rollouts) = run.objective.rollouts().filter(|_| run.pace.rows > run.feed.rows()) {
            let (rows, found) = (run.pace.rows, run.feed.rows());
            let more = if rollouts.num_generations > 1 { ", or raise num_generations" } else { "" };
            let problem = format!(
                "asks for {} at once, but there {} {found}: lower it{more}",
                counted(rows, "prompt"),
                is_or_are(found)
            );
            return Err(session.settings.invalid("per_device_train_batch_size", problem));
        }
        if run.state.step == 0 && run.objective.sampling().is_none() {
            run.check_start()?;
        }
        Ok(run)
    }

    /// The pre-flight checks that only the model itself can answer, on some groups of the first micro-batch.
    fn check_start(&mut self) -> Result<(), Error> {
        let mut rows = self.order.batch(1);
        rows.truncate(self.around.session.settings.training.per_device_train_batch_size);
        let looked_at = &rows[..rows.len().min(CHECKED_AT_START)];
        let batch = self.rows(looked_at)?;
        // Another of the kind: what the method carries from step to step hears nothing of these checks.
        let settings = self.around.session.settings;
        let mut checked = (settings.method.build)(settings)?;
        self.check_first_loss(&mut *checked, &batch)?;
        let batch = self.rows(&rows)?;
        let models =
            self.around.models(self.model, self.reference.as_ref(), self.critic.as_ref(), self.lagged.as_ref());
        Polarity::of(models, &mut *checked, &batch.groups)?.map_or(Ok(()), Polarity::check)
    }

    /// Rows as they are learned from, in one micro-batch, for methods that do not sample.
    fn rows(&mut self, rows: &[usize]) -> Result<Batch<'r>, Error> {
        let mut batch = self.feed.batch(rows, rows.len().max(1));
        let mut ignored = Metrics::default();
        let models =
            self.around.models(self.model, self.reference.as_ref(), self.critic.as_ref(), self.lagged.as_ref());
        let mut collector = self.around.collector(models, &mut ignored, Seed::new(0));
        batch.groups = self.objective.collect(&mut collector, batch.groups)?;
        Ok(batch)
    }

    fn check_first_loss(&mut self, objective: &mut dyn Objective, batch: &Batch<'_>) -> Result<(), Error> {
        // Another reference than what training starts from leaves the loss open, and so does a head that has learned.
        let known = self.around.session.seat(Role::Reference).is_none() && self.heads_are_new();
        let expected = objective.loss_at_start(&batch.groups).filter(|_| known);
        let Some(expected) = expected else { return Ok(()) };
        let models =
            self.around.models(self.model, self.reference.as_ref(), self.critic.as_ref(), self.lagged.as_ref());
        let found = measure(models, objective, batch, &mut Metrics::default())?.value;
        if !found.is_finite() {
            return Err(self.non_finite(1, "loss", batch.places()));
        }
        if (found - expected).abs() > STEP_0_TOLERANCE * expected.abs().max(1.0) {
            return Err(Error::Step0 { expected, found });
        }
        Ok(())
    }

    /// Whether the method's heads beside the unembedding, if any, are as they begin: at zero.
    fn heads_are_new(&self) -> bool {
        let heads = self.around.session.settings.method.heads;
        let of_method =
            |name: &str| heads.iter().any(|head| name.split_once('.').is_some_and(|(of, _)| of == head.name));
        let weights = self.model.head_weights();
        let mut trained = weights.iter().filter(|(name, _)| of_method(name)).flat_map(|(_, tensor)| &tensor.values);
        trained.all(|value| *value == 0.0)
    }

    fn go(&mut self) -> Result<(), Error> {
        let step = self.state.step;
        for observer in &mut self.observers {
            observer.started(step, self.model).map_err(|reason| Error::Observer { step, reason })?;
        }
        self.heed_alarms()?;
        // A short training would have one point to show.
        let few = (self.schedule.total_steps / FEWEST_LOGS).max(1);
        while self.state.step < self.schedule.total_steps {
            let (started, before) = (Instant::now(), self.spent);
            let report = together(|| self.step()).or_else(|error| self.interrupted(error))?;
            let collecting = self.spent.sampling + self.spent.rewards - before.sampling - before.rewards;
            self.spent.learning += started.elapsed().saturating_sub(collecting);
            self.tell(&report)?;
            let step = self.state.step;
            let training = &self.around.session.settings.training;
            let last = step == self.schedule.total_steps;
            if step.is_multiple_of(training.logging_steps.min(few)) || last {
                self.log(&report);
            }
            if training.eval_steps.is_some_and(|every| step.is_multiple_of(every) || last) {
                self.evaluate()?;
            }
            self.heed_alarms()?;
            let stop = self.around.session.cancel.is_requested();
            if step.is_multiple_of(training.save_steps) || last || stop {
                self.save()?;
            }
            if stop && !last {
                return Err(Error::Interrupted { step, checkpoint: self.saved.clone() });
            }
        }
        Ok(())
    }

    /// Ends the run where an alarm was raised and the settings say so; one that was resumed behind its alarm, too.
    fn heed_alarms(&mut self) -> Result<(), Error> {
        let Some(alarm) = self.state.watched.alarms.first().filter(|_| self.watches.stop) else { return Ok(()) };
        let alarm: Box<Alarm> = Box::new(alarm.clone());
        if self.saved.is_none() || self.state.step > self.resumed_from {
            self.save()?;
        }
        Err(Error::Alarm { alarm, kept: self.saved.clone() })
    }

    /// Collects where a collection begins, then learns: forward, backward, clipping, AdamW. State and weights change only where
    /// all numbers are finite.
    fn step(&mut self) -> Result<StepReport, Error> {
        let training = &self.around.session.settings.training;
        let step = self.state.step + 1;
        let within = (step - 1) % self.pace.steps();
        let mut metrics = self.state.metrics.clone();
        if within == 0 {
            self.collect(step, &mut metrics)?;
        }
        let parts = self.pace.parts;
        let batch = match parts {
            1 => self.collected.clone(),
            _ => self.collected.part(within as usize % parts, parts),
        };
        let mut gradients = Both::default();
        let mut learner = Learner {
            models: self.around.models(self.model, self.reference.as_ref(), self.critic.as_ref(), self.lagged.as_ref()),
            gradients: Some(&mut gradients),
            metrics: &mut metrics,
            dropout: self.dropout.map(|seed| seed.index(step)),
            noise: Some(Seed::new(training.seed).named("neftune").index(step)),
            forgets: Some(Seed::new(training.seed).named("forgotten").index(step)),
            recompute: training.gradient_checkpointing,
        };
        let loss = learner.learn(self.objective, &batch.groups, &batch.micros)?;
        let (places, tokens) = (|| batch.places(), batch.tokens());
        if !loss.value.is_finite() {
            let places = places();
            return Err(self.non_finite(step, "loss", places));
        }
        let grad_norm = gradients.norm(&**self.model.backend());
        if !grad_norm.is_finite() {
            let places = places();
            return Err(self.non_finite(step, "gradient", places));
        }
        let learning_rate = self.schedule.lr(step);
        let backend = self.model.backend().clone();
        let (adamw, at) = (training.adamw(), (step, learning_rate));
        let target = (self.model.parameters_mut(), &*backend);
        self.optimizer.step(target, &gradients.policy, &adamw, at, grad_norm)?;
        if let Some(Critic { model, optimizer }) = &mut self.critic {
            optimizer.step((model.parameters_mut(), &*backend), &gradients.critic, &adamw, at, grad_norm)?;
        }
        if let Some(moves) = self.objective.action_values() {
            moves.follow_heads(self.model, step)?;
        }
        if let (Some(moves), Some(reference)) = (self.moves, self.reference.as_mut().and_then(Reference::moving)) {
            moves.follow(reference, self.model, step)?;
        }
        metrics.add("loss", loss.value, 1.0);
        let lines = self.objective.journal();
        if let Some(journal) = &mut self.journal {
            journal.add(&lines)?;
            self.state.journal = journal.mark();
        }
        self.state.metrics = metrics;
        self.state.objective = self.objective.state();
        self.state.step = step;
        self.state.epoch = self.schedule.epoch(step);
        self.state.loss_sum += loss.value;
        // What is learned from a second time is not counted again.
        self.state.num_tokens += if within < parts as u64 { tokens } else { 0 };
        Ok(StepReport {
            step,
            total_steps: self.schedule.total_steps,
            epoch: self.state.epoch,
            loss: loss.value,
            grad_norm,
            learning_rate,
            num_tokens: self.state.num_tokens,
        })
    }

    /// Where a request to stop came amid a step: as if it had come before.
    fn interrupted(&mut self, error: Error) -> Result<StepReport, Error> {
        if error.class() != Class::Interrupted {
            return Err(error);
        }
        self.save()?;
        Err(Error::Interrupted { step: self.state.step, checkpoint: self.saved.clone() })
    }

    /// The first half: what this step and those after it learn from.
    fn collect(&mut self, step: u64, metrics: &mut Metrics) -> Result<(), Error> {
        let training = &self.around.session.settings.training;
        let micro = training.per_device_train_batch_size;
        let rows = self.feed.batch(&self.order.batch(step), micro);
        let started = Instant::now();
        let seed = Seed::new(training.seed).named("rollouts").index(step);
        let number = (step - 1) / self.pace.steps();
        if self.objective.lag().is_some_and(|lag| number.is_multiple_of(lag.every)) {
            self.lagged = Some(self.model.frozen_copy());
        }
        let models =
            self.around.models(self.model, self.reference.as_ref(), self.critic.as_ref(), self.lagged.as_ref());
        let mut collector = self.around.collector(models, metrics, seed);
        let mut groups = self.objective.collect(&mut collector, rows.groups)?;
        if self.objective.rollouts().is_some() {
            let watched = watches::need_reference(&self.around.session.settings.values);
            if watched && !self.objective.needs_reference() {
                groups = collector.referenced(groups)?;
            }
            sampled::measure_distance(collector.metrics, &groups);
        }
        let sampled = collector.sampled;
        let spent = collector.spent.get();
        self.spent.sampling += spent.sampling;
        self.spent.rewards += spent.rewards;
        self.collected = match self.objective.rollouts() {
            None => Batch { groups, micros: rows.micros },
            Some(_) => Batch::of_members(groups, micro),
        };
        if sampled > 0 {
            let report =
                Collected { step, groups: &self.collected.groups, tokens: sampled, seconds: started.elapsed() };
            self.observers.iter_mut().for_each(|observer| observer.collected(&report));
            let sampled = self.collected.groups.iter().flat_map(|group| &group.members).flat_map(|m| &m.sampled);
            if sampled.clone().any(|logp| !logp.is_finite()) {
                let places = self.collected.places();
                return Err(self.non_finite(step, "log-probability of a sample", places));
            }
        }
        Ok(())
    }

    /// The error for numbers that are not finite; the state before the step is saved first.
    fn non_finite(&mut self, step: u64, what: &'static str, rows: Vec<String>) -> Error {
        let kept = match self.save() {
            Ok(()) => self.saved.clone(),
            // The checkpoint before is still there; the cause to report is the number, not the disk.
            Err(_) => self.saved.clone(),
        };
        Error::NonFinite { step, what, rows, kept }
    }

    fn tell(&mut self, report: &StepReport) -> Result<(), Error> {
        for observer in &mut self.observers {
            let told = observer.step(report, self.model);
            told.map_err(|reason| Error::Observer { step: report.step, reason })?;
        }
        Ok(())
    }

    fn log(&mut self, report: &StepReport) {
        let mut values = std::mem::take(&mut self.state.metrics).values("");
        values.insert("grad_norm".into(), report.grad_norm);
        values.insert("learning_rate".into(), report.learning_rate);
        values.insert("epoch".into(), report.epoch);
        values.insert("num_tokens".into(), report.num_tokens as f64);
        let alarms = self.state.watched.look(&self.watches, report.step, &mut values);
        for observer in &mut self.observers {
            observer.logged(report.step, &values);
            alarms.iter().for_each(|alarm| observer.alarmed(alarm));
        }
        self.logged = values;
    }

    fn evaluate(&mut self) -> Result<(), Error> {
        let Some((objective, rows)) = &mut self.held_out else { return Ok(()) };
        // An evaluation that has begun is finished, so that a resumed run need not know of it.
        let around = Around { cancel: &Cancel::default(), ..self.around };
        let step = self.state.step;
        // What is carried from step to step is the run's.
        let wrong = |problem| self.around.session.settings.invalid("eval_steps", problem);
        objective.restore(&self.state.objective).map_err(wrong)?;
        let models = around.models(self.model, self.reference.as_ref(), self.critic.as_ref(), self.lagged.as_ref());
        let mut values = held_out_metrics(models, &around, &mut **objective, rows)?;
        values.insert("epoch".into(), self.state.epoch);
        self.observers.iter_mut().for_each(|observer| observer.evaluated(step, &values));
        self.evaluated = Some(values);
        Ok(())
    }

    fn save(&mut self) -> Result<(), Error> {
        let Some(checkpoints) = &self.checkpoints else { return Ok(()) };
        self.journal.as_mut().map_or(Ok(()), Journal::sync)?;
        self.state.total_steps = self.schedule.total_steps;
        self.state.logged.clone_from(&self.logged);
        self.state.evaluated = self.evaluated.clone().unwrap_or_default();
        // What was sampled cannot be sampled again once the weights have moved.
        let amid = self.objective.rollouts().is_some() && !self.state.step.is_multiple_of(self.pace.steps());
        let groups = || self.collected.groups.iter().map(|group| group.clone().into_owned()).collect();
        self.state.collection = amid.then(|| Collection { groups: groups() });
        let backend = self.model.backend().clone();
        let changing = changing(self.model, &mut self.optimizer, self.critic.as_mut(), self.reference.as_mut());
        let path = checkpoints.save(&self.state, &changing, self.lagged.as_ref(), &*backend)?;
        let step = self.state.step;
        self.observers.iter_mut().for_each(|observer| observer.saved(step, &path));
        self.saved = Some(path);
        Ok(())
    }

    fn finish(self) -> Result<Outcome, Error> {
        let session = self.around.session;
        self.objective.finish(self.model, &session.train.groups, &session.cancel)?;
        Ok(Outcome {
            steps: self.state.step,
            epoch: self.state.epoch,
            num_tokens: self.state.num_tokens,
            train_loss: self.state.loss_sum / self.state.step.max(1) as f64,
            metrics: self.logged,
            evaluation: self.evaluated,
            watched: self.state.watched,
            resumed_from: self.resumed_from,
            checkpoint: self.saved,
            kernels: self.state.all_kernels,
            spent: self.spent,
        })
    }
}

/// The models that change.
fn changing<'t>(
    model: &'t mut Transformer,
    optimizer: &'t mut Optimizer,
    critic: Option<&'t mut Critic>,
    reference: Option<&'t mut Reference<'_>>,
) -> Vec<Changing<'t>> {
    let critic =
        critic.map(|Critic { model, optimizer }| Changing { prefix: "critic.", model, optimizer: Some(optimizer) });
    let reference = reference.and_then(Reference::moving);
    let reference = reference.map(|model| Changing { prefix: "reference.", model, optimizer: None });
    let policy = Changing { prefix: "", model, optimizer: Some(optimizer) };
    [Some(policy), critic, reference].into_iter().flatten().collect()
}

/// Whether a path holds a checkpoint that could be resumed.
pub fn has_checkpoint(directory: &Path) -> bool {
    let checkpoints = Checkpoints { directory: directory.to_owned(), files: Disk::files(), keep: 1 };
    checkpoints.latest().is_some()
}

/// Whether a path holds the last checkpoint of a training, so that nothing is left to do but to write the model.
pub fn has_ended(directory: &Path) -> bool {
    let checkpoints = Checkpoints { directory: directory.to_owned(), files: Disk::files(), keep: 1 };
    checkpoints.has_ended()
}
