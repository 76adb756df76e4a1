//! Whether models can do what is wanted of them, before any is loaded: some predict text, some reward it.

use std::path::Path;

use groma_align::{Method, Role};
use groma_lm::Address;
use groma_model::{AdapterFile, Head, Spec, spec_in};
use groma_run::{Digest, Hasher};

use crate::Error;
use crate::data::{BASE, VILLAGE};
use crate::recipe::Recipe;
use crate::runner::Resolve;
use crate::stage::{OutputKind, Stage};

/// What is wanted of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// That it predicts text.
    Prediction,
    /// That it rewards text.
    Reward,
    /// Either.
    Any,
}

/// A model that a stage reads, and what it is to do.
pub(crate) struct Want<'a> {
    /// As the stage names it; `None` for the latest.
    pub(crate) model: Option<&'a str>,
    pub(crate) part: Part,
    /// Who wants it.
    pub(crate) needs: String,
}

impl Part {
    /// What a role wants.
    pub(crate) fn of(role: Role) -> Part {
        match role {
            Role::Reward | Role::Cost => Part::Reward,
            Role::Critic => Part::Any,
            Role::Reference | Role::Teacher | Role::Judge => Part::Prediction,
        }
    }

    /// # Errors
    /// [`groma_model::Error::NoUnembedding`] and [`groma_model::Error::NoReward`].
    fn check(self, heads: &[Head], needs: &str) -> groma_model::Result<()> {
        match self {
            Part::Prediction => Spec::require_prediction(heads, needs),
            Part::Reward => Spec::require_reward(heads, needs),
            Part::Any => Ok(()),
        }
    }
}

/// Checks a model in a directory that is to train by a method, and those that fill roles beside it.
///
/// # Errors
/// Where one cannot do its part, and those of reading configurations.
pub fn check_parts<'p>(
    method: &Method,
    model: &Path,
    seats: impl IntoIterator<Item = (Role, &'p str, &'p Path)>,
) -> Result<(), Error> {
    if method.predicts() {
        Part::Prediction.check(&spec_in(model)?.outputs, &by_method(method))?;
    }
    seats
        .into_iter()
        .try_for_each(|(role, name, path)| Ok(Part::of(role).check(&spec_in(path)?.outputs, &in_role(role, name))?))
}

pub(crate) fn by_method(method: &Method) -> String {
    format!("the method `{}`", method.id)
}

pub(crate) fn in_role(role: Role, name: &str) -> String {
    format!("the setting `{}` (`{name}`)", role.setting())
}

/// Says where the base of a recipe's adapter is, if the recipe does.
///
/// # Errors
/// Where its model is no adapter, or the base cannot be had.
pub(crate) fn settle_base(recipe: &Recipe, resolve: Resolve<'_>) -> Result<(), Error> {
    let Some(base) = &recipe.base else { return Ok(()) };
    let here = recipe.model != VILLAGE && !Address::is_meant(&recipe.model);
    let model = if here { Some((resolve.model)(&recipe.model)?.0) } else { None };
    let Some(model) = model.filter(|model| AdapterFile::is_in(model)) else {
        let problem = format!("`base` says what an adapter adapts, but the model `{}` is no adapter", recipe.model);
        return Err(Error::Recipe { name: recipe.name.clone(), problem });
    };
    AdapterFile::set_base(&model, &(resolve.model)(base)?.0);
    Ok(())
}

/// The digest of a model's files, and of those of its base where it is an adapter.
pub(crate) fn digest(directory: &Path) -> Result<Digest, Error> {
    let own = Digest::of_path(directory)?;
    if !AdapterFile::is_in(directory) {
        return Ok(own);
    }
    let mut both = Hasher::default();
    both.part(own.as_bytes());
    both.part(Digest::of_path(&AdapterFile::base_directory(directory)?)?.as_bytes());
    Ok(both.finish())
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
    for Want { model, part, needs } in stage.work().wants(recipe) {
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
    // Those that are not on this disk predict.
    if name == VILLAGE || Address::is_meant(name) {
        return Ok(part.check(&[Head::UNEMBEDDING], needs)?);
    }
    let (path, _) = (resolve.model)(name)?;
    Ok(part.check(&spec_in(&path)?.outputs, needs)?)
}
