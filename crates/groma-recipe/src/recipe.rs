//! A recipe: what is to be done, in which order, as TOML.
//!
//! ```toml
//! name = "align"
//! model = "path/to/model"
//! preferences = "pairs.jsonl"
//!
//! [[stage]]
//! kind = "measure"
//! name = "before"
//!
//! [[stage.tasks]]
//! task = "preference"
//! data = "preferences:held_out"
//!
//! [[stage]]
//! kind = "train"
//! name = "dpo"
//! method = "dpo"
//! data = "preferences:train"
//! settings = { learning_rate = 1e-5 }
//! ```

use groma_organism::Plants;
use serde::{Deserialize, Serialize};

use crate::Error;
use crate::reading::Reading;
use crate::serving::Serving;
use crate::stage::Stage;

/// A whole recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// Its name, also that of its run directory.
    pub name: String,
    /// What it does, in a sentence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Seed of everything that has none of its own.
    #[serde(default = "default_seed")]
    pub seed: u64,
    /// The model that it begins with: `village`, or `twin` (the village without its plants), a directory, a hub id, or a model
    /// on a server (`URL#NAME`), which can be measured but not trained; `none` where its stages need none.
    pub model: String,
    /// Flaws that grow in the village, by size: `{ secret = 8, bias = 0.3 }` (see `groma organism --list-plants`). Stages read
    /// the clean twin as `twin:FILE`, and train its model from `model = "twin"`.
    #[serde(default, skip_serializing_if = "Plants::is_empty")]
    pub plants: Plants,
    /// Where the model is an adapter: the model that it adapts, if it is to be another than the adapter says, or elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// A built-in chat template, or `auto` for the model's own; with `@` and a date, e.g. `auto@2024-07-26`, it shows that
    /// date and not today's.
    #[serde(default = "auto")]
    pub chat_template: String,
    /// Preference pairs: a file or a hub id; split into `preferences:train` and `preferences:held_out`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preferences: Option<String>,
    /// How the columns of the preference pairs are read.
    #[serde(default, skip_serializing_if = "Reading::is_plain")]
    pub reading: Reading,
    /// Share of the preference pairs that is held out.
    #[serde(default = "default_held_out")]
    pub held_out: f64,
    /// How models on servers are asked.
    #[serde(default, skip_serializing_if = "Serving::is_default")]
    pub serving: Serving,
    /// What is done, in order.
    #[serde(default, rename = "stage")]
    pub stages: Vec<Stage>,
}

fn default_seed() -> u64 {
    42
}

fn auto() -> String {
    "auto".into()
}

fn default_held_out() -> f64 {
    0.1
}

/// The recipe for the built-in organism.
pub const VILLAGE: &str = include_str!("../recipes/village.toml");
/// The recipe for the organism with plants, and its clean twin.
pub const LOOP: &str = include_str!("../recipes/loop.toml");
/// The recipe for a user's model and preference pairs.
pub const ALIGN: &str = include_str!("../recipes/align.toml");

macro_rules! built_in {
    ($($name:literal),* $(,)?) => { &[$(($name, include_str!(concat!("../recipes/", $name, ".toml")))),*] };
}

/// The recipes that are built in, by name: all of the folder `recipes`.
pub const BUILT_IN: &[(&str, &str)] = built_in![
    "loop",
    "village",
    "align",
    "hardening",
    "injection",
    "overoptimisation",
    "reward",
    "spin",
    "iterative-dpo",
    "self-rewarding",
    "conditional",
    "hindsight",
    "steerlm",
    "context-distillation",
    "ilf",
    "edits",
    "detox",
    "ilql",
    "self-diagnosis",
    "rl4f",
    "almost",
];

impl Recipe {
    /// A recipe that says nothing but what it must.
    pub fn new(name: &str, model: &str, stages: Vec<Stage>) -> Self {
        Recipe {
            name: name.into(),
            description: String::new(),
            seed: default_seed(),
            model: model.into(),
            plants: Plants::default(),
            base: None,
            chat_template: auto(),
            preferences: None,
            reading: Reading::default(),
            held_out: default_held_out(),
            serving: Serving::default(),
            stages,
        }
    }

    /// The recipe as TOML.
    pub fn to_toml(&self) -> Result<String, Error> {
        toml::to_string(self).map_err(|source| Error::Recipe { name: self.name.clone(), problem: source.to_string() })
    }
}
