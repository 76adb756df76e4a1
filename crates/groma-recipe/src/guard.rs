//! A defence that stands before a model.

use groma_attack::{Defence, Shield};
use groma_eval::refusal::RefusalReader;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;

/// A defence and its settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Guard {
    /// Its name (see [`groma_attack::DEFENCES`]).
    pub name: String,
    /// Its settings, where they are not the defaults.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub settings: Map<String, Value>,
}

impl Guard {
    /// The defence at work; it knows refusals by groma's patterns.
    ///
    /// # Errors
    /// If there is no such defence, or a setting of it is wrong.
    pub(crate) fn shield(&self) -> Result<Box<dyn Shield>, Error> {
        let reader = RefusalReader::built_in()?;
        let refuses = move |answer: &str| reader.read(answer).refuses();
        Ok(Defence::find(&self.name)?.shield(&self.settings, Box::new(refuses))?)
    }
}
