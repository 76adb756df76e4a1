//! What can be known of a recipe before it is done: that its names resolve, its settings hold, its rows can be read.

use groma_align::{Method, Settings};
use groma_data::{ReadOptions, Shape, ShapeOptions, read};
use groma_eval::find;
use groma_model::{Checkpoint, Tokenizer, parameters};
use groma_run::Seed;

use crate::Error;
use crate::data::{DataName, VILLAGE};
use crate::recipe::{Recipe, TaskConfig, Train};
use crate::runner::Resolve;
use crate::samples::no_rows;
use crate::stages::measure::items;
use crate::stages::train::held_out;
use crate::train::read_rows;

/// Checks a recipe; says in a line for each part what was found.
///
/// # Errors
/// The first part that cannot be done.
pub fn check(recipe: &Recipe, resolve: Resolve) -> Result<Vec<String>, Error> {
    let mut lines = vec![model(recipe, resolve)?];
    if let Some(name) = &recipe.preferences {
        let (path, _) = resolve(name)?;
        let table = read(&path, &ReadOptions::default())?;
        let pairs = table.into_rows(&ShapeOptions::default(), &[Shape::Preference])?;
        lines.push(format!("preferences {name}: {} pairs, {} bad rows", pairs.rows.len(), pairs.bad.count));
    }
    for stage in &recipe.stages {
        lines.extend(stage.work().check(recipe, resolve)?);
    }
    Ok(lines)
}

fn model(recipe: &Recipe, resolve: Resolve) -> Result<String, Error> {
    if recipe.model == VILLAGE {
        return Ok("model: the village's, made from nothing".into());
    }
    let (path, _) = resolve(&recipe.model)?;
    let checkpoint = Checkpoint::open(&path)?;
    let tokenizer = Tokenizer::from_directory(&path).map_err(groma_model::Error::from)?;
    tokenizer.check_embedding(checkpoint.spec().vocab_size).map_err(groma_model::Error::from)?;
    let count: usize = parameters(checkpoint.spec()).iter().map(|p| p.shape.iter().product::<usize>()).sum();
    Ok(format!("model {}: {}, {count} parameters", recipe.model, checkpoint.spec().family))
}

pub(crate) fn train(recipe: &Recipe, stage: &Train, resolve: Resolve) -> Result<String, Error> {
    let method = Method::require(&stage.method)?;
    let settings = Settings::resolve(method, &stage.settings)?;
    if settings.training.sample_steps.is_some() && held_out(stage, &settings).is_none() {
        return Err(no_rows(&settings));
    }
    let mut rows = Vec::new();
    for name in stage.data.as_slice() {
        rows.push(match DataName::parse(name)? {
            DataName::File(file) if !recipe.leaves_rows(&stage.name, name) => {
                let rows = read_rows(&resolve(file)?.0, method, stage.limit, Seed::new(recipe.seed))?;
                format!("{name}: {} rows, {} bad ones", rows.rows.len(), rows.bad.count)
            }
            _ => format!("{name}: made by the run"),
        });
    }
    Ok(format!("{}: {} on {}", stage.name, method.id, rows.join("; ")))
}

pub(crate) fn task(recipe: &Recipe, stage: &str, config: &TaskConfig, resolve: Resolve) -> Result<String, Error> {
    let task = find(&config.task)?;
    let found = match DataName::parse(&config.data)? {
        DataName::File(name) if !recipe.leaves_rows(stage, name) => {
            let examples = config.fewshot_data.as_deref().map(resolve).transpose()?.map(|found| found.0);
            let path = resolve(name)?.0;
            let items = items(task, config, &path, examples.as_deref(), Seed::new(recipe.seed))?;
            format!("{} items", items.items.len())
        }
        _ => "made by the run".into(),
    };
    Ok(format!("{stage}: {} on {} ({found})", task.id, config.data))
}
