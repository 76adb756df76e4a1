//! A way of rewriting rows, as data.

use crate::parameter::settle;
use crate::{Error, Parameter};
use groma_data::{Row, Shape};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// A way of making rows of rows.
#[derive(Clone, Copy)]
pub struct Rewrite {
    /// Its name.
    pub id: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What it makes, how that is trained on, and how it differs from what was published.
    pub doc: &'static str,
    /// Shapes of rows that it reads.
    pub data: &'static [Shape],
    /// Its settings.
    pub parameters: &'static [Parameter],
    /// Makes it of settings, as [`Rewrite::with`] does.
    pub(crate) build: fn(&Map<String, Value>) -> Result<Rewriter, String>,
}

/// Makes rows of a row, or says in words why it cannot.
pub type Rewriter = Box<dyn Fn(&Row) -> Result<Vec<Row>, String> + Send + Sync>;

impl Rewrite {
    /// It with its settings: what was given, and defaults for the rest.
    ///
    /// # Errors
    /// [`Error::Rewrite`] where a setting is not known or cannot be had.
    pub fn with(&self, given: &Map<String, Value>) -> Result<Rewriter, Error> {
        let made = settle(self.parameters, given).and_then(|settings| (self.build)(&settings));
        made.map_err(|problem| Error::Rewrite { rewrite: self.id, problem })
    }
}

impl std::fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rewrite").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Settings as a type of their own.
pub(super) fn typed<T: DeserializeOwned>(settings: &Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(settings.clone())).map_err(|error| error.to_string())
}
