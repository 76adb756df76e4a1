//! Does the stages of a recipe in a run directory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use groma_kernels::{Backend, Precision};
use groma_lm::Address;
use groma_model::TemplateChoice;
use groma_report::{Headline, Options, write_report};
use groma_run::{
    Cancel, Classify, Clock, Digest, EventKind, Finished, Input, Level, MODEL, Manifest, Progress, Recorder,
    RunDirectory, RunRecords, Seed, StageEntry, StageKey, StageRecord, Standing, Status, SystemClock, counted, is_run,
};
use serde_json::json;

use crate::asked::Asked;
use crate::card;
use crate::data::{BASE, DataFile, DataName, VILLAGE, VILLAGE_DIRECTORY, preferences_file, split_preferences};
use crate::stage::OutputKind;
use crate::{Error, Recipe, fit, said, stages};

/// Raised when the code of a stage comes to give other results.
const VERSION: u32 = 1;
/// The stage that builds the organism.
const ORGANISM: &str = "organism";
/// The stage that splits the preference pairs.
const SPLIT: &str = "preferences";
/// What the manifest calls the chat template.
const CHAT_TEMPLATE: &str = "chat template";
/// Where answers of servers are kept in a run directory.
const ANSWERS: &str = "answers";

/// From a name in a recipe (a path or a hub id) to a local path, and the revision of a hub id.
pub type Find<'a> = &'a dyn Fn(&str) -> Result<(PathBuf, Option<String>), Error>;

/// Finds what a recipe names.
#[derive(Clone, Copy)]
pub struct Resolve<'a> {
    /// Models and tokenizers: directories.
    pub model: Find<'a>,
    /// Data: files and directories.
    pub data: Find<'a>,
}

/// What a recipe needs beside itself.
pub struct Inputs<'a> {
    /// Finds what it names.
    pub resolve: Resolve<'a>,
    /// The command line, for the manifest.
    pub command: Vec<String>,
}

/// What the work is done with.
#[derive(Clone)]
pub struct Work {
    /// Where models run.
    pub backend: Arc<dyn Backend>,
    /// Is told how far the work is.
    pub progress: Arc<dyn Progress>,
    /// May ask to stop.
    pub cancel: Cancel,
    /// Threads that models use, for the manifest.
    pub threads: usize,
    /// Goes on with work that was begun with other instructions; manifest and report say so.
    pub across_machines: bool,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The run directory.
    pub directory: PathBuf,
    /// The report.
    pub report: PathBuf,
    /// The headline table.
    pub headline: Headline,
    /// What the stages left, in their order.
    pub stages: Vec<StageRecord>,
    /// Stages that were done now, and stages taken over from an earlier start.
    pub done: usize,
    /// See `done`.
    pub reused: usize,
    /// Items that got no answer for the moment; the same command asks them again.
    pub unanswered: u64,
    /// Seconds that this start took.
    pub seconds: f64,
    /// What of the records could not be read, in sentences.
    pub warnings: Vec<String>,
}

/// Does `recipe` in `directory`, going on where an earlier start left it.
///
/// # Errors
/// Those of the stages, each with its name. What was done until then stays, and counts at the next start.
pub fn run(recipe: &Recipe, inputs: &Inputs, directory: &RunDirectory, work: &Work) -> Result<Summary, Error> {
    let started = Instant::now();
    fit::settle_base(recipe, inputs.resolve)?;
    fit::check_stages(recipe, inputs.resolve)?;
    let mut runner = Runner::new(recipe, inputs, directory, work)?;
    let result = runner.stages();
    let (status, error) = match &result {
        Ok(()) => (Status::Done, None),
        Err(error) if error.class() == groma_run::Class::Interrupted => (Status::Interrupted, None),
        Err(error) => (Status::Failed, Some(error.to_string())),
    };
    runner.manifest.status = status;
    runner.manifest.error = error;
    runner.manifest.finished = Some(SystemClock::default().now());
    directory.write_manifest(&runner.manifest)?;
    result?;
    let records = RunRecords::read(directory.path())?;
    let report = write_report(directory.files(), &records, &Options::default())?;
    let headline = Headline::of_run(&records);
    card::write(directory, &headline)?;
    let unanswered = runner.records.iter().map(|record| record.unanswered).sum();
    let (done, reused, seconds) = (runner.done, runner.reused, started.elapsed().as_secs_f64());
    let (directory, stages) = (directory.path().to_owned(), runner.records);
    let warnings = records.warnings;
    Ok(Summary { directory, report, headline, stages, done, reused, unanswered, seconds, warnings })
}

/// Tells of something that is off, to whoever watches and to whoever reads the report.
fn tell(directory: &RunDirectory, work: &Work, text: &str) {
    directory.run_recorder().message(EventKind::Warning, text);
    work.progress.message(Level::Warning, text);
}

/// The run itself, and then the other runs in its directory, by name.
fn runs_beside(run: &Path) -> Vec<PathBuf> {
    let entries = run.parent().and_then(|parent| std::fs::read_dir(parent).ok()).into_iter().flatten().flatten();
    let mut others: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path != run && is_run(path)).collect();
    others.sort();
    others.insert(0, run.to_owned());
    others
}

/// Where an output that a stage left at `path` belongs in the run of a recipe: whether a model is the last one is for the recipe to
/// say.
fn place(recipe: &Recipe, stage: &str, path: &str) -> String {
    let is_model = path == MODEL || path.starts_with("models/");
    let stage = recipe.stages.iter().find(|other| is_model && other.name() == stage);
    let model = stage.and_then(|stage| {
        let mut outputs = stage.work().outputs(recipe).into_iter();
        outputs.find(|output| output.kind == OutputKind::Model).map(|output| recipe.place(stage.name(), &output))
    });
    model.unwrap_or_else(|| path.to_owned())
}

/// A model that a stage reads.
pub(crate) struct Model {
    pub(crate) place: Place,
    /// As it is called in cards and messages.
    pub(crate) name: String,
    /// Of its files; of its address where it is on a server, which tells no more.
    pub(crate) digest: Digest,
}

/// Where a model is.
pub(crate) enum Place {
    Here(PathBuf),
    Served(Address),
}

impl Model {
    /// Whether it is computed on this machine.
    pub(crate) fn is_here(&self) -> bool {
        matches!(self.place, Place::Here(_))
    }

    /// The directory of a model whose weights are needed.
    pub(crate) fn directory(&self) -> Result<&Path, Error> {
        match &self.place {
            Place::Here(path) => Ok(path),
            Place::Served(_) => Err(Error::OnServer { model: self.name.clone() }),
        }
    }
}

/// A recipe being done.
pub(crate) struct Runner<'a> {
    pub(crate) recipe: &'a Recipe,
    inputs: &'a Inputs<'a>,
    pub(crate) directory: &'a RunDirectory,
    pub(crate) work: &'a Work,
    pub(crate) manifest: Manifest,
    records: Vec<StageRecord>,
    done: usize,
    reused: usize,
    /// Whether a stage was computed here.
    computed: bool,
}

impl<'a> Runner<'a> {
    fn new(
        recipe: &'a Recipe,
        inputs: &'a Inputs<'a>,
        directory: &'a RunDirectory,
        work: &'a Work,
    ) -> Result<Self, Error> {
        let config = json!(recipe);
        let clock = SystemClock::default();
        let mut manifest =
            Manifest::new(&recipe.name, inputs.command.clone(), config, recipe.seed, work.threads, &clock);
        manifest.kernels = Some(work.backend.name());
        match directory.read_manifest() {
            Ok(Some(earlier)) => {
                manifest.started = earlier.started;
                manifest.resumed = earlier.resumed + 1;
            }
            Ok(None) => {}
            Err(error @ (groma_run::Error::Corrupt { .. } | groma_run::Error::TooLarge { .. })) => {
                let text = format!("{error}; it is written anew, and stages are taken over by their own records");
                tell(directory, work, &text);
            }
            Err(error) => return Err(error.into()),
        }
        directory.write_manifest(&manifest)?;
        Ok(Runner {
            recipe,
            inputs,
            directory,
            work,
            manifest,
            records: Vec::new(),
            done: 0,
            reused: 0,
            computed: false,
        })
    }

    fn stages(&mut self) -> Result<(), Error> {
        let recipe = self.recipe;
        if recipe.model == VILLAGE || recipe.uses(VILLAGE) {
            self.named(ORGANISM, Self::organism)?;
        }
        if recipe.uses(SPLIT) {
            self.named(SPLIT, Self::split)?;
        }
        for stage in &recipe.stages {
            self.named(stage.name(), |runner| stage.work().run(runner))?;
        }
        Ok(())
    }

    /// Runs a stage; its error gets its name.
    fn named(&mut self, name: &str, work: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.work.cancel.check()?;
        work(self).map_err(|source| Error::Stage { stage: name.into(), source: Box::new(source) })
    }

    fn organism(&mut self) -> Result<(), Error> {
        let key = StageKey::new(ORGANISM, VERSION).config(&json!({ "seed": self.recipe.seed }))?;
        self.stage(key, false, |runner, _| {
            let target = runner.directory.inside(VILLAGE_DIRECTORY)?;
            stages::organism::build(runner.recipe.seed, &target)?;
            Ok(Finished { outputs: vec![VILLAGE_DIRECTORY.into()], ..Finished::default() })
        })
    }

    fn split(&mut self) -> Result<(), Error> {
        let recipe = self.recipe;
        let Some(name) = &recipe.preferences else {
            let problem = "names no `preferences`, but a stage reads them".into();
            return Err(Error::Recipe { name: recipe.name.clone(), problem });
        };
        let (path, revision) = (self.inputs.resolve.data)(name)?;
        let file = DataFile::new(path)?;
        self.note_input("preferences", name, revision, file.digest);
        let mut config = json!({ "seed": recipe.seed, "held_out": recipe.held_out });
        if !recipe.reading.is_plain() {
            config["reading"] = json!(recipe.reading);
        }
        let key = StageKey::new(SPLIT, VERSION).config(&config)?.input("preferences", file.digest);
        self.stage(key, false, |runner, recorder| {
            let seed = Seed::new(recipe.seed).named(SPLIT);
            let directory = runner.directory.path();
            let found = split_preferences(&file.path, &recipe.reading, recipe.held_out, seed, directory)?;
            let progress = &*runner.work.progress;
            said::note(progress, recorder, &format!("{name}: {}", found.read));
            said::say(progress, SPLIT, &found.findings);
            let text = format!("{} to train with, {} held out", counted(found.train as u64, "pair"), found.held_out);
            recorder.message(EventKind::Note, &text);
            found.findings.into_iter().for_each(|finding| recorder.finding(finding));
            let outputs = vec![preferences_file("train"), preferences_file("held_out")];
            Ok(Finished {
                outputs,
                result: json!({ "train": found.train, "held_out": found.held_out }),
                ..Finished::default()
            })
        })
    }

    /// Does the work of `key`, unless it was done before and what it left is whole; `computes` says whether its results depend
    /// on the instructions of this machine.
    pub(crate) fn stage(
        &mut self,
        key: StageKey,
        computes: bool,
        work: impl FnOnce(&mut Self, &Recorder) -> Result<Finished, Error>,
    ) -> Result<(), Error> {
        let entry = |status, seconds, tokens| StageEntry {
            name: key.name().to_owned(),
            key: key.digest(),
            status,
            seconds,
            tokens,
        };
        let place = |path: &str| place(self.recipe, key.name(), path);
        match self.directory.standing(&key)? {
            Standing::Done(record, told) if record.is_in_place(&place) => {
                told.iter()
                    .for_each(|flaw| tell(self.directory, self.work, &format!("stage `{}`: {flaw}", key.name())));
                self.manifest.set_stage(entry(Status::Reused, record.seconds, record.tokens));
                self.reused += 1;
                return self.enter(*record);
            }
            Standing::Damaged(why) => {
                let text = format!("stage `{}` is done again, as what it left is damaged: {why}", key.name());
                tell(self.directory, self.work, &text);
            }
            Standing::Done(..) | Standing::Open => {}
        }
        if let Some(record) = self.adopted(&key)? {
            self.manifest.set_stage(entry(Status::Reused, record.seconds, record.tokens));
            self.reused += 1;
            return self.enter(record);
        }
        if computes {
            self.agrees(&self.work.backend.name())?;
            self.computed = true;
        }
        self.directory.begin_stage(&key)?;
        self.manifest.set_stage(entry(Status::Running, 0.0, 0));
        self.directory.write_manifest(&self.manifest)?;
        let started = Instant::now();
        let recorder = self.directory.recorder(&key);
        let result = work(self, &recorder);
        let seconds = started.elapsed().as_secs_f64();
        let finished = match result {
            Ok(finished) => finished,
            Err(error) => {
                let interrupted = error.class() == groma_run::Class::Interrupted;
                let status = if interrupted { Status::Interrupted } else { Status::Failed };
                self.manifest.set_stage(entry(status, seconds, 0));
                return Err(error);
            }
        };
        let mut finished = Finished { seconds, ..finished };
        if computes && finished.kernels.is_empty() {
            finished.kernels.push(self.work.backend.name());
        }
        let record = self.directory.finish_stage(&key, finished)?;
        self.manifest.set_stage(entry(Status::Done, seconds, record.tokens));
        self.done += 1;
        self.enter(record)?;
        Ok(self.directory.write_manifest(&self.manifest)?)
    }

    /// A stage that another run beside this one has done under the same key, with the same instructions; or this run itself,
    /// where the model that it left has come to belong elsewhere.
    fn adopted(&self, key: &StageKey) -> Result<Option<StageRecord>, Error> {
        let here = self.work.backend.name();
        let accepts =
            |record: &StageRecord| self.work.across_machines || record.kernels.iter().all(|kernels| *kernels == here);
        let place = |path: &str| place(self.recipe, key.name(), path);
        for run in runs_beside(self.directory.path()) {
            self.work.cancel.check()?;
            if let Some(record) = self.directory.adopt(key, &run, &accepts, &place)? {
                if run != self.directory.path() {
                    let run = run.file_name().unwrap_or_default().to_string_lossy();
                    let text = format!("stage `{}` was taken over from the run `{run}`", key.name());
                    self.directory.run_recorder().message(EventKind::Note, &text);
                    self.work.progress.message(Level::Info, &text);
                }
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// Takes note of a stage that has ended, and of what all were computed with.
    fn enter(&mut self, record: StageRecord) -> Result<(), Error> {
        if let (true, Some(kernels)) = (self.computed, record.kernels.last()) {
            let (found, here) = (kernels.clone(), self.work.backend.name());
            if found != here && !self.work.across_machines {
                return Err(Error::OtherKernels { earlier: record.stage, found, here });
            }
        }
        self.records.push(record);
        let mut by_kernels: Vec<(&str, Vec<&str>)> = Vec::new();
        for (record, kernels) in self.records.iter().flat_map(|r| r.kernels.iter().map(move |kernels| (r, kernels))) {
            match by_kernels.iter_mut().find(|(known, _)| known == kernels) {
                Some((_, stages)) => stages.push(&record.stage),
                None => by_kernels.push((kernels, vec![&record.stage])),
            }
        }
        if !by_kernels.is_empty() {
            self.manifest.kernels = Some(by_kernels.iter().map(|(kernels, _)| *kernels).collect::<Vec<_>>().join(", "));
        }
        if by_kernels.len() > 1 {
            let parts = by_kernels.iter().map(|(kernels, stages)| format!("{kernels}: {}", stages.join(", ")));
            let parts = parts.collect::<Vec<_>>().join("; ");
            self.manifest.notes = vec![format!(
                "This run was computed with more than one set of instructions ({parts}), so its bits are those of no one machine."
            )];
        }
        Ok(())
    }

    /// Whether what was taken over was computed with these kernels, or may be of others.
    fn agrees(&self, here: &str) -> Result<(), Error> {
        let other = self.records.iter().find(|record| record.kernels.iter().any(|kernels| kernels != here));
        match other {
            Some(record) if !self.work.across_machines => {
                let found = record.kernels.iter().find(|kernels| *kernels != here).cloned().unwrap_or_default();
                Err(Error::OtherKernels { earlier: record.stage.clone(), found, here: here.to_owned() })
            }
            _ => Ok(()),
        }
    }

    /// The record of an earlier stage.
    pub(crate) fn record(&self, stage: &str) -> Option<&StageRecord> {
        self.records.iter().find(|record| record.stage == stage)
    }

    /// The file that `stage` calls so.
    pub(crate) fn data(&mut self, stage: &str, name: &str) -> Result<DataFile, Error> {
        if let Some((of, output)) = self.recipe.output(stage, OutputKind::Rows, name).filter(|_| name.contains(':')) {
            return DataFile::new(self.directory.inside(&self.recipe.place(of.name(), &output))?);
        }
        match DataName::parse(name)? {
            DataName::Village(part) => {
                DataFile::new(self.directory.inside(&format!("{VILLAGE_DIRECTORY}/{part}.jsonl"))?)
            }
            DataName::Preferences(part) => DataFile::new(self.directory.inside(&preferences_file(part))?),
            DataName::File(name) => {
                let (path, revision) = (self.inputs.resolve.data)(name)?;
                let file = DataFile::new(path)?;
                self.note_input("data", name, revision, file.digest);
                Ok(file)
            }
        }
    }

    /// The model that a stage reads: the one it names, else that of the latest stage before it that leaves one.
    pub(crate) fn model(&mut self, stage: &str, named: Option<&str>) -> Result<Model, Error> {
        let recipe = self.recipe;
        let Some(name) = named.or(recipe.latest_model(Some(stage))).filter(|name| *name != BASE) else {
            return self.outside("model", &recipe.model);
        };
        if recipe.is_outside(name) {
            return self.outside("model", name);
        }
        let Some((of, output)) = recipe.output(stage, OutputKind::Model, name) else {
            let problem = format!("stage `{stage}` refers to the model `{name}`, which no stage before it leaves");
            return Err(Error::Recipe { name: recipe.name.clone(), problem });
        };
        let path = self.directory.inside(&recipe.place(of.name(), &output))?;
        let digest = self.record(of.name()).map_or(Digest::of_bytes(b""), |record| record.key);
        Ok(Model { name: of.name().into(), digest, place: Place::Here(path) })
    }

    /// A model that no stage leaves: the village's, one in a directory or on the hub, or one on a server.
    fn outside(&mut self, role: &str, name: &str) -> Result<Model, Error> {
        let name = name.to_owned();
        if name == VILLAGE {
            let path = self.directory.inside(&format!("{VILLAGE_DIRECTORY}/model"))?;
            let digest = Digest::of_path(&path)?;
            return Ok(Model { place: Place::Here(path), name, digest });
        }
        if Address::is_meant(&name) {
            let address = Address::parse(&name)?;
            let digest = Digest::of_bytes(address.to_string().as_bytes());
            self.note_input(role, &name, None, digest);
            return Ok(Model { place: Place::Served(address), name, digest });
        }
        let (path, revision) = (self.inputs.resolve.model)(&name)?;
        let digest = fit::digest(&path)?;
        self.note_input(role, &name, revision, digest);
        Ok(Model { place: Place::Here(path), name, digest })
    }

    /// Opens a model to ask it.
    pub(crate) fn ask(&self, model: &Model) -> Result<Asked, Error> {
        let serving = &self.recipe.serving;
        match &model.place {
            Place::Here(path) => Asked::here(path, &self.template()?, self.work.backend.clone()),
            Place::Served(address) => {
                let tokenizer = serving.tokenizer.as_deref().map(self.inputs.resolve.model).transpose()?;
                let tokenizer = tokenizer.as_ref().map(|(directory, _)| directory.as_path());
                let kept = serving.cache.clone().map_or_else(|| self.directory.inside(ANSWERS), Ok)?;
                Asked::served(address.clone(), tokenizer, &self.recipe.chat_template, serving, Some(kept))
            }
        }
    }

    /// The chat template that the recipe asks for.
    pub(crate) fn template(&self) -> Result<TemplateChoice, Error> {
        Ok(TemplateChoice::parse(&self.recipe.chat_template)?)
    }

    /// Enters the tokenizer and the chat template of a model that is asked here into the manifest.
    pub(crate) fn note_asked(&mut self, asked: &Asked) {
        if let Asked::Here(opened) = asked {
            self.note_template(opened);
        }
    }

    /// Enters the tokenizer and the chat template of an opened model into the manifest.
    pub(crate) fn note_template(&mut self, model: &groma_model::LocalModel) {
        let template = &model.chat;
        let name = match template.template.date() {
            Some(date) => format!("{}@{date}", template.name),
            None => template.name.clone(),
        };
        if !self.manifest.inputs.iter().any(|input| input.role == CHAT_TEMPLATE) {
            self.work.progress.message(Level::Info, &said::template(template));
        }
        self.note_input(CHAT_TEMPLATE, &name, None, Digest::of_bytes(template.template.identity().as_bytes()));
        let digest = Digest::of_bytes(model.tokenizer.digest().as_bytes());
        self.note_input("tokenizer", "tokenizer.json", None, digest);
        for note in model.checkpoint.notes() {
            self.work.progress.message(Level::Info, &note);
        }
        if let Some(readings) = model.tokenizer.readings() {
            self.work.progress.message(Level::Info, &readings.note());
        }
    }

    /// Enters an input into the manifest.
    pub(crate) fn note_input(&mut self, role: &str, name: &str, revision: Option<String>, digest: Digest) {
        let input = Input { role: role.into(), name: name.into(), revision, digest, bytes: None, note: None };
        self.manifest.set_input(input);
    }

    /// The key of a stage with what all stages read.
    pub(crate) fn key(&self, name: &str) -> StageKey {
        let key = StageKey::new(name, VERSION);
        match self.work.backend.precision() {
            Precision::F32 => key,
            precision => key.input("precision", Digest::of_bytes(precision.name().as_bytes())),
        }
    }
}
