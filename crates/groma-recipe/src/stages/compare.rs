//! Compares two measured models item by item, and puts what they said side by side.

use std::collections::BTreeMap;

use groma_eval::{EstimateOptions, Measured, compare, find};
use groma_lm::Kind;
use groma_run::{Finished, Item, Recorder, RowReader, Sample, items_file};

use crate::Error;
use crate::recipe::{Compare, Measure, Stage, TaskConfig};
use crate::runner::Runner;
use crate::stages::measure::{said_file, task_name, tasks};

pub(crate) fn run(runner: &mut Runner, stage: &Compare) -> Result<(), Error> {
    let mut key = runner.key(&stage.name).config(stage)?.config(&runner.recipe.seed)?;
    for name in [&stage.before, &stage.after] {
        if let Some(record) = runner.record(name) {
            key = key.input(name, record.key);
        }
    }
    let recipe = runner.recipe;
    let measure = |name: &str| -> Option<&Measure> {
        recipe
            .stages
            .iter()
            .find_map(|s| if let Stage::Measure(s) = s { Some(s) } else { None }.filter(|s| s.name == name))
    };
    let (Some(first), Some(second)) = (measure(&stage.before), measure(&stage.after)) else { return Ok(()) };
    let second = tasks(runner, second);
    let common: Vec<&TaskConfig> = tasks(runner, first).iter().filter(|task| second.contains(task)).collect();
    runner.stage(key, |runner, recorder| {
        let mut outputs = Vec::new();
        for config in &common {
            compare_task(runner, recorder, stage, config)?;
            if find(&config.task)?.kind() == Kind::Generate {
                outputs.push(side_by_side(runner, recorder, stage, task_name(config))?);
            }
        }
        Ok(Finished { outputs, ..Finished::default() })
    })
}

fn compare_task(runner: &Runner, recorder: &Recorder, stage: &Compare, config: &TaskConfig) -> Result<(), Error> {
    let task = find(&config.task)?;
    let name = task_name(config);
    let items = |subject: &str| rows::<Item>(runner, &items_file(subject, name));
    let (before, after) = (items(&stage.before)?, items(&stage.after)?);
    let options = EstimateOptions { seed: runner.recipe.seed, ..EstimateOptions::default() };
    let first = Measured { subject: &stage.before, items: &before };
    let second = Measured { subject: &stage.after, items: &after };
    // How the first subject was scored; what it was scored with is part of that.
    let mode = runner.record(&stage.before).and_then(|record| record.result.get(name)?.as_str()).unwrap_or(&task.mode);
    for mut comparison in compare(task, first, second, mode, &options)? {
        comparison.task = name.to_owned();
        recorder.compare(comparison)?;
    }
    Ok(())
}

fn side_by_side(runner: &Runner, recorder: &Recorder, stage: &Compare, name: &str) -> Result<String, Error> {
    let mut samples = rows::<Sample>(runner, &said_file(&stage.before, name))?;
    let after = rows::<Sample>(runner, &said_file(&stage.after, name))?;
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
