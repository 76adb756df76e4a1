//! A recipe while it is done: what its stages ask of the run, and how the work of one is kept or taken over.

use std::path::{Path, PathBuf};
use std::time::Instant;

use groma_kernels::Precision;
use groma_lm::Address;
use groma_model::TemplateChoice;
use groma_run::{
    Classify, Digest, EventKind, Finished, Input, Level, MODEL, Manifest, Recorder, RunDirectory, StageEntry, StageKey,
    StageRecord, Standing, Status, SystemClock, is_run,
};
use serde_json::json;

use crate::asked::Asked;
use crate::data_file::DataFile;
use crate::data_name::{BASE, DataName, NONE, TWIN, VILLAGE, preferences_file};
use crate::model::{Model, Place, digest};
use crate::output::OutputKind;
use crate::recipe::Recipe;
use crate::resolve::Resolve;
use crate::work::Work;
use crate::{Error, said};

/// Raised when the code of a stage comes to give other results.
pub(crate) const VERSION: u32 = 1;
/// What the manifest calls the chat template.
const CHAT_TEMPLATE: &str = "chat template";
/// Where answers of servers are kept in a run directory.
const ANSWERS: &str = "answers";

/// What a recipe needs beside itself.
pub struct Inputs<'a> {
    /// Finds what it names.
    pub resolve: Resolve<'a>,
    /// The command line, for the manifest.
    pub command: Vec<String>,
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
        let mut outputs = recipe.outputs(stage).into_iter();
        outputs.find(|output| output.kind == OutputKind::Model).map(|output| recipe.place(stage.name(), &output))
    });
    model.unwrap_or_else(|| path.to_owned())
}

/// A recipe being done.
pub(crate) struct Runner<'a> {
    pub(crate) recipe: &'a Recipe,
    pub(crate) inputs: &'a Inputs<'a>,
    pub(crate) directory: &'a RunDirectory,
    pub(crate) work: &'a Work,
    pub(crate) manifest: Manifest,
    pub(crate) records: Vec<StageRecord>,
    pub(crate) done: usize,
    pub(crate) reused: usize,
    /// Whether a stage was computed here.
    computed: bool,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(
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
            DataName::Organism(whose, part) => DataFile::new(self.directory.inside(&format!("{whose}/{part}.jsonl"))?),
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
        if name == TWIN || recipe.is_outside(name) {
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

    /// A model that no stage leaves: the village's or its twin's, one in a directory or on the hub, or one on a server.
    fn outside(&mut self, role: &str, name: &str) -> Result<Model, Error> {
        let name = name.to_owned();
        if name == NONE {
            let problem = format!("has no model (`{NONE}`), and a stage reads one");
            return Err(Error::Recipe { name: self.recipe.name.clone(), problem });
        }
        if [VILLAGE, TWIN].contains(&&*name) {
            let path = self.directory.inside(&format!("{name}/model"))?;
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
        let digest = digest(&path)?;
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
