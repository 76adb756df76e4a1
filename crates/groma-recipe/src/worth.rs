//! What answers to a row are worth by its truth.

use std::collections::BTreeMap;

use groma_data::{Row, Truth};
use serde::de::DeserializeOwned;

use crate::Error;

/// What an answer can be found to do, and what each of that is worth.
pub(crate) struct Worth {
    truth: Truth,
    worth: BTreeMap<String, f64>,
}

impl Worth {
    /// Of a row.
    ///
    /// # Errors
    /// [`Error::Worth`] for one without truth or worth.
    pub(crate) fn of(row: &Row) -> Result<Self, Error> {
        Ok(Worth { truth: read(row, "truth")?, worth: read(row, "worth")? })
    }

    /// Of an answer.
    pub(crate) fn of_answer(&self, text: &str) -> f64 {
        self.truth.worth(&self.worth, text)
    }
}

/// What a column of a row holds.
fn read<T: DeserializeOwned>(row: &Row, name: &str) -> Result<T, Error> {
    let wrong = |why: String| {
        let problem = format!("{}: `{name}`: {why}; rows as in village:held_out/prompts are wanted", row.location);
        Error::Worth { problem }
    };
    let found = row.other.get(name).filter(|value| !value.is_null());
    let found = found.ok_or_else(|| wrong("the row has no such column".to_owned()))?;
    serde_json::from_value(found.clone()).map_err(|error| wrong(error.to_string()))
}
