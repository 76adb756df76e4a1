//! What can be known of a recipe before it is done: that its names resolve, its settings hold, its rows can be read.

use groma_align::{Method, Settings, read_findings};
use groma_chat::{Message, Options};
use groma_data::Shape;
use groma_eval::find;
use groma_lm::Address;
use groma_model::{LocalModel, TemplateChoice, base_checkpoint, open_tokenizer, parameters};
use groma_run::Seed;
use std::path::{Path, PathBuf};

use crate::Error;
use crate::data::{DataName, VILLAGE};
use crate::fit::{check_stage, settle_base};
use crate::recipe::{Measure, Recipe, TaskConfig, Train};
use crate::runner::Resolve;
use crate::said::{finding, read_as};
use crate::samples::no_rows;
use crate::stage::OutputKind;
use crate::stages::measure::items;
use crate::stages::train::held_out;
use crate::train::read_rows;

/// Checks a recipe; says in a line for each part what was found.
///
/// # Errors
/// The first part that cannot be done.
pub fn check(recipe: &Recipe, resolve: Resolve<'_>) -> Result<Vec<String>, Error> {
    let template = TemplateChoice::parse(&recipe.chat_template)?;
    settle_base(recipe, resolve)?;
    let mut lines = vec![model(&recipe.model, &template, resolve)?];
    if let Some(name) = &recipe.preferences {
        let (path, _) = (resolve.data)(name)?;
        let pairs = read_rows(&path, &[Shape::Preference], None, Seed::new(recipe.seed), &recipe.reading)?;
        lines.push(format!("preferences {name}: {}", read_as(&pairs)));
        lines.extend(read_findings(&pairs).iter().map(finding));
    }
    for stage in &recipe.stages {
        for reference in stage.work().reads() {
            if reference.kind == OutputKind::Model && recipe.is_outside(reference.name) {
                lines.push(model(reference.name, &template, resolve)?);
            }
        }
        check_stage(recipe, stage, resolve)?;
        lines.extend(stage.work().check(recipe, resolve)?);
    }
    Ok(lines)
}

/// A model that no stage leaves.
fn model(name: &str, template: &TemplateChoice, resolve: Resolve<'_>) -> Result<String, Error> {
    if name == VILLAGE {
        return Ok("model: the village's, made from nothing".into());
    }
    if Address::is_meant(name) {
        return Ok(format!("model {}: on a server, which is not asked yet", Address::parse(name)?));
    }
    let (path, _) = (resolve.model)(name)?;
    let checkpoint = LocalModel::check(&path, template)?;
    let count: usize = parameters(checkpoint.spec()).iter().map(|p| p.shape.iter().product::<usize>()).sum();
    let mut line = format!("model {name}: {}, {count} parameters", checkpoint.spec().family);
    for note in checkpoint.notes().into_iter().chain(unrendered(&path, template)?) {
        line.push_str(&format!("; {note}"));
    }
    Ok(line)
}

/// Why a model's own chat template cannot show a plain question, where it cannot: conversations would fail.
fn unrendered(directory: &Path, template: &TemplateChoice) -> Result<Option<String>, Error> {
    if template.built_in.is_some() {
        return Ok(None);
    }
    let found = groma_chat::template_in(directory, None).map_err(groma_model::Error::from)?;
    let Some(found) = found else { return Ok(None) };
    let tokenizer = base_checkpoint(directory).and_then(|checkpoint| open_tokenizer(directory, &checkpoint))?;
    let options = Options { variables: tokenizer.template_variables(), ..Options::default() };
    let rendered = found.render(&[Message::new("user", "Hello")], &options);
    Ok(rendered.err().map(|error| format!("its chat template cannot show a plain question: {error}")))
}

/// What is said of data that are not there yet.
pub(crate) const MADE: &str = "made by the run";

/// Where data are that the run does not make itself.
pub(crate) fn outside(
    recipe: &Recipe,
    stage: &str,
    name: &str,
    resolve: Resolve<'_>,
) -> Result<Option<PathBuf>, Error> {
    match DataName::parse(name)? {
        DataName::File(file) if !recipe.leaves_rows(stage, name) => Ok(Some((resolve.data)(file)?.0)),
        _ => Ok(None),
    }
}

pub(crate) fn train(recipe: &Recipe, stage: &Train, resolve: Resolve<'_>) -> Result<String, Error> {
    let method = Method::require(&stage.method)?;
    let settings = Settings::resolve(method, &stage.settings)?;
    if settings.training.sample_steps.is_some() && held_out(stage, &settings).is_none() {
        return Err(no_rows(&settings));
    }
    let mut rows = Vec::new();
    for name in stage.data.as_slice() {
        rows.push(match outside(recipe, &stage.name, name, resolve)? {
            Some(path) => {
                let seed = Seed::new(recipe.seed);
                let rows = read_rows(&path, method.data, stage.limit, seed, &stage.reading)?;
                format!("{name}: {} rows by the layout {}, {} bad ones", rows.rows.len(), rows.layout, rows.bad.count)
            }
            None => format!("{name}: {MADE}"),
        });
    }
    Ok(format!("{}: {} on {}", stage.name, method.id, rows.join("; ")))
}

pub(crate) fn task(
    recipe: &Recipe,
    stage: &Measure,
    config: &TaskConfig,
    resolve: Resolve<'_>,
) -> Result<String, Error> {
    let task = find(&config.task)?;
    if task.needs_judge() && stage.judge.is_none() {
        return Err(groma_eval::Error::NoJudge { task: &task.id }.into());
    }
    let found = match outside(recipe, &stage.name, &config.data, resolve)? {
        Some(path) => {
            let examples = config.fewshot_data.as_deref().map(resolve.data).transpose()?.map(|found| found.0);
            let items = items(task, config, &path, examples.as_deref(), Seed::new(recipe.seed))?;
            format!("{} items", items.items.len())
        }
        None => MADE.into(),
    };
    Ok(format!("{}: {} on {} ({found})", stage.name, task.id, config.data))
}
