//! The record of a stage that holds what models are worth against how far they are from where they began.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::declared::Declared;
use crate::output::{Output, OutputKind, Reference};
use crate::records::TaskConfig;
use crate::want::{Part, Want};

/// Samples answers of a model and of others that were trained from it, and measures what they are worth by the truth of the rows
/// (gold), by learned rewards (proxies), and how many nats they are from the first, on their own samples; and the best of n answers
/// of the first. Of trainings on the way, too, and how Gao's forms fit both.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Frontier {
    /// The stage's name.
    pub name: String,
    /// The model where all began: the name of an earlier training stage, or another model (a path or hub id with a `/`).
    pub start: String,
    /// The models that are held against it, named likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// The prompts, as rows with `truth` and `worth`, such as `village:held_out/prompts`.
    pub data: String,
    /// Use at most so many rows, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Answers of each model to each prompt, at temperature 1; of the first at least the largest of `best_of`.
    #[serde(default = "four")]
    pub num_generations: usize,
    /// Longest answer, in tokens.
    #[serde(default = "default_tokens")]
    pub max_new_tokens: usize,
    /// Reward models whose scores of the answers are told, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proxies: Vec<String>,
    /// Among how many answers of the first model the best is chosen, by the gold and by each proxy.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub best_of: Vec<usize>,
    /// Trainings that are followed from log to log, by what they have in common: those of one name are repetitions.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub paths: BTreeMap<String, Vec<String>>,
    /// What its numbers depend on, by name, for tables and curves of the report.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub factors: BTreeMap<String, String>,
}

fn four() -> usize {
    4
}

fn default_tokens() -> usize {
    40
}

impl Declared for Frontier {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let models = std::iter::once(&self.start).chain(&self.models).chain(&self.proxies);
        let models = models.chain(self.paths.values().flatten());
        let models = models.map(|name| Reference { kind: OutputKind::Model, name });
        models.chain([Reference { kind: OutputKind::Rows, name: &self.data }]).collect()
    }

    fn wants(&self, _: &[TaskConfig]) -> Vec<Want<'_>> {
        let policies = std::iter::once(&self.start).chain(&self.models).map(|name| (&**name, Part::Prediction));
        let proxies = self.proxies.iter().map(|name| (&**name, Part::Reward));
        let needs = || format!("stage `{}`", self.name);
        policies.chain(proxies).map(|(name, part)| Want { model: Some(name), part, needs: needs() }).collect()
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        Vec::new()
    }
}
