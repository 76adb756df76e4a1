//! The record of a stage that makes rows of other rows.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::declared::Declared;
use crate::output::{Output, OutputKind, Reference};
use crate::records::TaskConfig;

/// Makes rows of other rows, by a way of `groma rewrite --list`. They are the rows `NAME:rows`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// The stage's name.
    pub name: String,
    /// Id of the way.
    pub rewrite: String,
    /// The rows.
    pub data: String,
    /// Use at most so many rows, drawn by the seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// The way's settings.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

impl Declared for Rewrite {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        vec![Reference { kind: OutputKind::Rows, name: &self.data }]
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        vec![Rewrite::output()]
    }
}

impl Rewrite {
    /// The rows that it leaves.
    pub(crate) fn output() -> Output {
        Output::new("rows", OutputKind::Rows)
    }
}
