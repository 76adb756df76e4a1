//! Compares two measured models item by item, and puts what they said side by side.

use std::collections::BTreeMap;

use groma_eval::{EstimateOptions, Measured, compare, find};
use groma_run::{Finished, Item, Recorder, RowReader, Sample, items_file, said_file};

use crate::Error;
use crate::output::OutputKind;
use crate::outside::outside;
use crate::recipe::Recipe;
use crate::records::{Compare, TaskConfig};
use crate::resolve::Resolve;
use crate::runner::Runner;
use crate::stage_work::StageWork;
use crate::stages::divergence::Apart;

impl StageWork for Compare {
    fn check(&self, recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
        for name in [&self.before, &self.after] {
            let found = recipe.output(&self.name, OutputKind::Measurements, name);
            if found.is_some_and(|(stage, _)| stage.as_measure().is_none()) {
                let problem = format!("stage `{}` compares measuring stages, which `{name}` is not", self.name);
                return Err(Error::Recipe { name: recipe.name.clone(), problem });
            }
        }
        if let Some(name) = &self.divergence {
            outside(recipe, &self.name, name, resolve)?;
        }
        Ok(vec![format!("{}: {} against {}", self.name, self.before, self.after)])
    }

    fn run(&self, runner: &mut Runner) -> Result<(), Error> {
        run(runner, self)
    }
}

fn run(runner: &mut Runner, stage: &Compare) -> Result<(), Error> {
    let recipe = runner.recipe;
    let measured = |name: &str| recipe.output(&stage.name, OutputKind::Measurements, name)?.0.as_measure();
    let (Some(first), Some(second)) = (measured(&stage.before), measured(&stage.after)) else { return Ok(()) };
    let mut key = runner.key(&stage.name).config(stage)?.config(&recipe.seed)?;
    for measure in [first, second] {
        if let Some(record) = runner.record(&measure.name) {
            key = key.input(&measure.name, record.key);
        }
    }
    let apart = match &stage.divergence {
        Some(data) => {
            let models = (
                runner.model(&first.name, first.model.as_deref())?,
                runner.model(&second.name, second.model.as_deref())?,
            );
            let data = runner.data(&stage.name, data)?;
            key = key.input("divergence", data.digest);
            Some(Apart { models, data, limit: stage.divergence_limit })
        }
        None => None,
    };
    let subjects = (first.name.as_str(), second.name.as_str());
    let common = |(name, value): &(&String, &String)| second.factors.get(*name) == Some(*value);
    let factors: BTreeMap<String, String> =
        first.factors.iter().filter(common).map(|(name, value)| (name.clone(), value.clone())).collect();
    let (first, second) = (recipe.tasks(first)?, recipe.tasks(second)?);
    let common: Vec<&TaskConfig> = first.iter().filter(|task| second.contains(task)).collect();
    runner.stage(key, false, |runner, recorder| {
        let mut outputs = Vec::new();
        for config in &common {
            compare_task(runner, recorder, subjects, (config, &factors))?;
            if config.asks_for_text() {
                outputs.push(side_by_side(runner, recorder, subjects, config.result_name())?);
            }
        }
        let tokens = match &apart {
            Some(apart) => apart.measure(runner, recorder, subjects, &factors)?,
            None => 0,
        };
        Ok(Finished { outputs, tokens, ..Finished::default() })
    })
}

fn compare_task(
    runner: &Runner,
    recorder: &Recorder,
    (before, after): (&str, &str),
    (config, factors): (&TaskConfig, &BTreeMap<String, String>),
) -> Result<(), Error> {
    let task = find(&config.task)?;
    let name = config.result_name();
    let items = |subject: &str| rows::<Item>(runner, &items_file(subject, name));
    let (before_items, after_items) = (items(before)?, items(after)?);
    let options = EstimateOptions { seed: runner.recipe.seed, ..EstimateOptions::default() };
    let first = Measured { subject: before, items: &before_items };
    let second = Measured { subject: after, items: &after_items };
    // How the first subject was scored; what it was scored with is part of that.
    let mode =
        runner.record(before).and_then(|record| record.result.get(name)?.get("mode")?.as_str()).unwrap_or(&task.mode);
    for mut comparison in compare(task, first, second, mode, &options)? {
        comparison.task = name.to_owned();
        comparison.factors.clone_from(factors);
        recorder.compare(comparison)?;
    }
    Ok(())
}

fn side_by_side(
    runner: &Runner,
    recorder: &Recorder,
    (before, after): (&str, &str),
    name: &str,
) -> Result<String, Error> {
    let mut samples = rows::<Sample>(runner, &said_file(before, name))?;
    let after = rows::<Sample>(runner, &said_file(after, name))?;
    let mut sides: BTreeMap<String, Sample> = after.into_iter().map(|sample| (sample.id.clone(), sample)).collect();
    for sample in &mut samples {
        sample.after = sides.remove(&sample.id).and_then(|other| other.before);
    }
    Ok(recorder.samples(name, &samples)?)
}

fn rows<T: serde::de::DeserializeOwned>(runner: &Runner, file: &str) -> Result<Vec<T>, Error> {
    let reader = RowReader::<T>::open(&runner.directory.inside(file)?)?;
    Ok(reader.collect::<Result<Vec<T>, groma_run::Error>>()?)
}
