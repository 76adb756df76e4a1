//! What stages want of models: some predict text, some reward it.

use std::path::Path;

use groma_align::{Method, Role};
use groma_model::{Head, Spec, spec_in};

use crate::Error;

/// What is wanted of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// That it predicts text.
    Prediction,
    /// That it rewards text.
    Reward,
    /// That it says what next tokens are worth.
    ActionValues,
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

    /// Whether a model with these heads is such.
    ///
    /// # Errors
    /// [`groma_model::Error::NoUnembedding`], [`groma_model::Error::NoReward`] and [`groma_model::Error::NoActionValues`].
    pub(crate) fn check(self, heads: &[Head], needs: &str) -> groma_model::Result<()> {
        match self {
            Part::Prediction => Spec::require_prediction(heads, needs),
            Part::Reward => Spec::require_reward(heads, needs),
            Part::ActionValues => Spec::require_action_values(heads, needs),
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
