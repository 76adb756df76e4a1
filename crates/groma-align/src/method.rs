//! A training method as data: what it is called, what it needs, and the functions that make it. Everything that trains,
//! checks, prepares, forecasts or explains goes by this record; nothing else knows a method by name.

use crate::group::Group;
use crate::objective::Objective;
use crate::parameter::{Parameter, Variant};
use crate::role::Role;
use crate::training::TRAINING;
use crate::{Error, Hyperparameters};
use groma_data::Shape;
use groma_model::Head;
use groma_model::spec::HeadKind;

/// A way to train.
pub struct Method {
    /// Its name on the command line and in files.
    pub id: &'static str,
    /// Other names that users know it by.
    pub names: &'static [&'static str],
    /// In words.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What it does, in a sentence or two.
    pub doc: &'static str,
    /// Shapes of rows that it can use.
    pub data: &'static [Shape],
    /// Roles that it may need filled, besides the policy.
    pub roles: &'static [Role],
    /// Heads that its model has; one without them gets them in place of its own.
    pub heads: &'static [Head],
    /// Its own hyperparameters, in blocks of which methods may share some.
    pub parameters: &'static [&'static [Parameter]],
    /// Defaults of shared hyperparameters that differ for this method: name and JSON value.
    pub overrides: &'static [(&'static str, &'static str)],
    /// Names of the metrics that it logs besides those that all methods log, in blocks of which methods may share some.
    pub metrics: &'static [&'static [&'static str]],
    /// Which tokens of its rows are learned from.
    pub(crate) masks: fn(&Hyperparameters) -> Result<Masks, Error>,
    /// What it makes of its rows before training: pairs taken apart, sequences added, none of more tokens than the limit.
    pub(crate) arrange: fn(Vec<Group>, usize) -> Vec<Group>,
    /// The method at work. Checks its own hyperparameters.
    pub(crate) build: fn(&Hyperparameters) -> Result<Box<dyn Objective>, Error>,
}

/// Which tokens are learned from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Masks {
    /// Of a prompt with its completion: the completion alone, which is the rule, or (`false`) both.
    pub(crate) completion_only: Option<bool>,
    /// Of a conversation: what the assistant says alone.
    pub(crate) assistant_only: bool,
    /// What a step ends with; it is added to those that do not.
    pub(crate) step_separator: String,
    /// What prompts are also asked with before them: behind the plain prompt, a row's group has one for each.
    pub(crate) tags: Vec<String>,
    /// What a teacher that is the model itself reads in the prompt's place, where the method has one: a template.
    pub(crate) teacher_prompt: Option<String>,
    /// Whether prompts are asked again with more in their last turn.
    pub(crate) asked_again: bool,
    /// Columns of a row that hold an attribute of its completion each; the model's head has an output for each.
    pub(crate) attributes: Vec<String>,
}

/// Metrics that every method logs.
pub const SHARED_METRICS: &[&str] = &["loss", "grad_norm", "learning_rate", "epoch", "num_tokens"];

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Method").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Method {
    /// Whether its model predicts tokens, and so can answer.
    pub fn predicts(&self) -> bool {
        self.heads.iter().any(|head| head.kind == HeadKind::Unembedding)
    }

    /// Whether it samples completions from the model in training and learns from their rewards.
    pub fn samples(&self) -> bool {
        self.roles.contains(&Role::Reward)
    }

    /// Its own and the shared hyperparameters, with its own defaults; not those of the variants that these choose among.
    pub fn all_parameters(&self) -> impl Iterator<Item = Parameter> + '_ {
        let own = self.parameters.iter().copied().flatten();
        own.chain(TRAINING).map(|parameter| self.with_override(*parameter))
    }

    /// The variants that its settings choose among, with the settings that choose.
    pub fn variants(&self) -> impl Iterator<Item = (&'static str, &'static Variant)> + '_ {
        let own = self.parameters.iter().copied().flatten();
        own.flat_map(|parameter| parameter.variants().iter().map(|variant| (parameter.name, variant)))
    }

    fn with_override(&self, parameter: Parameter) -> Parameter {
        match self.overrides.iter().find(|(name, _)| *name == parameter.name) {
            Some((_, default)) => Parameter { default, ..parameter },
            None => parameter,
        }
    }
}
