//! The record of a stage that does an experiment on what is learned.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::declared::Declared;
use crate::output::{Output, Reference};
use crate::records::TaskConfig;

/// Does an experiment of `groma inner --list`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inner {
    /// The stage's name.
    pub name: String,
    /// Id of the experiment.
    pub experiment: String,
    /// The experiment's settings.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

impl Declared for Inner {
    fn name(&self) -> &str {
        &self.name
    }

    fn reads(&self) -> Vec<Reference<'_>> {
        Vec::new()
    }

    fn outputs(&self, _: &[TaskConfig]) -> Vec<Output> {
        vec![Output::measurements()]
    }
}
