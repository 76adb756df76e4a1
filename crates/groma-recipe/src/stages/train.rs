//! Trains a model and writes it to the run directory.

use std::path::Path;

use groma_align::{Method, Role, Settings, Watched, check_columns};
use groma_data::{Row, Rows, Shape};
use groma_lm::Spent;
use groma_model::{LocalModel, base_checkpoint};
use groma_run::{Digest, Finished, Recorder, Seed, StageKey, training_samples_file};
use serde_json::json;

use crate::asked::Asked;
use crate::data_file::DataFile;
use crate::label_noise::exchange;
use crate::model::Model;
use crate::outside::{MADE, outside};
use crate::recipe::Recipe;
use crate::records::Train;
use crate::resolve::Resolve;
use crate::rows::read_rows;
use crate::runner::Runner;
use crate::samples::no_rows;
use crate::seats::check_seats;
use crate::stage_work::StageWork;
use crate::train::{CardText, Trainable};
use crate::want::check_parts;
use crate::{Error, base_name, said};

impl StageWork for Train {
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        let method = Method::require(&self.method)?;
        let settings = Settings::resolve(method, &self.settings)?;
        if settings.training.sample_steps.is_some() && held_out(self, &settings).is_none() {
            return Err(no_rows(&settings));
        }
        if !(0.0..=1.0).contains(&self.label_noise) {
            let problem = format!("stage `{}`: label_noise must be a share, in [0, 1]", self.name);
            return Err(Error::Recipe { name: recipe.name.clone(), problem });
        }
        if self.label_noise > 0.0 && !method.data.contains(&Shape::Preference) {
            let problem = format!(
                "stage `{}`: label_noise exchanges the sides of pairs, and `{}` reads none",
                self.name, method.id
            );
            return Err(Error::Recipe { name: recipe.name.clone(), problem });
        }
        let (mut lines, mut read) = (Vec::new(), Vec::new());
        for name in self.data.as_slice() {
            lines.push(match outside(recipe, &self.name, name, resolve)? {
                Some(path) => {
                    let seed = Seed::new(recipe.seed);
                    let rows = read_rows(&path, method.data, self.limit, seed, &self.reading)?;
                    let line = format!("{name}: {}", said::read_as(&rows));
                    read.push(rows);
                    line
                }
                None => format!("{name}: {MADE}"),
            });
        }
        if read.len() == lines.len() {
            check_columns(&settings, all(&read))?;
        }
        Ok(vec![format!("{}: {} on {}", self.name, method.id, lines.join("; "))])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        let planned = Planned::new(self, runner)?;
        let key = planned.key(runner)?;
        // Of this key alone: with other settings or data, training begins anew beside what is there.
        let kept = runner.directory.checkpoints().join(format!("{}.{}", self.name, key.digest().short()));
        runner.stage(key, true, |runner, recorder| planned.train(runner, recorder, &kept))?;
        // The stage is on record with the digests of what it left; where this process dies first, the next one comes by here.
        remove(runner, &kept)
    }
}

/// The stage's held-out rows; for samples alone, those beside the preference pairs that it trains on.
fn held_out<'a>(stage: &'a Train, settings: &Settings) -> Option<&'a str> {
    let beside = || stage.data.as_slice().iter().any(|name| name == "preferences:train");
    let own = stage.evaluation_data.as_deref();
    own.or_else(|| (settings.training.sample_steps.is_some() && beside()).then_some("preferences:held_out"))
}

/// Who judges in words, and what tells him apart.
type Judge = (Asked, Digest);

/// A training stage with what it reads, of which nothing is opened yet.
struct Planned<'a> {
    stage: &'a Train,
    method: &'static Method,
    settings: Settings,
    model: Model,
    /// With their names; without those in which an earlier stage left nothing, where others are left.
    data: Vec<(&'a str, DataFile)>,
    evaluation: Option<DataFile>,
    /// The models that fill roles, and how the settings name them.
    seats: Vec<(Role, String, Model)>,
}

impl<'a> Planned<'a> {
    fn new(stage: &'a Train, runner: &mut Runner) -> Result<Self, Error> {
        let method = Method::require(&stage.method)?;
        let model = runner.model(&stage.name, stage.model.as_deref())?;
        let settings = settings(stage, method, runner, &model)?;
        let data = data(stage, runner)?;
        let evaluation = held_out(stage, &settings).map(|name| runner.data(&stage.name, name)).transpose()?;
        let seat = |(role, name): (Role, String)| {
            let model = runner.model(&stage.name, Some(&name))?;
            Ok((role, name, model))
        };
        let seats = settings.seats().into_iter().map(seat).collect::<Result<_, Error>>()?;
        Ok(Planned { stage, method, settings, model, data, evaluation, seats })
    }

    fn key(&self, runner: &Runner) -> Result<StageKey, Error> {
        let Planned { stage, .. } = self;
        let mut config = json!({
            "method": self.method.id, "settings": self.settings.values, "limit": stage.limit,
            "template": runner.recipe.chat_template, "seed": runner.recipe.seed,
        });
        if !stage.reading.is_plain() {
            config["reading"] = json!(stage.reading);
        }
        if stage.label_noise > 0.0 {
            config["label_noise"] = json!(stage.label_noise);
        }
        let key = runner.key(&stage.name).config(&config)?.input("model", self.model.digest);
        let key = self.data.iter().fold(key, |key, (_, file)| key.input("data", file.digest));
        let key = self.evaluation.iter().fold(key, |key, file| key.input("evaluation", file.digest));
        Ok(self.seats.iter().fold(key, |key, (role, _, seat)| key.input(role.setting(), seat.digest)))
    }

    fn train(&self, runner: &mut Runner, recorder: &Recorder, kept: &Path) -> Result<Finished, Error> {
        let stage = self.stage;
        check_parts(self.method, self.model.directory()?, self.seats_where(|role| !role.speaks())?)?;
        let (rows, held_out) = self.rows(runner)?;
        check_columns(&self.settings, all(&rows))?;
        check_seats(&self.settings, self.model.directory()?, self.seats_where(|role| !role.speaks())?)?;
        let trainable = self.trainable(runner, recorder, &rows, held_out.as_ref())?;
        let output = runner.recipe.place(&stage.name, &Train::output());
        let target = runner.directory.inside(&output)?;
        let card = self.card(runner.recipe)?;
        let (outcome, spent) = trainable.run(card, kept, &target, runner.work, Some(recorder))?;
        let mut result = json!({ "steps": outcome.steps, "train_loss": outcome.train_loss });
        if let Some(words) = outcome.spent.words() {
            result["time"] = outcome.spent.seconds();
            said::note(&*runner.work.progress, recorder, &words);
        }
        if outcome.watched != Watched::default() {
            result["watched"] = json!(outcome.watched);
        }
        if spent != Spent::default() {
            result["spent"] = json!(spent);
        }
        let samples = self.settings.training.sample_steps.map(|_| training_samples_file(&stage.name));
        let outputs = std::iter::once(output).chain(samples).collect();
        let (tokens, kernels) = (outcome.num_tokens, outcome.kernels);
        Ok(Finished { tokens, outputs, kernels, result, ..Finished::default() })
    }

    /// The seats whose role is such, with their directories.
    fn seats_where(&self, is_wanted: impl Fn(Role) -> bool) -> Result<Vec<(Role, &str, &Path)>, Error> {
        let seats = self.seats.iter().filter(|(role, ..)| is_wanted(*role));
        seats.map(|(role, name, seat)| Ok((*role, &**name, seat.directory()?))).collect()
    }

    /// What is trained on, file by file, and the held-out rows.
    fn rows(&self, runner: &Runner) -> Result<(Vec<Rows>, Option<Rows>), Error> {
        let Planned { stage, method, .. } = self;
        let seed = Seed::new(runner.recipe.seed).named(&stage.name);
        let read = |file: &DataFile, limit| read_rows(&file.path, method.data, limit, seed, &stage.reading);
        let mut rows = self.data.iter().map(|(_, file)| read(file, stage.limit)).collect::<Result<Vec<_>, Error>>()?;
        rows.iter_mut().for_each(|rows| exchange(rows, stage.label_noise, seed));
        Ok((rows, self.evaluation.as_ref().map(|file| read(file, None)).transpose()?))
    }

    /// Opens the models, and says how rows and turns were read.
    fn trainable(
        &self,
        runner: &mut Runner,
        recorder: &Recorder,
        rows: &[Rows],
        held_out: Option<&Rows>,
    ) -> Result<Trainable, Error> {
        let opened = open(runner, &self.model)?;
        let (weights, judge) = self.beside(runner)?;
        runner.note_template(&opened);
        let progress = &*runner.work.progress;
        for ((name, _), rows) in self.data.iter().zip(rows) {
            said::note(progress, recorder, &format!("{name}: {}", said::read_as(rows)));
        }
        let trainable = Trainable::new(opened, self.settings.clone(), rows, held_out)?.beside(weights, judge);
        said::say(progress, &self.stage.name, &trainable.train.findings);
        Ok(trainable)
    }

    /// The models in seats: weights, and who is asked in words.
    fn beside(&self, runner: &Runner) -> Result<(Vec<LocalModel>, Option<Judge>), Error> {
        let (mut weights, mut judge) = (Vec::new(), None);
        for (role, _, seat) in &self.seats {
            match role.speaks() {
                true => judge = Some((runner.ask(seat)?, seat.digest)),
                false => weights.push(open(runner, seat)?),
            }
        }
        Ok((weights, judge))
    }

    fn card(&self, recipe: &Recipe) -> Result<CardText, Error> {
        // Of a model that an earlier stage left, the one with which all began.
        let is_left = recipe.stages.iter().any(|other| other.name() == self.model.name);
        let root = if is_left { &recipe.model } else { &self.model.name };
        Ok(CardText {
            name: card_name(&recipe.name, &self.stage.name),
            base_model: Some(base_name(root, self.model.directory()?)),
            data: self.stage.data.as_slice().join(", "),
        })
    }
}

/// The rows of several files.
fn all(files: &[Rows]) -> impl Iterator<Item = &Row> + Clone {
    files.iter().flat_map(|file| &file.rows)
}

/// What a stage trains on.
fn data<'a>(stage: &'a Train, runner: &mut Runner) -> Result<Vec<(&'a str, DataFile)>, Error> {
    let names = stage.data.as_slice().iter();
    let mut data =
        names.map(|name| Ok((name.as_str(), runner.data(&stage.name, name)?))).collect::<Result<Vec<_>, Error>>()?;
    let is_left_empty =
        |(name, file): &(&str, DataFile)| runner.recipe.leaves_rows(&stage.name, name) && file.is_empty();
    if !data.iter().all(is_left_empty) {
        data.retain(|named| !is_left_empty(named));
    }
    Ok(data)
}

/// The method's settings; what the recipe does not say of them follows from its seed and the model's width.
fn settings(stage: &Train, method: &'static Method, runner: &Runner, model: &Model) -> Result<Settings, Error> {
    let mut given = stage.settings.clone();
    given.entry("seed").or_insert_with(|| json!(runner.recipe.seed));
    if let (Some(product), false) = (stage.learning_rate_times_width, given.contains_key("learning_rate")) {
        let width = base_checkpoint(model.directory()?)?.spec().hidden_size;
        given.insert("learning_rate".into(), json!(product / width as f64));
    }
    Ok(Settings::resolve(method, &given)?)
}

fn open(runner: &Runner, model: &Model) -> Result<LocalModel, Error> {
    Ok(LocalModel::open(model.directory()?, &runner.template()?, runner.work.backend.clone())?)
}

/// A recipe's name with that of its stage, unless it says so already.
fn card_name(recipe: &str, stage: &str) -> String {
    let says_so = recipe.split('-').any(|part| part == stage);
    if says_so { recipe.to_owned() } else { format!("{recipe}-{stage}") }
}

fn remove(runner: &Runner, checkpoints: &Path) -> Result<(), Error> {
    if checkpoints.exists() {
        groma_run::atomic::remove_directory(runner.directory.files(), checkpoints)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::card_name;

    #[test]
    fn a_card_does_not_stutter() {
        let names = [("my-dpo-2", "dpo"), ("village", "dpo"), ("dpo", "dpo"), ("xdpo", "dpo")];
        assert_eq!(
            names.map(|(recipe, stage)| card_name(recipe, stage)),
            ["my-dpo-2", "village-dpo", "dpo", "xdpo-dpo"]
        );
    }
}
