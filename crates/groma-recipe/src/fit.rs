//! Whether models can do what stages want of them, before any is loaded.

use groma_align::Method;
use groma_lm::Address;
use groma_model::{AdapterFile, Head, spec_in};

use crate::Error;
use crate::data_name::{BASE, NONE, TWIN, VILLAGE};
use crate::output::OutputKind;
use crate::recipe::Recipe;
use crate::resolve::Resolve;
use crate::stage::Stage;
use crate::want::{Part, Want};

/// Says where the base of a recipe's adapter is, if the recipe does.
///
/// # Errors
/// Where its model is no adapter, or the base cannot be had.
pub(crate) fn settle_base(recipe: &Recipe, resolve: Resolve<'_>) -> Result<(), Error> {
    let Some(base) = &recipe.base else { return Ok(()) };
    let here = ![VILLAGE, TWIN, NONE].contains(&&*recipe.model) && !Address::is_meant(&recipe.model);
    let model = if here { Some((resolve.model)(&recipe.model)?.0) } else { None };
    let Some(model) = model.filter(|model| AdapterFile::is_in(model)) else {
        let problem = format!("`base` says what an adapter adapts, but the model `{}` is no adapter", recipe.model);
        return Err(Error::Recipe { name: recipe.name.clone(), problem });
    };
    AdapterFile::set_base(&model, &(resolve.model)(base)?.0);
    Ok(())
}

/// Checks the models that all stages read.
///
/// # Errors
/// Names the first stage whose model cannot do its part.
pub(crate) fn check_stages(recipe: &Recipe, resolve: Resolve<'_>) -> Result<(), Error> {
    recipe.stages.iter().try_for_each(|stage| check_stage(recipe, stage, resolve))
}

/// Checks all models that a stage reads, as far as they are known: those of earlier stages by the method that leaves them.
pub(crate) fn check_stage(recipe: &Recipe, stage: &Stage, resolve: Resolve<'_>) -> Result<(), Error> {
    for Want { model, part, needs } in stage.declared().wants(recipe.default_tasks()) {
        let name = model.or(recipe.latest_model(Some(stage.name()))).unwrap_or(BASE);
        let checked = match left_by(recipe, stage, name) {
            Some(method) => part.check(method.heads, &needs).map_err(Error::from),
            None => outside(recipe, name, part, &needs, resolve),
        };
        checked.map_err(|source| Error::Stage { stage: stage.name().into(), source: Box::new(source) })?;
    }
    Ok(())
}

/// The method by which an earlier stage leaves a model.
fn left_by(recipe: &Recipe, stage: &Stage, name: &str) -> Option<&'static Method> {
    let (of, _) = recipe.output(stage.name(), OutputKind::Model, name)?;
    Method::find(&of.as_train()?.method)
}

/// A model that no stage leaves.
fn outside(recipe: &Recipe, name: &str, part: Part, needs: &str, resolve: Resolve<'_>) -> Result<(), Error> {
    let name = if name == BASE { recipe.model.as_str() } else { name };
    if name == NONE {
        let problem = format!("has no model (`{NONE}`), and {needs} wants one");
        return Err(Error::Recipe { name: recipe.name.clone(), problem });
    }
    // Those that are not on this disk predict.
    if [VILLAGE, TWIN].contains(&name) || Address::is_meant(name) {
        return Ok(part.check(&[Head::UNEMBEDDING], needs)?);
    }
    let (path, _) = (resolve.model)(name)?;
    Ok(part.check(&spec_in(&path)?.outputs, needs)?)
}
