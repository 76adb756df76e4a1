//! The record of a stage that looks inside a model.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::declared::Declared;
use crate::output::{Output, OutputKind, Reference};
use crate::records::TaskConfig;
use crate::want::{Part, Want};

/// Looks inside a model with one instrument of `groma inspect --list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inspect {
    /// The stage's name.
    pub name: String,
    /// Id of the instrument.
    pub instrument: String,
    /// `base`, the name of an earlier training stage, or another model (a path or hub id with a `/`); the latest where not
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// What the model is called in the results; its own name where not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The rows that are looked at; of two classes the first.
    pub data: Chosen,
    /// The rows of the second class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<Chosen>,
    /// Held-out rows of the first class, where those are to be other rows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test: Option<Chosen>,
    /// Held-out rows of the second class.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub test_against: Option<Chosen>,
    /// Texts on which the cost of a change is measured, or from which a dictionary is learned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub texts: Option<String>,
    /// Use at most so many rows of each, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The column by which rows belong together, so that held-out rows share no value of it with others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// Settings of the instrument.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

/// Rows of a file: all, or those whose columns have these values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Chosen {
    /// All.
    All(String),
    /// Some: `{ rows = "village:plants/trigger", only = { condition = "with" } }`.
    Only {
        /// The file, as stages name rows.
        rows: String,
        /// Columns and the values that they are to have.
        only: BTreeMap<String, String>,
    },
}

impl Chosen {
    /// The file, as stages name rows.
    pub fn rows(&self) -> &str {
        match self {
            Chosen::All(rows) | Chosen::Only { rows, .. } => rows,
        }
    }

    /// Columns and the values that they are to have.
    pub(crate) fn only(&self) -> impl Iterator<Item = (&String, &String)> {
        match self {
            Chosen::All(_) => None,
            Chosen::Only { only, .. } => Some(only),
        }
        .into_iter()
        .flatten()
    }
}

impl Inspect {
    /// A stage with its bare necessities; set the other fields by name.
    pub fn new(name: &str, instrument: &str, data: Chosen) -> Self {
        Inspect {
            name: name.to_owned(),
            instrument: instrument.to_owned(),
            model: None,
            subject: None,
            data,
            against: None,
            test: None,
            test_against: None,
            texts: None,
            limit: None,
            cluster: None,
            settings: Map::new(),
        }
    }

    /// All rows that it reads, with what they are for.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = (&'static str, &Chosen)> {
        let others = [("against", &self.against), ("test", &self.test), ("test_against", &self.test_against)];
        let others = others.into_iter().filter_map(|(role, chosen)| Some((role, chosen.as_ref()?)));
        std::iter::once(("data", &self.data)).chain(others)
    }
}

impl Declared for Inspect {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        let model = self.model.as_deref().map(|name| Reference { kind: OutputKind::Model, name });
        let rows = self.chosen().map(|(_, chosen)| chosen.rows()).chain(self.texts.as_deref());
        model.into_iter().chain(rows.map(|name| Reference { kind: OutputKind::Rows, name })).collect()
    }

    fn wants(&self, _: &[TaskConfig]) -> Vec<Want<'_>> {
        let needs = format!("the instrument `{}`", self.instrument);
        vec![Want { model: self.model.as_deref(), part: Part::Prediction, needs }]
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        vec![Output::measurements()]
    }
}
