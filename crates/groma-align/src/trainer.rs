//! The training loop.

use crate::memory::MemoryEstimate;
use crate::methods::dpo::{Dpo, DpoSettings};
use crate::methods::reward::{Reward, RewardSettings};
use crate::methods::sft::{Sft, SftSettings};
use crate::objective::{Context, Loss, Objective};
use crate::observer::{Observer, StepReport};
use crate::optimizer::Optimizer;
use crate::order::Order;
use crate::polarity::Polarity;
use crate::reference::{Reference, References, ensure_directory};
use crate::schedule::Schedule;
use crate::state::{Checkpoints, Identity, State};
use crate::{Error, Example, Metrics, Prepared, Settings};
use groma_kernels::{Gradients, together};
use groma_model::Transformer;
use groma_run::{Cancel, Digest, Disk, Files, Seed, atomic, available_memory_bytes};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// How far the loss before the first step may be from its closed form, relative to it (absolute below 1).
const STEP_0_TOLERANCE: f64 = 1e-4;
/// Examples whose loss is checked before the first step.
const CHECKED_AT_START: usize = 2;

/// Everything of a run but the model. The caller holds the lock of what `directory` belongs to.
pub struct Session<'a> {
    /// Method and hyperparameters.
    pub settings: &'a Settings,
    /// What is trained on.
    pub train: &'a Prepared,
    /// Held-out examples, for `eval_steps`.
    pub evaluation: Option<&'a Prepared>,
    /// Where checkpoints and the reference's log-probabilities are kept; without it nothing is written.
    pub directory: Option<PathBuf>,
    /// Goes on from the latest checkpoint in `directory`, where there is one.
    pub resume: bool,
    /// Digest of the model that training starts from.
    pub model_digest: Digest,
    /// Digest of tokenizer and chat template.
    pub tokenizer_digest: Digest,
    /// Training goes on with an adapter that is not new: with it, not without, the model is its own reference.
    pub continues_adapter: bool,
    /// A request to stop: the step at hand is finished and saved.
    pub cancel: Cancel,
    /// Who watches.
    pub observers: Vec<&'a mut dyn Observer>,
    /// The disk.
    pub files: Files,
}

impl<'a> Session<'a> {
    /// A run that is neither watched nor kept.
    pub fn new(settings: &'a Settings, train: &'a Prepared) -> Self {
        Session {
            settings,
            train,
            evaluation: None,
            directory: None,
            resume: false,
            model_digest: Digest::of_bytes(b""),
            tokenizer_digest: Digest::of_bytes(b""),
            continues_adapter: false,
            cancel: Cancel::default(),
            observers: Vec::new(),
            files: Disk::files(),
        }
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Optimizer steps, those before a resumption included.
    pub steps: u64,
    /// Epochs.
    pub epoch: f64,
    /// Tokens seen.
    pub num_tokens: u64,
    /// Mean loss over all steps.
    pub train_loss: f64,
    /// The last metrics that were logged.
    pub metrics: BTreeMap<String, f64>,
    /// The last evaluation.
    pub evaluation: Option<BTreeMap<String, f64>>,
    /// The step that was resumed from; 0 for a run from the start.
    pub resumed_from: u64,
    /// The last checkpoint.
    pub checkpoint: Option<PathBuf>,
}

/// Trains the parameters of `model` that are trainable (see [`crate::setup`]).
///
/// # Errors
/// [`Error::NonFinite`] before a step that would spoil the weights, [`Error::Interrupted`] after a request to stop, and
/// those of the pre-flight checks ([`Error::Memory`], [`Error::Step0`], [`Error::Polarity`]), of checkpoints and of the model.
pub fn train(model: &mut Transformer, mut session: Session) -> Result<Outcome, Error> {
    session.evaluation = session.evaluation.filter(|_| session.settings.training.eval_steps.is_some());
    if let Some(directory) = &session.directory {
        ensure_directory(directory)?;
        atomic::recover(&session.files, directory)?;
    }
    let references = PreparedReferences::new(model, &session)?;
    let objective = objective(session.settings, &session.train.examples, &references.train)?;
    let evaluation = match session.evaluation {
        Some(rows) => Some(self::objective(session.settings, &rows.examples, &references.evaluation)?),
        None => None,
    };
    check_memory(model, session.settings, session.train)?;
    let observers = std::mem::take(&mut session.observers);
    let mut run = Run::start(model, &session, &*objective, evaluation.as_deref(), observers)?;
    run.go()?;
    run.finish()
}

/// What the method makes of some examples.
fn objective<'a>(
    settings: &Settings,
    examples: &'a [Example],
    references: &'a Option<(DpoSettings, References)>,
) -> Result<Box<dyn Objective + 'a>, Error> {
    match (settings.method.id, references) {
        ("dpo", Some((settings, references))) => Ok(Box::new(Dpo { examples, settings, references })),
        ("reward", _) => Ok(Box::new(Reward { examples, settings: RewardSettings::new(settings)? })),
        _ => {
            let sft = SftSettings::new(settings)?;
            Ok(Box::new(Sft::new(examples, settings.training.max_length.filter(|_| sft.packing), sft.loss())))
        }
    }
}

/// The reference's log-probabilities for both sets of examples, where the method needs them.
struct PreparedReferences {
    train: Option<(DpoSettings, References)>,
    evaluation: Option<(DpoSettings, References)>,
}

impl PreparedReferences {
    fn new(model: &Transformer, session: &Session) -> Result<Self, Error> {
        if !session.settings.method.needs_reference {
            return Ok(PreparedReferences { train: None, evaluation: None });
        }
        let settings = DpoSettings::new(session.settings)?;
        let reference = Reference {
            model,
            adapter: session.continues_adapter,
            settings: &settings,
            pass_rows: largest_micro_batch(session.settings, session.train),
            identity: session.model_digest,
            cache: session.directory.as_deref(),
            files: &session.files,
            cancel: &session.cancel,
        };
        let visited = visited(session);
        let switch = crate::setup::has_adapter(model) && !session.continues_adapter;
        let precompute = settings.precompute.unwrap_or(!switch || visits(session) > visited.len());
        let train = if precompute || !switch {
            reference.of(&session.train.examples, &visited)?
        } else {
            References::WithoutAdapter
        };
        let evaluation = match session.evaluation {
            Some(rows) => {
                let all: Vec<usize> = (0..rows.examples.len()).collect();
                Some((settings.clone(), reference.of(&rows.examples, &all)?))
            }
            None => None,
        };
        Ok(PreparedReferences { train: Some((settings, train)), evaluation })
    }
}

/// Examples that some step sees, ascending.
fn visited(session: &Session) -> Vec<usize> {
    let training = &session.settings.training;
    let units = session.train.examples.len();
    let schedule = Schedule::new(training, units);
    let mut order = Order::new(training, units);
    let steps = schedule.total_steps.min(schedule.steps_per_epoch);
    let seen: BTreeSet<usize> = (1..=steps).flat_map(|step| order.batch(step)).collect();
    if schedule.total_steps <= steps { seen.into_iter().collect() } else { (0..units).collect() }
}

/// How often examples are seen, over all steps.
fn visits(session: &Session) -> usize {
    let training = &session.settings.training;
    let schedule = Schedule::new(training, session.train.examples.len());
    let epochs = schedule.total_steps.div_ceil(schedule.steps_per_epoch) as usize;
    if epochs > 1 { epochs * session.train.examples.len() } else { visited(session).len() }
}

fn check_memory(model: &Transformer, settings: &Settings, prepared: &Prepared) -> Result<(), Error> {
    let needed = estimate_memory(model, settings, prepared).total();
    match available_memory_bytes() {
        Some(available) if needed > available => {
            Err(Error::Memory { needed_bytes: needed, available_bytes: available })
        }
        _ => Ok(()),
    }
}

/// Memory that training will need, with the largest rows in one micro-batch.
pub fn estimate_memory(model: &Transformer, settings: &Settings, prepared: &Prepared) -> MemoryEstimate {
    let rows = largest_micro_batch(settings, prepared);
    let scored = |example: &Example| match settings.method.needs_score_head {
        true => 2,
        false => example.pair().iter().map(|sequence| sequence.scored_count()).sum(),
    };
    let head_rows = if packs(settings) { rows } else { sum_of_largest(settings, prepared, scored) };
    MemoryEstimate::new(model, rows, head_rows, settings.training.gradient_checkpointing)
}

/// Token rows of the largest micro-batch that there may be.
fn largest_micro_batch(settings: &Settings, prepared: &Prepared) -> usize {
    match settings.training.max_length {
        Some(length) if packs(settings) => {
            let all = prepared.examples.iter().map(Example::tree_rows).sum();
            length.saturating_mul(settings.training.per_device_train_batch_size).min(all)
        }
        _ => sum_of_largest(settings, prepared, Example::tree_rows),
    }
}

fn packs(settings: &Settings) -> bool {
    settings.values.get("packing").and_then(serde_json::Value::as_bool) == Some(true)
}

/// The sum of the sizes of as many examples, the largest, as a micro-batch holds.
fn sum_of_largest(settings: &Settings, prepared: &Prepared, size: impl Fn(&Example) -> usize) -> usize {
    let mut sizes: Vec<usize> = prepared.examples.iter().map(size).collect();
    sizes.sort_unstable_by(|a, b| b.cmp(a));
    sizes.iter().take(settings.training.per_device_train_batch_size).sum()
}

/// A run in progress.
struct Run<'r, 'a> {
    model: &'r mut Transformer,
    session: &'r Session<'a>,
    objective: &'r dyn Objective,
    held_out: Option<&'r dyn Objective>,
    observers: Vec<&'a mut dyn Observer>,
    schedule: Schedule,
    order: Order,
    optimizer: Optimizer,
    state: State,
    checkpoints: Option<Checkpoints>,
    dropout: Option<Seed>,
    resumed_from: u64,
    saved: Option<PathBuf>,
    logged: BTreeMap<String, f64>,
    evaluated: Option<BTreeMap<String, f64>>,
}

impl<'r, 'a> Run<'r, 'a> {
    fn start(
        model: &'r mut Transformer,
        session: &'r Session<'a>,
        objective: &'r dyn Objective,
        held_out: Option<&'r dyn Objective>,
        observers: Vec<&'a mut dyn Observer>,
    ) -> Result<Self, Error> {
        let training = &session.settings.training;
        let identity = Identity {
            method: session.settings.method.id.to_owned(),
            settings: session.settings.digest()?,
            model: session.model_digest,
            data: session.train.digest,
            tokenizer: session.tokenizer_digest,
            precision: model.backend().precision().name().to_owned(),
        };
        let checkpoints = session.directory.as_ref().map(|directory| Checkpoints {
            directory: directory.clone(),
            files: session.files.clone(),
            keep: training.save_total_limit,
        });
        let mut optimizer = Optimizer::new(model);
        let mut state = State::new(identity, training.seed);
        let latest = checkpoints.as_ref().filter(|_| session.resume).and_then(|all| Some((all, all.latest()?)));
        let mut saved = None;
        if let Some((all, path)) = latest {
            let identity = state.identity.clone();
            state = all.load(&path, &identity, model, &mut optimizer)?;
            saved = Some(path);
        }
        let drops = training.lora.as_ref().is_some_and(|lora| lora.dropout > 0.0);
        let mut run = Run {
            schedule: Schedule::new(training, objective.units()),
            order: Order::new(training, objective.units()),
            dropout: drops.then(|| Seed::new(training.seed).named("dropout")),
            resumed_from: state.step,
            logged: BTreeMap::new(),
            evaluated: None,
            model,
            session,
            objective,
            held_out,
            observers,
            optimizer,
            state,
            checkpoints,
            saved,
        };
        if run.state.step == 0 {
            run.check_start()?;
        }
        Ok(run)
    }

    /// The pre-flight checks that only the model itself can answer, on some examples of the first micro-batch.
    fn check_start(&mut self) -> Result<(), Error> {
        let mut units = self.order.batch(1);
        units.truncate(self.session.settings.training.per_device_train_batch_size);
        self.check_first_loss(&units[..units.len().min(CHECKED_AT_START)])?;
        self.objective.polarity(self.model, &units)?.map_or(Ok(()), Polarity::check)
    }

    fn check_first_loss(&mut self, units: &[usize]) -> Result<(), Error> {
        let Some(expected) = self.objective.loss_at_start(units) else { return Ok(()) };
        let found = measure(self.model, self.objective, units, &mut Metrics::default())?.value;
        if !found.is_finite() {
            return Err(self.non_finite(1, "loss", units));
        }
        if (found - expected).abs() > STEP_0_TOLERANCE * expected.abs().max(1.0) {
            return Err(Error::Step0 { expected, found });
        }
        Ok(())
    }

    fn go(&mut self) -> Result<(), Error> {
        let step = self.state.step;
        for observer in &mut self.observers {
            observer.started(step, self.model).map_err(|reason| Error::Observer { step, reason })?;
        }
        while self.state.step < self.schedule.total_steps {
            let report = together(|| self.step())?;
            self.tell(&report)?;
            let step = self.state.step;
            let training = &self.session.settings.training;
            let last = step == self.schedule.total_steps;
            if step.is_multiple_of(training.logging_steps) || last {
                self.log(&report);
            }
            if training.eval_steps.is_some_and(|every| step.is_multiple_of(every) || last) {
                self.evaluate()?;
            }
            let stop = self.session.cancel.is_requested();
            if step.is_multiple_of(training.save_steps) || last || stop {
                self.save()?;
            }
            if stop && !last {
                return Err(Error::Interrupted { step, checkpoint: self.saved.clone() });
            }
        }
        Ok(())
    }

    /// Forward, backward, clipping, AdamW. State and weights change only where all numbers are finite.
    fn step(&mut self) -> Result<StepReport, Error> {
        let training = &self.session.settings.training;
        let step = self.state.step + 1;
        let units = self.order.batch(step);
        let mut gradients = Gradients::new();
        let mut metrics = self.state.metrics.clone();
        let loss = self.objective.batch(
            &mut Context {
                model: self.model,
                gradients: Some(&mut gradients),
                metrics: &mut metrics,
                micro: training.per_device_train_batch_size,
                dropout: self.dropout.map(|seed| seed.index(step)),
                recompute: training.gradient_checkpointing,
            },
            &units,
        )?;
        if !loss.value.is_finite() {
            return Err(self.non_finite(step, "loss", &units));
        }
        let grad_norm = gradients.norm(&**self.model.backend());
        if !grad_norm.is_finite() {
            return Err(self.non_finite(step, "gradient", &units));
        }
        let learning_rate = self.schedule.lr(step);
        self.optimizer.step(self.model, &gradients, training, (step, learning_rate), grad_norm)?;
        metrics.add("loss", loss.value, 1.0);
        self.state.metrics = metrics;
        self.state.step = step;
        self.state.epoch = self.schedule.epoch(step);
        self.state.loss_sum += loss.value;
        self.state.num_tokens += units.iter().map(|&unit| self.objective.tokens(unit) as u64).sum::<u64>();
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

    /// The error for numbers that are not finite; the state before the step is saved first.
    fn non_finite(&mut self, step: u64, what: &'static str, units: &[usize]) -> Error {
        let rows = units.iter().flat_map(|&unit| self.objective.places(unit)).collect();
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
        self.observers.iter_mut().for_each(|observer| observer.logged(report.step, &values));
        self.logged = values;
    }

    fn evaluate(&mut self) -> Result<(), Error> {
        let Some(objective) = self.held_out else { return Ok(()) };
        let batch = self.session.settings.training.per_device_eval_batch_size;
        let mut values = held_out_metrics(self.model, objective, batch)?;
        values.insert("epoch".into(), self.state.epoch);
        let step = self.state.step;
        self.observers.iter_mut().for_each(|observer| observer.evaluated(step, &values));
        self.evaluated = Some(values);
        Ok(())
    }

    fn save(&mut self) -> Result<(), Error> {
        let Some(checkpoints) = &self.checkpoints else { return Ok(()) };
        let path = checkpoints.save(&self.state, self.model, &self.optimizer)?;
        let step = self.state.step;
        self.observers.iter_mut().for_each(|observer| observer.saved(step, &path));
        self.saved = Some(path);
        Ok(())
    }

    fn finish(self) -> Result<Outcome, Error> {
        Ok(Outcome {
            steps: self.state.step,
            epoch: self.state.epoch,
            num_tokens: self.state.num_tokens,
            train_loss: self.state.loss_sum / self.state.step.max(1) as f64,
            metrics: self.logged,
            evaluation: self.evaluated,
            resumed_from: self.resumed_from,
            checkpoint: self.saved,
        })
    }
}

/// Evaluates a model on examples, outside of a run: the metrics that training would log, with the prefix `eval_`.
///
/// # Errors
/// Those of the model; and for methods that compare with a reference, which is not at hand here.
pub fn evaluate(model: &Transformer, settings: &Settings, rows: &Prepared) -> Result<BTreeMap<String, f64>, Error> {
    if settings.method.needs_reference {
        return Err(settings.invalid("eval_steps", "held-out rows are evaluated during training, beside the reference"));
    }
    let objective = objective(settings, &rows.examples, &None)?;
    held_out_metrics(model, &*objective, settings.training.per_device_eval_batch_size)
}

fn held_out_metrics(
    model: &Transformer,
    objective: &dyn Objective,
    batch: usize,
) -> Result<BTreeMap<String, f64>, Error> {
    let mut metrics = Metrics::default();
    let units: Vec<usize> = (0..objective.units()).collect();
    for units in units.chunks(batch) {
        let loss = measure(model, objective, units, &mut metrics)?;
        metrics.add("loss", loss.value * loss.weight, loss.weight);
    }
    Ok(metrics.values("eval_"))
}

/// The loss and metrics of one batch, without gradients.
fn measure(
    model: &Transformer,
    objective: &dyn Objective,
    units: &[usize],
    metrics: &mut Metrics,
) -> Result<Loss, Error> {
    let micro = units.len().max(1);
    let mut context = Context { model, gradients: None, metrics, micro, dropout: None, recompute: false };
    together(|| objective.batch(&mut context, units))
}

/// Whether a path holds a checkpoint that could be resumed.
pub fn has_checkpoint(directory: &Path) -> bool {
    let checkpoints = Checkpoints { directory: directory.to_owned(), files: Disk::files(), keep: 1 };
    checkpoints.latest().is_some()
}
