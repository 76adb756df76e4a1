//! The pillars of alignment work, which a report keeps apart.

use serde::{Deserialize, Serialize};

/// What part of the work a number or a picture is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pillar {
    /// What can be had from it against its will.
    Attack,
    /// What is inside.
    Interpretability,
    /// How it is overseen with more than human hands.
    Oversight,
    /// What it really learned.
    Inner,
    /// What the model does when it is asked: tasks.
    #[default]
    #[serde(other)]
    Evaluation,
}

impl Pillar {
    /// Whether it is evaluation, whose numbers stand in the table that a run is for.
    pub fn is_evaluation(&self) -> bool {
        *self == Pillar::Evaluation
    }
}
