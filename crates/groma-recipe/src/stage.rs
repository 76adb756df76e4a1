//! The kinds of stages, as a recipe lists them.
//!
//! To add one: its record in a file of `records/`, with what it reads and leaves; a variant of [`Stage`], and its line in
//! [`Stage::declared`]; how it is checked and done in a file of `stages/`, and its line in `stages.rs`. Nothing else asks which
//! kind a stage is of.

use serde::{Deserialize, Serialize};

use crate::declared::Declared;
use crate::records::{
    Attack, Compare, Contrast, Frontier, Gate, Generate, Inner, Inspect, Measure, Oversee, Rate, Rewrite, Train,
};

/// A stage of a recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Stage {
    /// Trains a model.
    Train(Train),
    /// Measures a model.
    Measure(Measure),
    /// Compares two measured models item by item.
    Compare(Compare),
    /// Lets a model answer prompts.
    Generate(Generate),
    /// Makes pairs of what better and worse configurations answer.
    Contrast(Contrast),
    /// Makes rows of other rows.
    Rewrite(Rewrite),
    /// Lets a reward model rate answers.
    Rate(Rate),
    /// Looks inside a model.
    Inspect(Inspect),
    /// Holds what was measured against conditions.
    Gate(Gate),
    /// Attacks a model.
    Attack(Attack),
    /// Carries out a protocol of oversight.
    Oversee(Oversee),
    /// Does an experiment on what is learned.
    Inner(Inner),
    /// Holds what models are worth against how far they are from where they began.
    Frontier(Frontier),
}

impl Stage {
    /// The stage's name.
    pub fn name(&self) -> &str {
        self.declared().name()
    }

    /// The training stage that it is.
    pub fn as_train(&self) -> Option<&Train> {
        if let Stage::Train(stage) = self { Some(stage) } else { None }
    }

    /// The training stage that it is.
    pub fn as_train_mut(&mut self) -> Option<&mut Train> {
        if let Stage::Train(stage) = self { Some(stage) } else { None }
    }

    /// The measuring stage that it is.
    pub fn as_measure(&self) -> Option<&Measure> {
        if let Stage::Measure(stage) = self { Some(stage) } else { None }
    }

    /// The measuring stage that it is.
    pub fn as_measure_mut(&mut self) -> Option<&mut Measure> {
        if let Stage::Measure(stage) = self { Some(stage) } else { None }
    }

    /// What its record says of it.
    pub(crate) fn declared(&self) -> &dyn Declared {
        match self {
            Stage::Train(stage) => stage,
            Stage::Measure(stage) => stage,
            Stage::Compare(stage) => stage,
            Stage::Generate(stage) => stage,
            Stage::Contrast(stage) => stage,
            Stage::Rewrite(stage) => stage,
            Stage::Rate(stage) => stage,
            Stage::Inspect(stage) => stage,
            Stage::Gate(stage) => stage,
            Stage::Attack(stage) => stage,
            Stage::Oversee(stage) => stage,
            Stage::Inner(stage) => stage,
            Stage::Frontier(stage) => stage,
        }
    }
}
