//! What a model or rule is to a method, besides the policy, which trains; and who is there to be it.

use crate::Encode;
use groma_lm::LanguageModel;
use groma_model::Transformer;
use groma_run::Digest;
use serde::Serialize;
use serde_json::{Map, Value};

/// What a model or rule is to a method, besides the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A frozen model whose log-probabilities the policy's are compared with: what training starts from, kept as a table, as
    /// the policy without its adapter, or as a copy; or another model.
    Reference,
    /// Says what a sampled completion is worth: rules, or reward models.
    Reward,
    /// A frozen model whose distribution over the next token is learned from.
    Teacher,
    /// Says in words what a completion is worth, for the rule `judge`, or what a hint or a critique leads to, for `stimulus` and `refined`: a model here, or on a server.
    Judge,
    /// Says of each prefix what is still to be expected; a copy of it trains beside the policy, in place of a head of its own.
    Critic,
    /// Says what a sampled completion costs, which is to stay below a limit: rules, or reward models.
    Cost,
}

impl Role {
    /// All of them.
    pub const ALL: [Role; 6] = [Role::Reference, Role::Reward, Role::Teacher, Role::Judge, Role::Critic, Role::Cost];

    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Role::Reference => "reference",
            Role::Reward => "reward",
            Role::Teacher => "teacher",
            Role::Judge => "judge",
            Role::Critic => "critic",
            Role::Cost => "cost",
        }
    }

    /// The setting that names a model for it.
    pub fn setting(self) -> &'static str {
        match self {
            Role::Reference => "ref_model",
            Role::Reward => "reward_model",
            Role::Teacher => "teacher_model",
            Role::Judge => "judge_model",
            Role::Critic => "value_model",
            Role::Cost => "cost_model",
        }
    }

    /// Whether it is asked in words, so that a model on a server may fill it.
    pub fn speaks(self) -> bool {
        self == Role::Judge
    }

    /// Whether it is compared with the policy token by token, and so needs its tokenizer and vocabulary; but see
    /// [`crate::Settings::shares_tokens`].
    pub fn shares_tokens(self) -> bool {
        matches!(self, Role::Reference | Role::Teacher)
    }

    /// Whether it reads the policy's tokens, and so must know them all by the same numbers; it may know more.
    pub fn reads_tokens(self) -> bool {
        self == Role::Critic
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// The models that a config table names for roles, in the order of [`Role::ALL`].
pub fn named_seats(given: &Map<String, Value>) -> impl Iterator<Item = (Role, &str)> {
    Role::ALL.into_iter().flat_map(|role| {
        let named = given.get(role.setting());
        let several = named.and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        named.and_then(Value::as_str).into_iter().chain(several).map(move |name| (role, name))
    })
}

/// A role with the model that fills it.
#[derive(Clone)]
pub struct Seat<'a> {
    /// The role.
    pub role: Role,
    /// The model, as the settings name it.
    pub name: String,
    /// What decides all that it says.
    pub digest: Digest,
    /// The model.
    pub filler: Filler<'a>,
}

/// A model in a seat.
#[derive(Clone, Copy)]
pub enum Filler<'a> {
    /// Weights, and what puts texts to them.
    Weights(&'a Transformer, &'a dyn Encode),
    /// A model that is asked in words.
    Asked(&'a dyn LanguageModel),
}

impl<'a> Seat<'a> {
    /// Its weights, where they are here.
    pub(crate) fn weights(&self) -> Option<&'a Transformer> {
        match self.filler {
            Filler::Weights(model, _) => Some(model),
            Filler::Asked(_) => None,
        }
    }

    /// What puts texts to its weights, where they are here.
    pub(crate) fn encoder(&self) -> Option<&'a dyn Encode> {
        match self.filler {
            Filler::Weights(_, encoder) => Some(encoder),
            Filler::Asked(_) => None,
        }
    }
}
