//! What a family says of itself.

use super::module_rule::ModuleRule;
use crate::error::Result;
use crate::spec::Spec;
use crate::spec::heads::Class;
use crate::weights::config::Fields;

/// A family of models that share code in transformers.
#[derive(Debug)]
pub struct Family {
    /// Short name, e.g. `llama`.
    pub id: &'static str,
    /// The class of its language models, an entry of `architectures`.
    pub architecture: &'static str,
    /// The classes of its reward models; the first is written.
    pub score_architectures: &'static [&'static str],
    /// The class of its models that label tokens, where transformers has one.
    pub token_class: Option<TokenClass>,
    /// `model_type` in its configurations.
    pub model_type: &'static str,
    /// What precedes the body's names in a checkpoint of a model with a head; absent in one of the body alone.
    pub base_prefix: &'static str,
    /// Names of modules in checkpoints.
    pub rules: &'static [&'static [ModuleRule]],
    pub(super) read: fn(&Fields<'_>) -> Result<Spec>,
}

/// A class of models that label tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenClass {
    /// An entry of `architectures`.
    pub architecture: &'static str,
    /// What it calls its head.
    pub head: &'static str,
}

impl Family {
    /// What kind of class an entry of `architectures` is; `None` where it is none of this family.
    pub(crate) fn class_of(&self, architecture: &str) -> Option<Class> {
        if self.architecture == architecture {
            return Some(Class::CausalLm);
        }
        if self.score_architectures.contains(&architecture) {
            return Some(Class::SequenceClassification);
        }
        self.token_class.filter(|class| class.architecture == architecture).map(|_| Class::TokenClassification)
    }

    /// Its class of a kind, an entry of `architectures`.
    pub(crate) fn architecture_of(&self, class: Class) -> Option<&'static str> {
        match class {
            Class::CausalLm => Some(self.architecture),
            Class::SequenceClassification => self.score_architectures.first().copied(),
            Class::TokenClassification => self.token_class.map(|class| class.architecture),
        }
    }
}
