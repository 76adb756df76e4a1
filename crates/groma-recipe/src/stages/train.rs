//! Trains a model and writes it to the run directory.

use std::path::Path;

use groma_align::{Method, Settings, named_seats};
use groma_lm::Spent;
use groma_model::{LocalModel, base_checkpoint};
use groma_run::{Finished, Seed};
use serde_json::json;

use crate::base_name;
use crate::data::DataFile;
use crate::fit::{Part, Want, by_method, check_parts, in_role};
use crate::recipe::{Recipe, Train};
use crate::runner::{Resolve, Runner};
use crate::stage::{Output, OutputKind, Reference, StageWork};
use crate::train::{CardText, Trainable, check_seats, checkpoints, read_rows};
use crate::{Error, check, said};

impl StageWork for Train {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let models = self.model.as_deref().into_iter().chain(named_seats(&self.settings).map(|(_, name)| name));
        let models = models.map(|name| Reference { kind: OutputKind::Model, name });
        let rows = self.data.as_slice().iter().chain(&self.evaluation_data);
        models.chain(rows.map(|name| Reference { kind: OutputKind::Rows, name })).collect()
    }

    fn wants(&self, _: &Recipe) -> Vec<Want<'_>> {
        let Some(method) = Method::find(&self.method) else { return Vec::new() };
        let policy = || Want { model: self.model.as_deref(), part: Part::Prediction, needs: by_method(method) };
        let seats = named_seats(&self.settings);
        let seats =
            seats.map(|(role, name)| Want { model: Some(name), part: Part::of(role), needs: in_role(role, name) });
        method.predicts().then(policy).into_iter().chain(seats).collect()
    }

    fn outputs(&self, _: &Recipe) -> Vec<Output> {
        vec![model_output()]
    }

    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        Ok(vec![check::train(recipe, self, resolve)?])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        run(runner, self)
    }
}

fn model_output() -> Output {
    Output::new("model", OutputKind::Model)
}

/// The stage's held-out rows; for samples alone, those beside the preference pairs that it trains on.
pub(crate) fn held_out<'a>(stage: &'a Train, settings: &Settings) -> Option<&'a str> {
    let beside = || stage.data.as_slice().iter().any(|name| name == "preferences:train");
    let own = stage.evaluation_data.as_deref();
    own.or_else(|| (settings.training.sample_steps.is_some() && beside()).then_some("preferences:held_out"))
}

fn run(runner: &mut Runner, stage: &Train) -> Result<(), Error> {
    let method = Method::require(&stage.method)?;
    let mut given = stage.settings.clone();
    given.entry("seed").or_insert_with(|| json!(runner.recipe.seed));
    let model = runner.model(&stage.name, stage.model.as_deref())?;
    if let (Some(product), false) = (stage.learning_rate_times_width, given.contains_key("learning_rate")) {
        let width = base_checkpoint(model.directory()?)?.spec().hidden_size;
        given.insert("learning_rate".into(), json!(product / width as f64));
    }
    let settings = Settings::resolve(method, &given)?;
    let names = stage.data.as_slice();
    let data = names.iter().map(|name| runner.data(&stage.name, name)).collect::<Result<Vec<_>, _>>()?;
    let evaluation = held_out(stage, &settings).map(|name| runner.data(&stage.name, name)).transpose()?;

    let mut config = json!({
        "method": method.id, "settings": settings.values, "limit": stage.limit,
        "template": runner.recipe.chat_template, "seed": runner.recipe.seed,
    });
    if !stage.reading.is_plain() {
        config["reading"] = json!(stage.reading);
    }
    let mut key = runner.key(&stage.name).config(&config)?.input("model", model.digest);
    for file in &data {
        key = key.input("data", file.digest);
    }
    if let Some(evaluation) = &evaluation {
        key = key.input("evaluation", evaluation.digest);
    }
    let named = settings.seats();
    let seats = named.iter().map(|(_, name)| runner.model(&stage.name, Some(name))).collect::<Result<Vec<_>, _>>()?;
    for ((role, _), seat) in named.iter().zip(&seats) {
        key = key.input(role.setting(), seat.digest);
    }
    // Of this key alone: with other settings or data, training begins anew beside what is there.
    let kept = checkpoints(&runner.directory.checkpoints(), &format!("{}.{}", stage.name, key.digest().short()));
    runner.stage(key, true, |runner, recorder| {
        let here = || named.iter().zip(&seats).filter(|((role, _), _)| !role.speaks());
        let paths = here().map(|((role, name), seat)| Ok((*role, &**name, seat.directory()?)));
        check_parts(method, model.directory()?, paths.collect::<Result<Vec<_>, Error>>()?)?;
        let seed = Seed::new(runner.recipe.seed).named(&stage.name);
        let read = |file: &DataFile| read_rows(&file.path, method.data, stage.limit, seed, &stage.reading);
        let rows = data.iter().map(read).collect::<Result<Vec<_>, Error>>()?;
        let held_out = match &evaluation {
            Some(file) => Some(read_rows(&file.path, method.data, None, seed, &stage.reading)?),
            None => None,
        };
        let sharing = || named.iter().zip(&seats).filter(|((role, _), _)| role.shares_tokens() || role.reads_tokens());
        let paths = sharing().map(|((role, name), seat)| Ok((*role, &**name, seat.directory()?)));
        check_seats(model.directory()?, paths.collect::<Result<Vec<_>, Error>>()?)?;
        let open = |directory: &Path| -> Result<LocalModel, Error> {
            Ok(LocalModel::open(directory, &runner.template()?, runner.work.backend.clone())?)
        };
        let opened = open(model.directory()?)?;
        let samples = settings.training.sample_steps.is_some();
        let (mut weights, mut judge) = (Vec::new(), None);
        for ((role, _), seat) in named.iter().zip(&seats) {
            match role.speaks() {
                true => judge = Some((runner.ask(seat)?, seat.digest)),
                false => weights.push(open(seat.directory()?)?),
            }
        }
        runner.note_template(&opened);
        let progress = &*runner.work.progress;
        for (name, rows) in names.iter().zip(&rows) {
            said::note(progress, recorder, &format!("{name}: {}", said::read_as(rows)));
        }
        let trainable = Trainable::new(opened, settings, &rows, held_out.as_ref())?.beside(weights, judge);
        said::say(progress, &stage.name, &trainable.train.findings);
        // Of a model that an earlier stage left, the one with which all began.
        let root = if runner.recipe.stages.iter().any(|other| other.name() == model.name) {
            &runner.recipe.model
        } else {
            &model.name
        };
        let base_model = base_name(root, model.directory()?);
        let card = CardText {
            name: card_name(&runner.recipe.name, &stage.name),
            base_model: Some(base_model),
            data: names.join(", "),
        };
        let output = runner.recipe.place(&stage.name, &model_output());
        let target = runner.directory.inside(&output)?;
        let (outcome, spent) = trainable.run(card, &kept, &target, runner.work, Some(recorder))?;
        let mut result = json!({ "steps": outcome.steps, "train_loss": outcome.train_loss });
        if spent != Spent::default() {
            result["spent"] = json!(spent);
        }
        let samples = samples.then(|| groma_run::training_samples_file(&stage.name));
        let outputs = std::iter::once(output).chain(samples).collect();
        let (tokens, kernels) = (outcome.num_tokens, outcome.kernels);
        Ok(Finished { tokens, outputs, kernels, result, ..Finished::default() })
    })?;
    // The stage is on record with the digests of what it left; where this process dies first, the next one comes by here.
    remove(runner, &kept)
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
