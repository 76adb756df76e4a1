//! Instruments as records.

use groma_run::{Figure, Measurement};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::subject::{Material, Subject};

/// Rows that an instrument cannot do without, beside those that it looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Rows of a second class.
    Against,
    /// Plain texts.
    Texts,
}

/// What an instrument found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// Numbers about the subject; stage, pillar and what was planted are for the caller to say.
    pub measurements: Vec<Measurement>,
    /// Pictures.
    pub figures: Vec<Figure>,
    /// Files that can be read again, by name: a probe, a direction, a dictionary's latents.
    pub files: Vec<(String, Vec<u8>)>,
    /// What else a reader must know.
    pub notes: Vec<String>,
}

/// A way of looking inside a model.
pub trait Look: Send + Sync {
    /// Looks.
    ///
    /// # Errors
    /// Those of the model; [`Error::Rows`] where the rows do not do.
    fn look(&self, subject: &Subject<'_>, material: &Material) -> Result<Found>;
}

/// Makes an instrument of settings; says in words what is wrong with them.
type Make = fn(Value) -> Result<Box<dyn Look>, String>;

/// An instrument.
#[derive(Clone, Copy)]
pub struct Instrument {
    /// Its name.
    pub id: &'static str,
    /// In a line.
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What it does, its settings with their defaults, and how it differs from what was published.
    pub doc: &'static str,
    /// Rows that it needs beside those that it looks at.
    pub needs: &'static [Need],
    /// The metric that finds the size of a planted effect of the first class's rows, where it has one.
    pub finds: Option<&'static str>,
    pub(crate) make: Make,
}

impl Instrument {
    /// The instrument with these settings; those not given have their defaults.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn set(&self, settings: &Map<String, Value>) -> Result<Box<dyn Look>> {
        let made = (self.make)(Value::Object(settings.clone()));
        made.map_err(|problem| Error::Setting { instrument: self.id, problem })
    }
}

/// Settings as they are declared, unknown ones refused.
pub(crate) fn settings<S: DeserializeOwned>(given: Value) -> Result<S, String> {
    serde_json::from_value(given).map_err(|error| error.to_string())
}

/// A value as indented JSON with a newline at the end.
pub(crate) fn json_file(value: &impl Serialize) -> Vec<u8> {
    let mut bytes = serde_json::to_vec_pretty(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}
