//! Training a model from files: rows, tokens, the loop, and what it leaves. Used by recipes and by `groma train`.

use std::path::Path;
use std::sync::Arc;

use groma_align::{
    Alarm, Card, Filler, Group, LengthStatistics, Limits, Observer, Origin, Outcome, Prepared, Role, Seat, Session,
    Settings, StepReport, Voice, export, prepare_read, setup,
};
use groma_data::Rows;
use groma_lm::{Encoder, LanguageModel, Spent};
use groma_model::{BaseModel, ChatTemplate, LocalModel, Tokenizer, Transformer};
use groma_report::WandbRun;
use groma_run::{Advance, Digest, Disk, Event, EventKind, Finding, Hasher, Level, Progress, Recorder};
use std::collections::BTreeMap;

use crate::Error;
use crate::asked::Asked;
use crate::metrics_log::{LogForm, MetricsLog};
use crate::samples::{Questions, Sampler};
use crate::work::Work;

/// A model, and rows ready to train it.
pub struct Trainable {
    /// The model.
    pub model: LocalModel,
    /// Method and hyperparameters.
    pub settings: Settings,
    /// What is trained on.
    pub train: Prepared,
    /// Held-out rows, where `eval_steps` asks for them.
    pub evaluation: Option<Prepared>,
    /// Digest of the model before training.
    pub model_digest: Digest,
    questions: Option<Questions>,
    weights: Vec<LocalModel>,
    judge: Option<(Asked, Digest)>,
    forms: Vec<LogForm>,
}

impl Trainable {
    /// Encodes rows for `model`; rows of several files are trained on as one. Held-out rows are for `eval_steps` and
    /// `sample_steps`.
    ///
    /// # Errors
    /// Those of preparation, the serious findings of the pre-flight check among them.
    pub fn new(model: LocalModel, settings: Settings, train: &[Rows], held_out: Option<&Rows>) -> Result<Self, Error> {
        let limits = Limits::of(model.transformer.spec());
        let encoder = Encoder::of(&model);
        let prepared = train.iter().map(|rows| prepare_read(&settings, rows, &encoder, limits));
        let train = joined(prepared.collect::<Result<_, _>>()?);
        let questions = Questions::new(&model, &settings, held_out)?;
        let evaluation = held_out.filter(|_| settings.training.eval_steps.is_some());
        let evaluation = evaluation.map(|rows| prepare_read(&settings, rows, &encoder, limits)).transpose()?;
        let model_digest = model.digest()?;
        let (weights, judge, forms) = (Vec::new(), None, Vec::new());
        Ok(Trainable { model, settings, train, evaluation, model_digest, questions, weights, judge, forms })
    }

    /// With the models that [`groma_align::Hyperparameters::seats`] names, in their order; and whoever is asked in words, with
    /// what decides its answers.
    #[must_use]
    pub fn beside(mut self, weights: Vec<LocalModel>, judge: Option<(Asked, Digest)>) -> Self {
        (self.weights, self.judge) = (weights, judge);
        self.weights.iter_mut().for_each(LocalModel::freeze);
        self
    }

    /// With its metrics in these forms too, where there is no recorder.
    #[must_use]
    pub fn logged(mut self, forms: &[LogForm]) -> Self {
        self.forms = forms.to_vec();
        self
    }

    /// Trains, and writes the result to `output`; checkpoints go to `checkpoints`, and training goes on from the latest.
    /// Answers on the way (`sample_steps`) go to the recorder; without one, into the output as `samples.jsonl.zst`, and the
    /// metrics as `metrics.jsonl`. Gives also
    /// what a server says that it spent.
    ///
    /// # Errors
    /// Those of training and export.
    pub fn run(
        mut self,
        card: CardText,
        checkpoints: &Path,
        output: &Path,
        work: &Work,
        recorder: Option<&Recorder>,
    ) -> Result<(Outcome, Spent), Error> {
        match self.judge.take() {
            Some((asked, digest)) => {
                asked.lend(None, |judge| self.go(card, (checkpoints, output), work, recorder, Some((judge, digest))))
            }
            None => Ok((self.go(card, (checkpoints, output), work, recorder, None)?, Spent::default())),
        }
    }

    fn go(
        self,
        card: CardText,
        (checkpoints, output): (&Path, &Path),
        work: &Work,
        recorder: Option<&Recorder>,
        judge: Option<(&dyn LanguageModel, Digest)>,
    ) -> Result<Outcome, Error> {
        let Trainable { model, settings, train, evaluation, model_digest, questions, weights, forms, .. } = self;
        let stop_ids = model.stop_ids();
        let LocalModel { checkpoint, transformer, tokenizer, chat, is_adapter, .. } = model;
        let encoder = Encoder { tokenizer: &tokenizer, chat: &chat, stop_ids };
        let findings = train.findings.clone();
        if let Some(recorder) = recorder {
            findings.iter().for_each(|finding| recorder.finding(finding.clone()));
        }
        let mut transformer = setup(transformer, &settings)?;
        let mut watcher = Watcher { progress: work.progress.clone(), recorder, steps: 0, learned: false };
        let sampler = |q| Sampler::new(q, encoder.clone(), recorder, Disk::files(), checkpoints);
        let mut sampler = questions.as_ref().map(sampler);
        let run = wandb_run(&settings, &train, model_digest, output)?;
        let mut log = recorder.is_none().then(|| MetricsLog::new(Disk::files(), checkpoints, &forms, run));
        let mut observers: Vec<&mut dyn Observer> = vec![&mut watcher];
        observers.extend(log.as_mut().map(|log| log as &mut dyn Observer));
        observers.extend(sampler.as_mut().map(|sampler| sampler as &mut dyn Observer));
        let encoders: Vec<Encoder> = weights.iter().map(Encoder::of).collect();
        let mut here = weights.iter().zip(&encoders);
        let seat = |(role, name): (Role, String)| match role.speaks() {
            true => judge.map(|(model, digest)| Ok(Seat { role, name, digest, filler: Filler::Asked(model) })),
            false => here.next().map(|(model, encoder)| {
                let filler = Filler::Weights(&model.transformer, encoder);
                let digest = if settings.shares_tokens(role) { model.digest()? } else { reader_digest(model)? };
                Ok(Seat { role, name, digest, filler })
            }),
        };
        let seats = settings.seats().into_iter().filter_map(seat).collect::<Result<Vec<_>, Error>>()?;
        let decode = |ids: &[u32]| tokenizer.decode(ids, true).unwrap_or_default();
        let (stop_ids, stop_strings) = (encoder.stop_ids.clone(), chat.stop_strings.clone());
        let voice = Voice { decode: &decode, encoder: &encoder, stop_ids, stop_strings };
        let session = Session {
            voice: Some(voice),
            seats,
            evaluation: evaluation.as_ref(),
            directory: Some(checkpoints.to_owned()),
            resume: true,
            across_machines: work.across_machines,
            model_digest,
            tokenizer_digest: tokens_and_template(&tokenizer, &chat),
            continues_adapter: is_adapter,
            cancel: work.cancel.clone(),
            observers,
            ..Session::new(&settings, &train)
        };
        let outcome = match groma_align::train(&mut transformer, session) {
            Ok(outcome) => outcome,
            // An error of the sampler says more than that an observer stopped training.
            Err(error) => return Err(sampler.and_then(|sampler| sampler.failure).unwrap_or(error.into())),
        };
        if let Some(parent) = output.parent() {
            std::fs::create_dir_all(parent).map_err(groma_run::Error::io("create", parent))?;
        }
        watcher.progress.finish(&format!("loss {:.4}", outcome.train_loss));
        watcher.conclude();
        let mut files = output_files(&tokenizer, &chat);
        if let (Some(sampler), None) = (&sampler, recorder) {
            files.push(sampler.file()?);
        }
        files.extend(log.iter().flat_map(MetricsLog::files));
        let card = card.card(&outcome, &train, &findings, model_digest);
        let origin = Origin {
            config: checkpoint.config().map(),
            generation_config: checkpoint.generation_config(),
            base: BaseModel::at(checkpoint.directory()),
            tokenizer: Some(&tokenizer),
            stop_ids: &encoder.stop_ids,
            files: &files,
        };
        export(&transformer, &settings, &origin, &card, output)?;
        Ok(outcome)
    }

    /// The model before training, to look at.
    pub fn transformer(&self) -> &Transformer {
        &self.model.transformer
    }
}

/// Of all that decides what tokens a text has.
fn tokens_and_template(tokenizer: &Tokenizer, chat: &ChatTemplate) -> Digest {
    let mut hasher = Hasher::default();
    hasher.part(tokenizer.digest().as_bytes());
    hasher.part(chat.template.identity().as_bytes());
    hasher.finish()
}

/// Of a model that reads texts in tokens of its own.
fn reader_digest(model: &LocalModel) -> Result<Digest, Error> {
    let mut hasher = Hasher::default();
    hasher.part(model.digest()?.as_bytes());
    hasher.part(tokens_and_template(&model.tokenizer, &model.chat).as_bytes());
    Ok(hasher.finish())
}

/// What a training is called in a dashboard: its id is that of what it reads, so that a resumed one goes on under it.
fn wandb_run(settings: &Settings, train: &Prepared, model: Digest, output: &Path) -> Result<WandbRun, Error> {
    let mut id = Hasher::default();
    [settings.digest()?, train.digest, model].iter().for_each(|digest| id.part(digest.as_bytes()));
    let name = output.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let id = format!("groma-{}", id.finish().short());
    Ok(WandbRun { id, name, project: "groma".to_owned(), config: settings.values.clone() })
}

/// Several sets of groups as one, in their order.
fn joined(mut parts: Vec<Prepared>) -> Prepared {
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let groups: Vec<Group> = parts.iter_mut().flat_map(|part| std::mem::take(&mut part.groups)).collect();
    let findings = parts.into_iter().flat_map(|part| part.findings).collect();
    let (lengths, digest) = (LengthStatistics::of(&groups), groma_align::group::digest(&groups));
    Prepared { groups, findings, lengths, digest }
}

/// The tokenizer's files, with the chat template that the model was trained with where it brought none.
fn output_files(tokenizer: &Tokenizer, chat: &ChatTemplate) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> =
        tokenizer.files().iter().map(|(name, bytes)| (name.clone(), bytes.clone())).collect();
    // Read for its stop tokens, but written with the model.
    files.retain(|(name, _)| name != "generation_config.json");
    if chat.name != "checkpoint" && !files.iter().any(|(name, _)| name == TEMPLATE_FILE) {
        files.push((TEMPLATE_FILE.into(), chat.template.source().as_bytes().to_vec()));
    }
    files
}

/// Where transformers looks for a chat template.
const TEMPLATE_FILE: &str = "chat_template.jinja";

/// What only the caller knows of a model card.
#[derive(Clone, Debug)]
pub struct CardText {
    /// Name of the model.
    pub name: String,
    /// Path or hub id of the model before training.
    pub base_model: Option<String>,
    /// Where the rows came from.
    pub data: String,
}

impl CardText {
    fn card(self, outcome: &Outcome, train: &Prepared, findings: &[Finding], base_digest: Digest) -> Card {
        let mut metrics = outcome.metrics.clone();
        metrics.extend(outcome.evaluation.clone().unwrap_or_default());
        Card {
            name: self.name,
            base_model: self.base_model,
            base_digest,
            data: self.data,
            data_digest: train.digest,
            rows: train.groups.len(),
            steps: outcome.steps,
            num_tokens: outcome.num_tokens,
            kernels: outcome.kernels.clone(),
            metrics,
            findings: findings.to_vec(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }
}

/// Tells progress and journal what training does.
struct Watcher<'a> {
    progress: Arc<dyn Progress>,
    recorder: Option<&'a Recorder>,
    /// Steps that it saw.
    steps: u64,
    /// Whether the gradient of any was not 0.
    learned: bool,
}

impl Watcher<'_> {
    fn warn(&self, message: String, step: Option<u64>) {
        self.progress.message(Level::Warning, &message);
        if let Some(recorder) = self.recorder {
            recorder.event(Event { step, message: Some(message), ..Event::new(EventKind::Warning) });
        }
    }

    /// Says it where no step changed anything, which may have many reasons that are no errors each by itself.
    fn conclude(&self) {
        if self.steps > 0 && !self.learned {
            let steps = groma_run::counted(self.steps, "step");
            self.warn(
                format!(
                    "nothing was learned: the gradient was 0 in all of {steps}; see in the metrics whether completions had no \
                     score (`unscored`), scores had no differences, or all weights of the loss are 0"
                ),
                None,
            );
        }
    }
}

impl Observer for Watcher<'_> {
    fn step(&mut self, report: &StepReport, _model: &Transformer) -> Result<(), String> {
        self.steps += 1;
        self.learned |= report.grad_norm != 0.0;
        if self.steps == 1 {
            // The first step is in no rate: it fills the pool of buffers.
            let stage = self.recorder.map_or("train", |recorder| recorder.stage());
            self.progress.begin(stage, Some(report.total_steps), "step");
            return Ok(());
        }
        self.progress.advance(&Advance {
            done: report.step,
            tokens: report.num_tokens,
            loss: Some(report.loss),
            note: None,
        });
        Ok(())
    }

    fn logged(&mut self, step: u64, metrics: &BTreeMap<String, f64>) {
        if let Some(recorder) = self.recorder {
            recorder.metrics(step, metrics.clone());
        }
    }

    fn evaluated(&mut self, step: u64, metrics: &BTreeMap<String, f64>) {
        if let Some(recorder) = self.recorder {
            recorder.evaluation(step, metrics.clone());
        }
    }

    fn alarmed(&mut self, alarm: &Alarm) {
        self.warn(format!("alarm: {alarm}"), Some(alarm.step));
    }
}
